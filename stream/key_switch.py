"""The push-to-talk switch: the space bar of the terminal, or the signal SIGUSR1. Each toggles.

A terminal tells when a key goes down, never when it comes up: the first touch begins to talk, the next one ends it. The
terminal is touched only while it listens to this process: in the background the signal is the switch.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from stream.errors import UsageError
from stream.job import in_foreground

try:
    import termios
    import tty
except ImportError:  # not on Windows
    termios = tty = None  # type: ignore[assignment]

POLL_S = 0.05
SIGNAL = getattr(signal, "SIGUSR1", None)
BACKGROUND_READ = getattr(signal, "SIGTTIN", None)


class KeySwitch:
    """Watches keyboard and signal in a thread, and calls `toggle` there. Restores the terminal when closed."""

    def __init__(self, toggle: Callable[[], None], release: Callable[[], None] = lambda: None):
        """Begin to watch. release: what a process that stops does with a switch that is on.

        Raises:
            UsageError: this system has neither.
        """
        terminal = termios is not None and sys.stdin is not None and sys.stdin.isatty()
        if not terminal and SIGNAL is None:
            raise UsageError("push-to-talk needs a terminal for its space bar; run in one, or use --key vox")
        self._toggle, self._release = toggle, release
        self._signals = 0
        self._handled = signal.signal(SIGNAL, self._signalled) if SIGNAL is not None else None
        # Between asking whether the terminal listens and reading it may turn away: an error then, instead of a stop.
        self._reading = signal.signal(BACKGROUND_READ, signal.SIG_IGN) if terminal and BACKGROUND_READ is not None else None
        self._terminal = sys.stdin.fileno() if terminal else None
        self._restore: list[Any] | None = None  # how the terminal was, while it is ours
        self._lock = threading.RLock()
        self._paused = self._closing = False
        listens = terminal and in_foreground(sys.stdin.fileno())
        self.how = " or ".join(["space"] * listens + [f"kill -USR1 {os.getpid()}"] * (SIGNAL is not None))
        self._take()
        self._thread = threading.Thread(target=self._watch, name="key switch", daemon=True)
        self._thread.start()

    def _signalled(self, number: int, frame: object) -> None:
        self._signals += 1  # the thread acts: a handler may interrupt anything, a line being printed too

    def _take(self) -> bool:
        """Have single keys from the terminal, if it listens to us; returns whether it does."""
        with self._lock:
            if self._terminal is None or self._paused:
                return False
            if not in_foreground(self._terminal):
                self._restore = None  # whoever has it now sets it as he likes
                return False
            if self._restore is None:
                with contextlib.suppress(termios.error):
                    before = termios.tcgetattr(self._terminal)
                    tty.setcbreak(self._terminal)
                    self._restore = before
            return self._restore is not None

    def _give_back(self) -> None:
        with self._lock:
            if self._restore is not None and self._terminal is not None and in_foreground(self._terminal):
                with contextlib.suppress(OSError, ValueError, termios.error):  # the last is no OSError
                    termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._restore)
            self._restore = None

    def pause(self) -> None:
        """The process stops: off air, and the terminal as it was."""
        self._paused = True
        self._release()
        self._give_back()

    def resume(self) -> None:
        """The process goes on: the thread takes the terminal once it listens to us."""
        self._paused = False

    def _watch(self) -> None:
        seen = 0
        while not self._closing:
            touches = self._signals - seen
            seen += touches
            if not self._take():
                time.sleep(POLL_S)
            elif self._terminal is not None and select.select([self._terminal], [], [], POLL_S)[0]:
                touches += self._keys().count(b" ")
            for _ in range(touches):
                self._toggle()

    def _keys(self) -> bytes:
        """What was typed; none where the terminal has turned away. One that has gone is forgotten."""
        if self._terminal is None or not in_foreground(self._terminal):
            return b""
        try:
            keys = os.read(self._terminal, 64)
        except OSError:
            return b""
        if not keys:
            self._terminal = None
        return keys

    def close(self) -> None:
        """Stop watching; the terminal is as it was, unless it has gone or is another's."""
        self._closing = True
        self._thread.join(timeout=1.0)
        self._give_back()
        for number, handler in ((SIGNAL, self._handled), (BACKGROUND_READ, self._reading)):
            if number is not None and (number == SIGNAL or handler is not None):
                signal.signal(number, handler or signal.SIG_DFL)
