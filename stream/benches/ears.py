"""Threads that listen while a run goes on and note when what they hear comes."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.audio import from_int16
from stream.frame import SAMPLE_RATE_HZ, Pcm

READ_BYTES = 1 << 16


class PipeEar(threading.Thread):
    """Reads raw 16-bit samples from a pipe and notes when each block came."""

    def __init__(self, pipe: Any):
        super().__init__(daemon=True)
        self._pipe = pipe
        self._blocks: list[tuple[float, bytes]] = []

    def run(self) -> None:
        while block := self._pipe.read1(READ_BYTES):
            self._blocks.append((time.monotonic(), block))

    def samples(self) -> tuple[Pcm, NDArray[np.float64]]:
        """Samples [N] and the moment [N] at which each is heard: the first of a block when it comes."""
        data = b"".join(block for _, block in self._blocks)
        ends = np.cumsum([len(block) for _, block in self._blocks], dtype=np.int64) // 2
        starts = np.concatenate([[0], ends[:-1]])
        moments = [
            when_s + np.arange(end - start) / SAMPLE_RATE_HZ
            for (when_s, _), start, end in zip(self._blocks, starts, ends, strict=True)
        ]
        return from_int16(data[: len(data) // 2 * 2]), np.concatenate([np.zeros(0), *moments])


class Recorder(threading.Thread):
    """Keeps what a recording process writes: 16-bit samples of two channels, the mouth's and the ear's."""

    def __init__(self, process: subprocess.Popen[bytes]):
        super().__init__(daemon=True)
        self.first_s = float("inf")  # when the first sample came, on the clock of time.monotonic
        self._process = process
        self._data = bytearray()

    def run(self) -> None:
        pipe: Any = self._process.stdout
        while block := pipe.read1(READ_BYTES):
            self._data += block
            self.first_s = min(self.first_s, time.monotonic() - len(self._data) / 4 / SAMPLE_RATE_HZ)

    def end(self) -> tuple[Pcm, Pcm]:
        """Stop; samples [N] at the mouth and [N] at the ear."""
        self._process.terminate()
        self._process.wait()
        self.join()
        both = from_int16(bytes(self._data[: len(self._data) // 4 * 4])).reshape(-1, 2)
        return both[:, 0], both[:, 1]
