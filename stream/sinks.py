"""Sinks of samples: file, pipe, nowhere. The speaker is in speaker.py, an equal citizen.

A sink takes mono float32 blocks at 16 kHz. `-` is stdout: WAV, or with `--raw` signed 16-bit little-endian samples.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stream.errors import FileError, UsageError
from stream.frame import Pcm
from stream.growing import LARGEST_DATA_BYTES, GrowingFlac, GrowingWav
from stream.options import check_writable
from stream.wav_stream import header, to_int16


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
    """A WAV or FLAC file of 16-bit samples, whole at every moment. It appears with its first: nothing heard overwrites nothing."""

    def __init__(self, path: str):
        self._path = path
        self._file: GrowingWav | GrowingFlac | None = None

    def write(self, pcm: Pcm) -> None:
        """Append samples [N] in -1..1.

        Raises:
            FileError: they cannot be written.
        """
        try:
            if self._file is None:
                self._file = (GrowingFlac if self._path.lower().endswith(".flac") else GrowingWav)(Path(self._path))
            self._file.write(to_int16(pcm))
        except OSError:
            raise self._failure() from None

    def close(self) -> None:
        """Write the rest and the header.

        Raises:
            FileError: they cannot be written.
        """
        try:
            if self._file is not None:
                self._file.close()
        except OSError:
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
            self._pipe.write(header(LARGEST_DATA_BYTES))

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
