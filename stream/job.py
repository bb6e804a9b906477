"""Job control: before a process stops it gives the terminal back, and takes it again when it goes on.

Ctrl-Z sends SIGTSTP, `fg` and `bg` send SIGCONT; what was stopped by SIGSTOP learns of it by SIGCONT alone. Where a system
has no such signals nothing happens.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

STOP, GO_ON = getattr(signal, "SIGTSTP", None), getattr(signal, "SIGCONT", None)


@runtime_checkable
class Part(Protocol):
    """What must not go on while the process does not."""

    def pause(self) -> None:
        """The process stops now, or had stopped: give back what others need. May be asked for twice."""

    def resume(self) -> None:
        """The process goes on. May be asked for twice."""


def in_foreground(terminal: int) -> bool:
    """Whether a terminal, by its file descriptor, listens to this process: in the background touching it would stop us."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError as error:
        return error.errno == errno.ENOTTY  # it does not control this process, and cannot stop it
    except AttributeError:  # Windows
        return True


class Job:
    """Watches for Ctrl-Z and `fg` on behalf of its parts, until it is closed."""

    def __init__(self, parts: Sequence[Part]):
        self._parts, self._before = parts, dict[int, object]()
        if STOP is None or GO_ON is None or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(STOP) is signal.SIG_IGN:  # whoever started us wants no job control
            return
        self._before = {number: signal.getsignal(number) for number in (STOP, GO_ON)}
        signal.signal(STOP, self._stop)
        signal.signal(GO_ON, self._go_on)

    def _stop(self, number: int, frame: object) -> None:
        for part in self._parts:
            part.pause()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # here the process stands still until SIGCONT
        signal.signal(number, self._stop)
        for part in self._parts:
            part.resume()

    def _go_on(self, number: int, frame: object) -> None:
        for part in self._parts:
            part.pause()  # after SIGSTOP, which tells nobody
            part.resume()

    def close(self) -> None:
        """Signals do what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler if callable(handler) or isinstance(handler, int) else signal.SIG_DFL)
