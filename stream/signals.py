"""Signals that end a command: Ctrl-C, SIGTERM of a service manager, and SIGHUP when the terminal or the ssh session has gone.

All three end it in the same order, with summary and whole files. `nohup` has SIGHUP ignored, and it stays ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

Handler = Callable[[int, FrameType | None], object]

HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
_interrupted = threading.Event()
ENDING = (signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP is not None else []))


def on_ending(handler: Handler) -> Callable[[], None]:
    """Let `handler` answer every signal that ends a command; returns what puts the former answers back.

    Only the main thread gets signals; in another one nothing happens.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    terminals = [number for number in (1, 2) if _is_terminal(number)]

    def answer(number: int, frame: FrameType | None) -> None:
        if number == HANGUP:
            _let_go(terminals)
        handler(number, frame)

    # What was ignored on purpose stays so, but SIGINT: shells ignore it in every job of a script that runs in the background.
    wanted = [number for number in ENDING if number != HANGUP or signal.getsignal(number) is not signal.SIG_IGN]
    former = {number: signal.signal(number, answer) for number in wanted}

    def restore() -> None:
        for number, handled in former.items():
            signal.signal(number, handled)

    return restore


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within this, every signal that ends a command raises KeyboardInterrupt."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        _interrupted.set()
        raise KeyboardInterrupt

    restore = on_ending(interrupt)
    try:
        yield
    finally:
        restore()
        _interrupted.clear()


def check() -> None:
    """Raise KeyboardInterrupt again if its first one got lost: Python drops what is raised while a weak reference or a
    destructor calls back. Loops that run for ever ask here at each turn."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False


def _let_go(terminals: list[int]) -> None:
    """Point what led to a terminal that has gone nowhere: a summary that fails would take the statistics with it."""
    for number in terminals:
        if not _is_terminal(number):
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)
