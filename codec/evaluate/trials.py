"""What is judged: held-out utterances, drawn from a seed, and what every system hears of them, with or without noise."""

from __future__ import annotations

import random
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

import numpy as np
import soundfile

from codec.data.audio import load_audio
from codec.data.manifest import Utterance
from codec.data.noises import Noises, with_noise
from codec.data.pitch import track_pitch
from codec.evaluate.words import normalize
from stream.errors import FileError, UsageError

MALE_BELOW_HZ = 160.0


class Original:
    """Samples of an original, float32 [N] at 16 kHz, and its pitch, tracked once for all systems."""

    def __init__(self, samples: np.ndarray):
        self.samples = samples

    @cached_property
    def pitch_hz(self) -> np.ndarray:
        """[T] every 10 ms, 0 where unvoiced."""
        return track_pitch(self.samples)


@dataclass(frozen=True)
class Trial:
    """One utterance: `original` is the clean reference, `heard`, float32 [N] at 16 kHz, what the systems get."""

    utterance: Utterance
    original: Original
    heard: np.ndarray

    @property
    def clean(self) -> np.ndarray:
        return self.original.samples


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


def make_trials(utterances: Sequence[Utterance]) -> list[Trial]:
    """Load utterances; everyone hears the original.

    Raises:
        FileError: a recording cannot be used.
    """
    trials = []
    for utterance in utterances:
        samples = load_utterance(utterance)
        trials.append(Trial(utterance, Original(samples), samples))
    return trials


def in_noise(trials: Sequence[Trial], noises: Noises, snr_db: float, seed: int) -> list[Trial]:
    """The same utterances heard with noise at `snr_db` (ratio of mean powers).

    Which noise an utterance gets depends on the seed, its speaker and its file name alone: not on its neighbours, nor on
    the folder that it lies in.
    """
    noisy = []
    for trial in trials:
        spoken = trial.utterance
        rng = np.random.default_rng([seed, zlib.crc32(f"{spoken.speaker}/{spoken.path.name}".encode())])
        heard = with_noise(trial.clean, noises.draw(len(trial.clean), rng), snr_db)
        noisy.append(Trial(spoken, trial.original, np.clip(heard, -1, 1).astype(np.float32)))
    return noisy


def male_speakers(trials: Sequence[Trial]) -> set[str]:
    """Speakers whose median pitch over all voiced frames of their originals is below 160 Hz.

    A manifest does not tell sex. Medians of men lie around 120 Hz, of women around 200 Hz, and few of either beyond 160 Hz
    (Peterson and Barney 1952, JASA 24: 132 and 223 Hz on average). Speakers of whom nothing is voiced are left out.
    """
    tracks = defaultdict(list)
    for trial in trials:
        tracks[trial.utterance.speaker].append(trial.original.pitch_hz)
    voiced_hz = {speaker: np.concatenate(each) for speaker, each in tracks.items()}
    voiced_hz = {speaker: pitch_hz[pitch_hz > 0] for speaker, pitch_hz in voiced_hz.items()}
    return {speaker for speaker, pitch_hz in voiced_hz.items() if len(pitch_hz) and np.median(pitch_hz) < MALE_BELOW_HZ}
