"""Sources and sinks of samples: file, pipe, nowhere. Microphone and speaker are in devices.py, equal citizens.

A source yields mono float32 blocks at 16 kHz, whatever rate and channels it reads; a sink takes such blocks. `-` is
stdin or stdout: WAV, or raw signed 16-bit little-endian samples at 16 kHz mono.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from stream.errors import FileError, UsageError
from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm
from stream.options import check_writable
from stream.wav_stream import HIGHEST_RATE_HZ, WavStream, header, to_int16

OTHER_FORMATS = {b"fLaC": "FLAC", b"OggS": "Ogg", b"RF64": "RF64", b"RIFX": "big-endian WAV", b"FORM": "AIFF"}
LONGEST_UNKNOWN = 0xFFFFFFFF - 36  # what WAV writers put where a pipe's length is not known yet


def to_mono(block: Pcm) -> Pcm:
    """Samples [N] or [N, channels] -> mean over channels [N]."""
    return block if block.ndim == 1 else block.mean(axis=1, dtype=np.float32)


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


def read_file(path: str, warn: bool = True) -> Iterator[Pcm]:
    """Blocks of an audio file of any rate and channel count.

    Raises:
        FileError: missing, empty, unreadable, or no audio.
    """
    file = Path(path)
    if not file.exists():
        raise FileError(f"cannot read {path}: no such file; give a WAV or FLAC file")
    if not stat.S_ISREG(file.stat().st_mode):
        raise FileError(f"{path} is no regular file; give a WAV or FLAC file, or pipe it into --in -")
    if not file.stat().st_size:
        raise FileError(f"{path} is empty; give a WAV or FLAC file with speech")
    try:
        with soundfile.SoundFile(path) as audio:
            if not 1 <= audio.samplerate <= HIGHEST_RATE_HZ:
                raise FileError(f"{path} says {audio.samplerate} Hz; convert it to 16000 Hz")
            if not audio.frames:
                raise FileError(f"{path} holds no samples; record again")
            resample = Resampler(audio.samplerate)
            for block in audio.blocks(blocksize=max(1, audio.samplerate * 80 // 1000), dtype="float32", always_2d=True):
                yield resample(to_mono(block))
            yield resample(np.zeros(0, np.float32), last=True)
            if resample.not_finite and warn:
                print(f"{path}: {resample.not_finite} samples are not finite numbers and were sent as silence", file=sys.stderr)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: a suffix like .raw, which names no format
        raise FileError(f"{path} is no audio file that can be read, or is damaged; give a WAV or FLAC file") from None


def read_pipe(pipe: BinaryIO | None, raw: bool) -> Iterator[Pcm]:
    """Blocks from stdin: WAV with 16-bit samples if it begins like one and `raw` is not asked for, else raw samples.

    Raises:
        FileError: nothing came, or something that is neither.
    """
    head = pipe.read(4) if pipe is not None else b""
    if not head or pipe is None:
        raise FileError("stdin is empty; pipe WAV or raw 16-bit 16 kHz mono samples into it")
    if raw or (head[:4] not in OTHER_FORMATS and head[:3] != b"ID3" and head != b"RIFF"):
        data = head
        while more := pipe.read(SAMPLES_PER_FRAME * 2 - len(data)):
            data += more
            whole = len(data) // 2 * 2
            yield from_int16(data[:whole])
            data = data[whole:]  # an odd byte belongs to the next sample; dropped, it would turn all that follows to noise
        if len(data) >= 2:
            yield from_int16(data[: len(data) // 2 * 2])
        return
    if head != b"RIFF":
        raise FileError(f"stdin is {OTHER_FORMATS.get(head, 'MP3')}, which cannot be read from a pipe; give it with --in FILE")
    audio = WavStream(pipe)
    resample = Resampler(audio.rate_hz)
    empty = True
    while data := audio.read(max(1, audio.rate_hz * 80 // 1000)):
        empty = False
        yield resample(to_mono(from_int16(data).reshape(-1, audio.channels)))
    if empty:
        raise FileError("the WAV on stdin holds no samples; record again")
    yield resample(np.zeros(0, np.float32), last=True)


def check_output(path: str, force: bool) -> None:
    """Refuse to overwrite a file unless told to, a suffix that no writer knows, and a folder that is not there.

    Raises:
        FileError, UsageError: see above.
    """
    if path == "-":
        return
    if Path(path).suffix.lower() not in (".wav", ".flac"):
        raise UsageError(f"cannot write {path}: use the suffix .wav or .flac")
    if Path(path).exists() and not force:
        raise FileError(f"{path} exists; choose another --out or add --force")
    check_writable(path)


class FileSink:
    """A WAV or FLAC file of 16-bit samples. It appears with its first samples: nothing heard overwrites nothing."""

    def __init__(self, path: str):
        self._path = path
        self._file: soundfile.SoundFile | None = None

    def write(self, pcm: Pcm) -> None:
        """Append samples [N] in -1..1.

        Raises:
            FileError: they cannot be written.
        """
        try:
            if self._file is None:
                self._file = soundfile.SoundFile(self._path, "w", SAMPLE_RATE_HZ, 1, "PCM_16")
            self._file.write(np.frombuffer(to_int16(pcm), "<i2"))  # libsndfile would not round
        except (soundfile.LibsndfileError, OSError):
            raise self._failure() from None

    def close(self) -> None:
        """Write the rest and the header.

        Raises:
            FileError: they cannot be written.
        """
        try:
            if self._file is not None:
                self._file.close()
        except (soundfile.LibsndfileError, OSError):
            raise self._failure() from None

    def _failure(self) -> FileError:
        return FileError(f"cannot write {self._path}; check permissions and free space")


class PipeSink:
    """stdout: a WAV stream of unknown length, or raw samples. Flushed block by block, since a reader waits for each."""

    def __init__(self, raw: bool):
        """Begin the stream.

        Raises:
            FileError: stdout is closed or a terminal.
            OSError: it cannot be written.
        """
        if sys.stdout is None or sys.stdout.isatty():
            raise FileError("samples are bytes, not text; redirect stdout into a file or a pipe")
        self._pipe = sys.stdout.buffer
        if not raw:
            self._pipe.write(header(LONGEST_UNKNOWN))

    def write(self, pcm: Pcm) -> None:
        """Hand over samples [N] in -1..1.

        Raises:
            OSError: they cannot be written; BrokenPipeError: the reader has gone.
        """
        self._pipe.write(to_int16(pcm))
        self._pipe.flush()

    def close(self) -> None:
        self._pipe.flush()


class NullSink:
    """Nowhere: for a receiver that only counts."""

    def write(self, pcm: Pcm) -> None:
        """Drop samples [N]."""

    def close(self) -> None:
        pass
