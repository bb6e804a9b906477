"""WAV as a stream: from a pipe without seeking and without knowing the length, and the header of what is being written."""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np

from stream.errors import FileError
from stream.frame import SAMPLE_RATE_HZ, Pcm

PCM, EXTENSIBLE = 1, 0xFFFE
CURE = "pipe WAV with 16-bit samples, or raw samples with --raw; or give a file with --in FILE"
LARGEST_HEADER_BYTES = 1 << 20
LARGEST_CHANNELS = 64
HIGHEST_RATE_HZ = 768_000
UNKNOWN_LENGTHS = (0, 0xFFFFFFFF)  # writers into pipes put these; the data then lasts to the end
HEADER_BYTES = 44


def header(data_bytes: int) -> bytes:
    """The 44 bytes before so many bytes of 16 kHz mono 16-bit samples."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", data_bytes + HEADER_BYTES - 8, b"WAVE") + form + struct.pack("<4sI", b"data", data_bytes)


def to_int16(pcm: Pcm) -> bytes:
    """Samples [N] in -1..1 -> little-endian 16-bit samples; what is louder is clipped."""
    return np.round(np.clip(pcm, -1, 1) * 32767).astype("<i2").tobytes()


def read_exactly(pipe: BinaryIO, count: int) -> bytes:
    """`count` bytes of the header.

    Raises:
        FileError: the pipe ends before.
    """
    data = b""
    while len(data) < count and (more := pipe.read(count - len(data))):
        data += more
    if len(data) < count:
        raise FileError(f"the WAV header on stdin is incomplete; {CURE}")
    return data


class WavStream:
    """16-bit samples of a WAV on a pipe whose first four bytes, `RIFF`, were read already."""

    def __init__(self, pipe: BinaryIO):
        self._pipe = pipe
        self.rate_hz, self.channels = 0, 0
        if read_exactly(pipe, 8)[4:] != b"WAVE":
            raise FileError(f"stdin is no WAV; {CURE}")
        while True:
            name, size = struct.unpack("<4sI", read_exactly(pipe, 8))
            if name == b"data":
                break
            if size > LARGEST_HEADER_BYTES:
                raise FileError(f"the WAV header on stdin is damaged; {CURE}")
            content = read_exactly(pipe, size + size % 2)[:size]
            if name == b"fmt ":
                self._format(content)
        if not self.rate_hz:
            raise FileError(f"the WAV on stdin does not say its format; {CURE}")
        # Near the largest 32-bit number lies what a writer puts who subtracted a header from "unknown".
        self._left = None if size in UNKNOWN_LENGTHS or size > 0xFFFFFF00 else size

    def _format(self, content: bytes) -> None:
        if len(content) < 16:
            raise FileError(f"the WAV header on stdin is damaged; {CURE}")
        code, channels, rate_hz, _, _, bits = struct.unpack("<HHIIHH", content[:16])
        if code == EXTENSIBLE and len(content) >= 26:
            (code,) = struct.unpack("<H", content[24:26])
        if code != PCM or bits != 16:
            raise FileError(f"the WAV on stdin has no 16-bit integer samples; {CURE}")
        if not 1 <= rate_hz <= HIGHEST_RATE_HZ or not 1 <= channels <= LARGEST_CHANNELS:
            raise FileError(f"the WAV on stdin says {rate_hz} Hz and {channels} channels; {CURE}")
        self.rate_hz, self.channels = rate_hz, channels

    def read(self, frames: int) -> bytes:
        """Up to `frames` samples of every channel; empty at the end."""
        size = 2 * self.channels
        wanted = frames * size if self._left is None else min(frames * size, self._left)
        data = b""
        while len(data) < wanted and (more := self._pipe.read(wanted - len(data))):
            data += more
        if self._left is not None:
            self._left -= len(data)
        return data[: len(data) // size * size]
