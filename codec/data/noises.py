"""Noise for training and for evaluation: which recordings belong to which, stretches of them, and mixing. No torch.

Training must not hear the noises that evaluation adds. Which those are is a matter of their file names alone, so that both
sides know it without a list, and a recording never changes sides because others came or went: see `is_held_out_noise`.
"""

from __future__ import annotations

import csv
import re
import zlib
from pathlib import Path

import numpy as np
import soundfile

from codec.data.audio import AUDIO_SUFFIXES, load_audio
from stream.errors import FileError

HELD_OUT_OF = 5  # one source of so many is held out
TAKE = re.compile(r"-[A-Z]$")  # ESC-50 cuts several takes, -A, -B, ..., from one recording: they sound alike
SILENT_POWER = 1e-7  # -70 dBFS: a stretch of noise below this is none
ATTEMPTS = 100  # to find a stretch of noise that is not silent


def is_held_out_noise(path: str | Path) -> bool:
    """Whether a noise recording is for evaluation only: CRC-32 of its source's name is a multiple of 5.

    The source's name is the file's without folder and suffix, and without a take's letter (`1-172649-B.opus` is
    `1-172649`), so that all takes of a recording, in whatever format, are on one side.
    """
    source = TAKE.sub("", Path(path).stem)
    return zlib.crc32(source.encode()) % HELD_OUT_OF == 0


def noise_paths(where: Path) -> list[Path]:
    """Recordings below a folder, or those of a tab separated list with a column `path` relative to it; sorted.

    Raises:
        FileError: there is no such folder or list, or it holds none.
    """
    if where.is_dir():
        found = [path for path in where.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES]
    else:
        try:
            with where.open(encoding="utf-8", newline="") as file:
                rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                found = [where.parent / row["path"] for row in rows if row.get("path")]
        except (OSError, UnicodeDecodeError):
            raise FileError(f"{where}: no folder of noises and no list of them; give a folder of recordings") from None
    if not found:
        raise FileError(f"{where}: no recordings; give a folder of noises, or a tab separated list with a column path")
    return sorted(found)


def with_noise(clean: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Add `noise` [N] to `clean` [N] at the given ratio of mean powers."""
    ratio = np.mean(clean**2) / (np.mean(noise**2) + 1e-12) * 10 ** (-snr_db / 10)
    noisy: np.ndarray = clean + noise * np.sqrt(ratio).astype(np.float32)
    return noisy


def noise_stretch(recording: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """`samples` samples of a recording [N] from a random place; a short recording repeats."""
    return np.resize(np.roll(recording, int(rng.integers(len(recording)))), samples)


class Noises:
    """Noise recordings in memory: those of one side of the rule."""

    def __init__(self, where: Path, held_out: bool):
        """Read the recordings of a folder or list that are held out, or those that are not.

        Raises:
            FileError: the folder or list is missing, a recording is damaged, or none is left.
        """
        paths = [path for path in noise_paths(where) if is_held_out_noise(path) == held_out]
        try:
            recordings = [load_audio(path) for path in paths]
        except (OSError, soundfile.LibsndfileError) as error:
            raise FileError(f"{where}: no usable noise ({error}); repair or remove the recording") from None
        self.recordings = [samples for samples in recordings if len(samples) and np.mean(samples**2) > SILENT_POWER]
        if not self.recordings:
            side = "held out" if held_out else "left for training"
            raise FileError(f"{where}: no noise that can be heard is {side} (by file name, codec/data/noises.py); add recordings")

    def draw(self, samples: int, rng: np.random.Generator) -> np.ndarray:
        """A stretch [samples] of a random recording, one that can be heard if there is any."""
        for _ in range(ATTEMPTS):
            stretch = noise_stretch(self.recordings[rng.integers(len(self.recordings))], samples, rng)
            if np.mean(stretch**2) > SILENT_POWER:
                break
        return stretch
