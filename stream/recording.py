"""Recordings of what was sent or heard: WAV files whose header is right at any moment, whatever ends the program.

A disk that is full ends the recording, not the speech.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stream.errors import FileError
from stream.frame import SAMPLE_RATE_HZ, Pcm
from stream.growing import GrowingWav
from stream.wav_stream import to_int16

WRITE_SAMPLES = SAMPLE_RATE_HZ  # a second at a time: no more is lost with the program
LARGEST_SAMPLES = 1 << 29  # 1 GiB, nine hours; another file follows


class Recording:
    """A sink that keeps samples in DIR/NAME-DATE-TIME.wav. The file appears with its first second."""

    def __init__(self, folder: str, name: str, notify: Callable[[str], None] = lambda line: None):
        """Make the folder.

        Raises:
            FileError: it cannot be made.
        """
        self._folder, self._name, self._notify = Path(folder), name, notify
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot make {folder}: {(error.strerror or 'error').lower()}; choose another --record") from None
        self.path: Path | None = None
        self._file: GrowingWav | None = None
        self._waiting: list[Pcm] = []
        self._waiting_samples = 0
        self._failed = False

    def write(self, pcm: Pcm) -> None:
        """Keep samples [N] in -1..1."""
        if self._failed:
            return
        self._waiting.append(pcm)
        self._waiting_samples += len(pcm)
        if self._waiting_samples >= WRITE_SAMPLES:
            self._flush()

    def close(self) -> None:
        """Write what waits."""
        if self._waiting_samples and not self._failed:
            self._flush()
        self._shut()

    def _flush(self) -> None:
        samples = np.concatenate(self._waiting)
        self._waiting, self._waiting_samples = [], 0
        try:
            if self._file is None or self._file.written_samples + len(samples) > LARGEST_SAMPLES:
                self._begin()
            assert self._file is not None
            self._file.write(to_int16(samples))
        except OSError as error:
            self._failed = True
            where = self.path or self._folder
            self._notify(f"recording to {where} ended: {(error.strerror or 'error').lower()}; free space and start again")

    def _begin(self) -> None:
        self._shut()
        stem = f"{self._name}-{time.strftime('%Y%m%d-%H%M%S')}"
        taken = 0
        while (path := self._folder / f"{stem}{f'-{taken}' if taken else ''}.wav").exists():
            taken += 1
        self._file, self.path = GrowingWav(path, new=True), path

    def _shut(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # it was said before
                self._file.close()
            self._file = None
