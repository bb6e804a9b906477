"""WAV as a stream: from files and pipes without seeking and without knowing the length, and the header of what is written.

Samples are integers of 8 to 32 bits, floats of 32 or 64, A-law or mu-law (RIFF, Microsoft and IBM 1991; G.711).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream.errors import FileError
from stream.frame import SAMPLE_RATE_HZ, Pcm

PCM, FLOAT, ALAW, ULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
CODECS = {2: "MS ADPCM", 0x11: "IMA ADPCM", 0x31: "GSM 6.10", 0x40: "G.721", 0x50: "MPEG", 0x55: "MP3", 0xFF: "AAC"}
LARGEST_CHUNK_BYTES = 1 << 26  # before the samples: pictures and peaks of editors; a damaged size is mostly larger
LARGEST_FORMAT_BYTES = 1 << 12
LARGEST_CHANNELS = 64
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
UNKNOWN_LENGTH = 0xFFFFFF00  # writers into pipes put a number near the largest, less some header
HEADER_BYTES = 44


class Readable(Protocol):
    """A file or pipe; empty bytes are its end."""

    def read(self, count: int, /) -> bytes: ...


class OtherCodecError(FileError):
    """A WAV whose samples are compressed."""


def header(data_bytes: int) -> bytes:
    """The 44 bytes before so many bytes of 16 kHz mono 16-bit samples."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", data_bytes + HEADER_BYTES - 8, b"WAVE") + form + struct.pack("<4sI", b"data", data_bytes)


def to_int16(pcm: Pcm) -> bytes:
    """Samples [N] in -1..1 -> little-endian 16-bit samples; what is louder is clipped."""
    return np.round(np.clip(pcm, -1, 1) * 32767).astype("<i2").tobytes()


def _alaw() -> Pcm:
    """The value of each byte of A-law (G.711)."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 7, (code & 15) << 4
    magnitude = np.where(exponent > 0, (mantissa + 0x108) << np.maximum(exponent - 1, 0), mantissa + 8)
    return (np.where(code & 0x80, magnitude, -magnitude) / 32768).astype(np.float32)


def _ulaw() -> Pcm:
    """The value of each byte of mu-law (G.711)."""
    code = ~np.arange(256) & 0xFF
    magnitude = (((code & 15) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return (np.where(code & 0x80, -magnitude, magnitude) / 32768).astype(np.float32)


def _integers(data: bytes, size: int) -> Pcm:
    """Integers of `size` bytes -> float32 in -1..1; one byte is unsigned, as WAV has it."""
    if size == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / np.float32(128)
    if size == 2:
        return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)
    if size == 3:
        wide: NDArray[np.uint8] = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data = wide.tobytes()
    return (np.frombuffer(data, "<i4") / 2147483648).astype(np.float32)


def _decoder(code: int, bits: int, size: int) -> Callable[[bytes], Pcm] | None:
    """What turns samples of `size` bytes into floats; None for what is no plain samples."""
    if code == PCM and 1 <= bits <= 8 * size and size <= 4:
        return lambda data: _integers(data, size)
    if code == FLOAT and size in (4, 8) and bits == 8 * size:
        return lambda data: np.frombuffer(data, f"<f{size}").astype(np.float32)
    if code in (ALAW, ULAW) and size == 1:
        table = _alaw() if code == ALAW else _ulaw()
        return lambda data: table[np.frombuffer(data, np.uint8)]
    return None


class WavStream:
    """The samples of a WAV that is read from its beginning to its end. A length that is not known lasts to the end."""

    def __init__(self, pipe: Readable, what: str, cure: str):
        """Read the header.

        what: the words for it in messages. cure: what to do instead.

        Raises:
            FileError: it is none, is damaged or holds what cannot be speech; OtherCodecError: its samples are compressed.
        """
        self._pipe, self._what, self._cure = pipe, what, cure
        self._place = 0  # bytes that were read
        self._left: int | None = None  # bytes of samples; None: all that comes
        self.rate_hz, self.channels, self._sample_bytes = 0, 0, 0
        self._decode: Callable[[bytes], Pcm] | None = None
        form, riff_bytes, kind = struct.unpack("<4sI4s", self._exactly(12))
        if form != b"RIFF" or kind != b"WAVE":
            raise self._error(f"{what} is no WAV")
        while True:
            name, size = struct.unpack("<4sI", self._exactly(8))
            if name == b"data":
                break
            if size > (LARGEST_FORMAT_BYTES if name == b"fmt " else LARGEST_CHUNK_BYTES):
                raise self._damaged()
            if name == b"fmt ":
                self._format(self._exactly(size + size % 2)[:size])
            else:
                for start in range(0, size + size % 2, 1 << 16):
                    self._exactly(min(1 << 16, size + size % 2 - start))
        if self._decode is None:
            raise self._error(f"{what} does not say its format")
        # A recorder that was killed, and a writer into a pipe, leave 0 here; a WAV that is empty on purpose says so twice.
        unknown = size >= UNKNOWN_LENGTH or (not size and (riff_bytes + 8 <= self._place or riff_bytes >= UNKNOWN_LENGTH))
        self._left = None if unknown else size

    def read(self, frames: int) -> Pcm:
        """Up to `frames` samples of every channel, [N, channels] in -1..1; N is 0 at the end."""
        assert self._decode is not None
        size = self._sample_bytes * self.channels
        wanted = frames * size if self._left is None else min(frames * size, self._left)
        data = self._up_to(wanted)
        if self._left is not None:
            self._left -= len(data)
        return self._decode(data[: len(data) // size * size]).reshape(-1, self.channels)

    def _format(self, content: bytes) -> None:
        if len(content) < 16:
            raise self._damaged()
        code, channels, rate_hz, _, block_bytes, bits = struct.unpack("<HHIIHH", content[:16])
        if code == EXTENSIBLE and len(content) >= 26:
            (code,) = struct.unpack("<H", content[24:26])
        if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ or not 1 <= channels <= LARGEST_CHANNELS:
            raise self._error(f"{self._what} says {rate_hz} Hz and {channels} channels")
        size = (bits + 7) // 8
        if block_bytes % channels == 0 and size < block_bytes // channels <= 4:  # 24 bits may lie in 32
            size = block_bytes // channels
        self._decode = _decoder(code, bits, size)
        if self._decode is None:
            name = CODECS.get(code, f"{bits}-bit samples of codec {code}")
            raise OtherCodecError(f"{self._what} holds {name}, which cannot be read like this; {self._cure}")
        self.rate_hz, self.channels, self._sample_bytes = rate_hz, channels, size

    def _up_to(self, count: int) -> bytes:
        data = self._pipe.read(count)
        while len(data) < count and (more := self._pipe.read(count - len(data))):
            data += more
        self._place += len(data)
        return data

    def _exactly(self, count: int) -> bytes:
        data = self._up_to(count)
        if len(data) < count:
            raise self._error(f"the header of {self._what} is incomplete")
        return data

    def _damaged(self) -> FileError:
        return self._error(f"the header of {self._what} is damaged")

    def _error(self, text: str) -> FileError:
        return FileError(f"{text}; {self._cure}")
