"""stdin, stdout and stderr that wait where a program that shares them has made them non-blocking.

ssh, node and others set O_NONBLOCK on the open file itself, so that it holds for every program that inherits it, also after
that was started. Python then takes "nothing yet" for the end, and "no room now" for an error. The flag is not ours to change.
"""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Callable
from typing import Any, cast


class Patient(io.RawIOBase):
    """A file descriptor of somebody else; reads and writes wait for what they need, whatever its flags."""

    def __init__(self, descriptor: int, writable: bool):
        self._descriptor, self._writable = descriptor, writable

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def readable(self) -> bool:
        return not self._writable

    def writable(self) -> bool:
        return self._writable

    def readinto(self, buffer: Any) -> int:
        """Read up to the size of the buffer; 0 only at the end."""
        return self._wait(lambda: os.readv(self._descriptor, [buffer]), select.POLLIN)

    def write(self, data: Any) -> int:
        """Write some of the bytes, at least one; returns how many."""
        return self._wait(lambda: os.write(self._descriptor, data), select.POLLOUT)

    def _wait(self, action: Callable[[], int], event: int) -> int:
        while True:
            try:
                return action()
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._descriptor, event)
                poll.poll()


def wait_for_streams() -> None:
    """Put patient streams in the place of those that the interpreter opened; what others put there stays."""
    if not hasattr(select, "poll") or not hasattr(os, "readv"):  # Windows knows no such flag
        return
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__") or not isinstance(stream, io.TextIOWrapper):
            continue
        writable = name != "stdin"
        if writable:
            stream.flush()
        raw = Patient(stream.fileno(), writable)
        buffer: io.BufferedIOBase = io.BufferedWriter(raw) if writable else io.BufferedReader(raw)
        patient = io.TextIOWrapper(
            cast(Any, buffer),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, patient)
