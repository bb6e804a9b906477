"""Sources of samples: file and pipe. The microphone is in microphone.py, an equal citizen; sinks are in sinks.py.

A source yields mono float32 blocks at 16 kHz, whatever rate and channels it reads. `-` is stdin: WAV, or with `--raw` signed
16-bit little-endian samples at 16 kHz mono.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import soxr

from stream.errors import FileError
from stream.foreign import ForeignFile
from stream.formats import CONVERT, HEAD_BYTES, name_of
from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm
from stream.mixing import Mixer
from stream.wav_stream import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, OtherCodecError, Readable, WavStream

BLOCK_S = 0.08
LARGEST_SAMPLE = 1e6  # of a file with floats: full scale is 1
READS = "WAV, FLAC, MP3, Ogg, AIFF or another format of libsndfile"
GIVE_A_FILE = "give a WAV, FLAC, MP3, Ogg or AIFF file"
ADD_RAW = "if it is headerless, 16-bit mono samples at 16 kHz, add --raw"
PIPE_CURE = "pipe WAV with plain samples, or raw samples with --raw; or give a file with --in FILE"


def from_int16(data: bytes) -> Pcm:
    """Little-endian 16-bit samples -> float32 [N] in -1..1."""
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)


class Resampler:
    """A stream of mono blocks of any rate -> 16 kHz. What is not finite becomes silence, and is counted."""

    def __init__(self, rate_hz: float):
        same = rate_hz == SAMPLE_RATE_HZ
        self._stream = None if same else soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
        self.not_finite = 0

    def __call__(self, block: Pcm, last: bool = False) -> Pcm:
        """Resample one block; `last` flushes what the filter still holds."""
        broken = int(np.count_nonzero(~np.isfinite(block)))
        if broken:  # one NaN would stay in the filter and in the codec's state for good
            self.not_finite += broken
            block = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
        return block if self._stream is None else self._stream.resample_chunk(block, last)


class Library(Protocol):
    """What reads formats that are foreign here; `ForeignFile` is it."""

    rate_hz: int

    def blocks(self) -> Iterator[Pcm]: ...

    def close(self) -> None: ...


def read_file(
    path: str, warn: bool = True, raw: bool = False, library: Callable[[str, str], Library] = ForeignFile
) -> Iterator[Pcm]:
    """Blocks of an audio file of any rate and channel count; with `raw` it has no header.

    Raises:
        FileError: missing, empty, unreadable, or no audio.
    """
    file = Path(path)
    if not file.exists():
        raise FileError(f"cannot read {path}: no such file; {GIVE_A_FILE}")
    if not stat.S_ISREG(file.stat().st_mode):
        raise FileError(f"{path} is no regular file; {GIVE_A_FILE}, or pipe it into --in -")
    if not file.stat().st_size:
        raise FileError(f"{path} is empty; {GIVE_A_FILE} with speech")
    with file.open("rb") as opened:
        if raw:
            yield from read_raw(opened)
            return
        named = name_of(opened.read(HEAD_BYTES))
        opened.seek(0)
        if named and not named[1]:
            raise FileError(f"{path} is {named[0]}, which cannot be read; {CONVERT}")
        try:
            wav = WavStream(opened, path, GIVE_A_FILE) if named == ("WAV", True) else None
        except OtherCodecError:
            wav = None  # the library knows more of them
        if wav:
            yield from _plain(_blocks(wav), wav.rate_hz, path, warn)
            return
    with closing(library(path, f"{GIVE_A_FILE}; {ADD_RAW}" if named is None else GIVE_A_FILE)) as foreign:
        yield from _plain(foreign.blocks(), foreign.rate_hz, path, warn)


def read_pipe(pipe: BinaryIO | None, raw: bool, warn: bool = True) -> Iterator[Pcm]:
    """Blocks from stdin: WAV with plain samples, or with `raw` samples without a header.

    Raises:
        FileError: nothing came, or something that is neither; the message says what it is.
    """
    if pipe is None:
        raise FileError("stdin is closed; pipe WAV into it, or give a file with --in FILE")
    ahead = _Ahead(pipe)
    if not ahead.head:
        raise FileError("stdin is empty; pipe WAV, or raw 16-bit 16 kHz mono samples with --raw, into it")
    if raw:
        yield from read_raw(ahead)
        return
    named = name_of(ahead.head)
    if named is None:
        raise FileError(f"stdin begins like no format that is known; {ADD_RAW}, or give a file with --in FILE")
    if named != ("WAV", True):
        cure = "give it with --in FILE" if named[1] else CONVERT
        raise FileError(f"stdin is {named[0]}, which cannot be read from a pipe; {cure}")
    wav = WavStream(ahead, "the WAV on stdin", PIPE_CURE)
    yield from _plain(_blocks(wav), wav.rate_hz, "the WAV on stdin", warn)


def read_raw(pipe: Readable) -> Iterator[Pcm]:
    """Blocks of signed 16-bit little-endian mono samples at 16 kHz, as they come."""
    data = b""
    while more := pipe.read(SAMPLES_PER_FRAME * 2 - len(data)):
        data += more
        whole = len(data) // 2 * 2
        yield from_int16(data[:whole])
        data = data[whole:]  # an odd byte belongs to the next sample; dropped, it would turn all that follows to noise


class _Ahead:
    """A pipe whose first bytes were looked at already."""

    def __init__(self, pipe: BinaryIO):
        self._pipe, self.head = pipe, b""
        while len(self.head) < HEAD_BYTES and (more := pipe.read(HEAD_BYTES - len(self.head))):
            self.head += more
        self._left = self.head

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; empty at the end."""
        data, self._left = self._left[:count], self._left[count:]
        return data + self._pipe.read(count - len(data)) if len(data) < count else data


def _blocks(wav: WavStream) -> Iterator[Pcm]:
    """The samples [N, channels] of a WAV, 80 ms at a time."""
    while len(block := wav.read(max(1, int(wav.rate_hz * BLOCK_S)))):
        yield block


def _bounded(block: Pcm) -> Pcm:
    """The same samples, none so large that a sum or a filter makes infinity of it; what is not finite is left to others."""
    loud = np.abs(block) > LARGEST_SAMPLE
    return np.where(loud & np.isfinite(block), np.copysign(np.float32(LARGEST_SAMPLE), block), block) if loud.any() else block


def _plain(blocks: Iterator[Pcm], rate_hz: int, what: str, warn: bool) -> Iterator[Pcm]:
    """Blocks [N, channels] of any rate -> [N] at 16 kHz, and a word of what had to be mended."""
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise FileError(f"{what} says {rate_hz} Hz; convert it to 16000 Hz")
    mix, resample = Mixer(rate_hz), Resampler(rate_hz)
    empty = True
    for block in blocks:
        empty = False
        yield resample(mix(_bounded(block)))
    if empty:
        raise FileError(f"{what} holds no samples; record again")
    yield resample(np.zeros(0, np.float32), last=True)
    if resample.not_finite and warn:
        print(f"{what}: {resample.not_finite} samples are not finite numbers and were sent as silence", file=sys.stderr)
    if mix.inverted and warn:
        print(f"{what}: its channels are in opposite phase; one was turned round, or the sum would be silence", file=sys.stderr)
