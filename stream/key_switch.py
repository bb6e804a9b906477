"""The push-to-talk switch: the space bar of the terminal, or the signal SIGUSR1. Each toggles.

A terminal tells when a key goes down, never when it comes up: the first touch begins to talk, the next one ends it.
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

from stream.errors import UsageError

try:
    import termios
    import tty
except ImportError:  # not on Windows
    termios = tty = None  # type: ignore[assignment]

POLL_S = 0.05
SIGNAL = getattr(signal, "SIGUSR1", None)


class KeySwitch:
    """Watches keyboard and signal in a thread, and calls `toggle` there. Restores the terminal when closed."""

    def __init__(self, toggle: Callable[[], None]):
        """Begin to watch.

        Raises:
            UsageError: this system has neither.
        """
        terminal = termios is not None and sys.stdin is not None and sys.stdin.isatty()
        if not terminal and SIGNAL is None:
            raise UsageError("push-to-talk needs a terminal for its space bar; run in one, or use --key vox")
        self.how = " or ".join(["space"] * terminal + [f"kill -USR1 {os.getpid()}"] * (SIGNAL is not None))
        self._toggle = toggle
        self._signals = 0
        self._handled = signal.signal(SIGNAL, self._signalled) if SIGNAL is not None else None
        self._terminal = sys.stdin.fileno() if terminal else None
        self._restore = termios.tcgetattr(self._terminal) if self._terminal is not None else None
        if self._terminal is not None:
            tty.setcbreak(self._terminal)
        self._closing = False
        self._thread = threading.Thread(target=self._watch, name="key switch", daemon=True)
        self._thread.start()

    def _signalled(self, number: int, frame: object) -> None:
        self._signals += 1  # the thread acts: a handler may interrupt anything, a line being printed too

    def _watch(self) -> None:
        seen = 0
        while not self._closing:
            touches = self._signals - seen
            seen += touches
            if self._terminal is None:
                time.sleep(POLL_S)
            elif select.select([self._terminal], [], [], POLL_S)[0]:
                keys = os.read(self._terminal, 64)
                if not keys:  # the terminal has gone
                    self._terminal = None
                touches += keys.count(b" ")
            for _ in range(touches):
                self._toggle()

    def close(self) -> None:
        """Stop watching; the terminal is as it was, unless it has gone."""
        self._closing = True
        self._thread.join(timeout=1.0)
        if SIGNAL is not None:
            signal.signal(SIGNAL, self._handled or signal.SIG_DFL)
        if self._restore is not None and sys.stdin is not None:
            with contextlib.suppress(OSError, ValueError, termios.error):  # the last is no OSError
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._restore)
