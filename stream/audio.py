"""Sources and sinks of samples: file, pipe, silence, nowhere. Microphone and speaker are in devices.py, equal citizens.

A source yields mono float32 blocks at 16 kHz, whatever rate and channels it reads; a sink takes such blocks. `-` is
stdin or stdout: WAV, or raw signed 16-bit little-endian samples at 16 kHz mono.
"""

from __future__ import annotations

import io
import struct
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from stream.errors import FileError, UsageError
from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm

HIGHEST_RATE_HZ = 768_000
LONGEST_UNKNOWN = 0xFFFFFFFF - 36  # what WAV writers put where a pipe's length is not known yet


def to_mono(block: Pcm) -> Pcm:
    """Samples [N] or [N, channels] -> mean over channels [N]."""
    return block if block.ndim == 1 else block.mean(axis=1, dtype=np.float32)


def from_int16(data: bytes) -> Pcm:
    """Little-endian 16-bit samples -> float32 [N] in -1..1."""
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)


class Resampler:
    """A stream of mono blocks of any rate -> 16 kHz."""

    def __init__(self, rate_hz: float):
        same = rate_hz == SAMPLE_RATE_HZ
        self._stream = None if same else soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")

    def __call__(self, block: Pcm, last: bool = False) -> Pcm:
        """Resample one block; `last` flushes what the filter still holds."""
        # One NaN would stay in the filter for good; the sender counts what is not finite before it comes here.
        return block if self._stream is None else self._stream.resample_chunk(np.nan_to_num(block), last)


def read_file(path: str, warn: bool = True) -> Iterator[Pcm]:
    """Blocks of an audio file of any rate and channel count.

    Raises:
        FileError: missing, empty, unreadable, or no audio.
    """
    file = Path(path)
    if not file.is_file():
        raise FileError(f"cannot read {path}: no such file; give a WAV or FLAC file")
    if not file.stat().st_size:
        raise FileError(f"{path} is empty; give a WAV or FLAC file with speech")
    try:
        with soundfile.SoundFile(path) as audio:
            if not 1 <= audio.samplerate <= HIGHEST_RATE_HZ:
                raise FileError(f"{path} says {audio.samplerate} Hz; convert it to 16000 Hz")
            if not audio.frames:
                raise FileError(f"{path} holds no samples; record again")
            resample = Resampler(audio.samplerate)
            broken = 0
            for block in audio.blocks(blocksize=max(1, audio.samplerate * 80 // 1000), dtype="float32", always_2d=True):
                mono = to_mono(block)
                broken += int(np.count_nonzero(~np.isfinite(mono)))
                yield resample(np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0))
            yield resample(np.zeros(0, np.float32), last=True)
            if broken and warn:
                print(f"{path}: {broken} samples are not finite numbers and were sent as silence", file=sys.stderr)
    except soundfile.LibsndfileError as error:
        reason = str(error).split(": ")[-1].rstrip(".").lower()
        raise FileError(f"{path} is no audio file that can be read ({reason}); give a WAV or FLAC file") from None


class _Rewound(io.RawIOBase):
    """A pipe whose first bytes were already looked at."""

    def __init__(self, head: bytes, rest: BinaryIO):
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        head, self._head = self._head[:size], self._head[size:]
        return head if len(head) == size else head + self._rest.read(size - len(head))


def read_pipe(pipe: BinaryIO, raw: bool) -> Iterator[Pcm]:
    """Blocks from stdin: WAV with 16-bit samples if it begins like one and `raw` is not asked for, else raw samples.

    Raises:
        FileError: nothing came, or a WAV of a kind that cannot be read from a pipe.
    """
    head = pipe.read(4)
    if not head:
        raise FileError("stdin is empty; pipe WAV or raw 16-bit 16 kHz mono samples into it")
    rewound = _Rewound(head, pipe)
    if head != b"RIFF" or raw:
        odd = b""
        while block := odd + rewound.read(SAMPLES_PER_FRAME * 2 - len(odd)):
            whole, odd = block[: len(block) // 2 * 2], block[len(block) // 2 * 2 :]
            if not whole:
                break
            yield from_int16(whole)
        return
    try:
        with wave.open(rewound, "rb") as audio:  # type: ignore[call-overload]
            if audio.getsampwidth() != 2 or not audio.getframerate():
                raise FileError("WAV on stdin must have 16-bit samples and a sample rate; convert it, or give it by --in FILE")
            resample, channels = Resampler(audio.getframerate()), audio.getnchannels()
            while data := audio.readframes(max(1, audio.getframerate() * 80 // 1000)):
                samples = from_int16(data[: len(data) // (2 * channels) * 2 * channels])
                yield resample(to_mono(samples.reshape(-1, channels)))
            yield resample(np.zeros(0, np.float32), last=True)
    except (wave.Error, EOFError) as error:
        raise FileError(f"stdin is no WAV file ({error}); pipe WAV with 16-bit samples, or raw samples with --raw") from None


def check_output(path: str, force: bool) -> None:
    """Refuse to overwrite a file unless told to, and a suffix that no writer knows.

    Raises:
        FileError, UsageError: see above.
    """
    if path == "-":
        return
    if Path(path).suffix.lower() not in (".wav", ".flac"):
        raise UsageError(f"cannot write {path}: use the suffix .wav or .flac")
    if Path(path).exists() and not force:
        raise FileError(f"{path} exists; choose another --out or add --force")


class FileSink:
    """A WAV or FLAC file of 16-bit samples."""

    def __init__(self, path: str):
        try:
            self._file = soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1, "PCM_16")
        except (soundfile.LibsndfileError, OSError):
            raise FileError(f"cannot write {path}; check that its folder exists and is writable") from None

    def write(self, pcm: Pcm) -> None:
        self._file.write(pcm)

    def close(self) -> None:
        self._file.close()


class PipeSink:
    """stdout: a WAV stream of unknown length, or raw samples. Flushed block by block: the reader waits for this one."""

    def __init__(self, raw: bool):
        if sys.stdout.isatty():
            raise FileError("samples are bytes, not text; redirect stdout into a file or a pipe")
        self._pipe = sys.stdout.buffer
        if not raw:
            form = struct.pack(
                "<4sI8sIHHIIHH", b"RIFF", LONGEST_UNKNOWN + 36, b"WAVEfmt ", 16, 1, 1, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ * 2, 2, 16
            )
            self._pipe.write(form + struct.pack("<4sI", b"data", LONGEST_UNKNOWN))

    def write(self, pcm: Pcm) -> None:
        self._pipe.write(np.round(np.clip(pcm, -1, 1) * 32767).astype("<i2").tobytes())
        self._pipe.flush()

    def close(self) -> None:
        self._pipe.flush()


class NullSink:
    """Nowhere: for measuring, or a relay that only counts."""

    def write(self, pcm: Pcm) -> None:
        pass

    def close(self) -> None:
        pass
