"""What processes leave behind that are killed: which frame was spoken or heard when, and how long they waited for a processor."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stream.frame import Pcm
from stream.ruler import heard_frame


@dataclass(frozen=True)
class Event:
    """A frame that was spoken, or heard, on the clock that all processes share."""

    time_s: float
    frame: int


class Log:
    """Lines of `time frame` that outlive their writer."""

    def __init__(self, path: str):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, frame: int) -> None:
        os.write(self._file, f"{time.monotonic():.4f} {frame}\n".encode())

    @staticmethod
    def read(path: str) -> list[Event]:
        text = Path(path).read_text(encoding="ascii") if Path(path).exists() else ""
        return [Event(float(line.split()[0]), int(line.split()[1])) for line in text.splitlines() if line.count(" ") == 1]


class HeardLog:
    """A sink that logs what is heard."""

    def __init__(self, log: Log):
        self._log = log

    def write(self, pcm: Pcm) -> None:
        frame = heard_frame(pcm)
        if frame is not None:
            self._log.note(frame)


def waited_s(process: int) -> float:
    """How long the threads of a process, added up, were ready to run and had no processor; 0 where the kernel does not say."""
    waited_ns = 0
    for path in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):  # a thread that has ended meanwhile
            waited_ns += int(path.read_text(encoding="ascii").split()[1])
    return waited_ns * 1e-9
