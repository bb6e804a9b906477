"""What is judged: held-out utterances, drawn from a seed, and what every system hears of them, with or without noise."""

from __future__ import annotations

import random
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import soundfile

from codec.data.corpus import AUDIO_SUFFIXES, INDEX_FILE, CorpusError, PackedCorpus, load_audio
from codec.data.effects import noise_stretch, with_noise
from codec.data.manifest import Utterance
from codec.text import normalize
from stream.errors import FileError, UsageError

SILENT_POWER = 1e-7  # -70 dBFS: a stretch of noise below this is none
ATTEMPTS = 100  # to find a stretch of noise that is not silent


@dataclass(frozen=True)
class Trial:
    """One utterance: `clean` is the reference, `heard` what the systems get; float32 [N] at 16 kHz."""

    utterance: Utterance
    clean: np.ndarray
    heard: np.ndarray


def select_utterances(utterances: Sequence[Utterance], corpus: str, count: int | None, seed: int) -> list[Utterance]:
    """Held-out utterances with a transcript, `count` of them spread over the speakers as evenly as they allow.

    Raises:
        UsageError: none is left.
    """
    heldout = [item for item in utterances if item.split == "heldout" and normalize(item.transcript)]
    if not heldout:
        raise UsageError("no held-out utterance with a transcript; mark some speakers' lines `heldout` in the manifest")
    chosen = [item for item in heldout if corpus.casefold() in item.corpus.casefold()]
    if not chosen:
        corpora = ", ".join(sorted({item.corpus for item in heldout}))
        raise UsageError(f"no held-out utterance of a corpus like {corpus!r}; choose from: {corpora}")
    speakers = defaultdict(list)
    for item in sorted(chosen, key=lambda item: item.path.as_posix()):
        speakers[item.speaker].append(item)
    # Every speaker has random numbers of their own, so that one more speaker changes no other's utterances.
    for speaker, items in speakers.items():
        random.Random(f"{seed} {speaker}").shuffle(items)
    order = sorted(speakers)
    random.Random(seed).shuffle(order)
    rounds = [item for turn in zip_longest(*(speakers[speaker] for speaker in order)) for item in turn if item is not None]
    return sorted(rounds[:count], key=lambda item: item.path.as_posix())


def load_utterance(utterance: Utterance) -> np.ndarray:
    """Samples [N] at 16 kHz.

    Raises:
        FileError: the file is missing, damaged or empty, or holds samples that are no numbers.
    """
    try:
        samples = load_audio(utterance.path)
    except (OSError, soundfile.LibsndfileError):
        raise FileError(f"{utterance.path}: missing or no audio; repair the manifest") from None
    if not len(samples) or not np.isfinite(samples).all():
        raise FileError(f"{utterance.path}: empty or not finite; remove it from the manifest")
    return samples


class Noises:
    """A folder of noise recordings, or one that `python -m codec.data.corpus pack-noise` wrote."""

    def __init__(self, folder: Path):
        """Read all recordings.

        Raises:
            FileError: the folder is missing, or holds no noise or damaged recordings.
        """
        try:
            if (folder / INDEX_FILE).is_file():
                packed = PackedCorpus(folder)
                recordings = [packed.audio(entry) for entry in packed.entries]
            else:
                paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
                recordings = [load_audio(path) for path in paths]
        except (CorpusError, KeyError, TypeError, ValueError, OSError, soundfile.LibsndfileError) as error:
            raise FileError(f"{folder}: no usable noise ({error}); give --noise a folder of recordings") from None
        self.recordings = [samples for samples in recordings if len(samples) and np.mean(samples**2) > SILENT_POWER]
        if not self.recordings:
            raise FileError(f"{folder}: no recordings that can be heard; give --noise a folder of recordings")

    def draw(self, samples: int, rng: np.random.Generator) -> np.ndarray:
        """A stretch [samples] of a random recording, one that can be heard if there is any."""
        for _ in range(ATTEMPTS):
            stretch = noise_stretch(self.recordings[rng.integers(len(self.recordings))], samples, rng)
            if np.mean(stretch**2) > SILENT_POWER:
                break
        return stretch


def make_trials(utterances: Sequence[Utterance], noises: Noises | None, snr_db: float, seed: int) -> list[Trial]:
    """Load utterances, with noise at `snr_db` (ratio of mean powers) where there are noises.

    Which noise an utterance gets depends on the seed, its speaker and its file name alone: not on its neighbours, nor on
    the folder that it lies in.

    Raises:
        FileError: a recording cannot be used.
    """
    trials = []
    for utterance in utterances:
        clean = heard = load_utterance(utterance)
        if noises is not None:
            rng = np.random.default_rng([seed, zlib.crc32(f"{utterance.speaker}/{utterance.path.name}".encode())])
            noisy = with_noise(clean, noises.draw(len(clean), rng), snr_db)
            heard = np.clip(noisy, -1, 1).astype(np.float32)
        trials.append(Trial(utterance, clean, heard))
    return trials
