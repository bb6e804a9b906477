"""Batches of augmented speech, each a pure function of (seed, step).

No reader position exists: step n of a run always hears the same crops with the same speed, level and noise, on any
machine and after any interruption. That is what makes resuming exact.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import soxr

from codec.config import SAMPLE_RATE_HZ, DataConfig
from codec.corpus import CorpusError, Entry, PackedCorpus
from codec.phones import PHONE_INDEX, parse_alignment

PEAK = 0.99
RECOGNIZER_FRAME_SAMPLES = SAMPLE_RATE_HZ // 25
UNKNOWN_PHONE = -100  # torch's cross entropy ignores it
Item = TypeVar("Item")


@dataclass(frozen=True)
class Crops:
    """`heard` is what the encoder gets, `clean` what it should say: float32 [B, N]."""

    heard: np.ndarray
    clean: np.ndarray


@dataclass(frozen=True)
class Labelled:
    """Whole utterances for the recogniser, padded with zeros.

    heard: float32 [B, N]; samples: speech samples per row; phones: CTC targets per row; frames: phone class per
    25 Hz frame [B, N / 640], UNKNOWN_PHONE where phone times are not known.
    """

    heard: np.ndarray
    samples: np.ndarray
    phones: list[list[int]]
    frames: np.ndarray


def change_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """Resample [N] so that it plays `speed` times faster, pitch and formants with it."""
    return soxr.resample(samples, SAMPLE_RATE_HZ * speed, SAMPLE_RATE_HZ, quality="LQ")


def with_noise(clean: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Add `noise` [N] to `clean` [N] at the given ratio of mean powers."""
    ratio = np.mean(clean**2) / (np.mean(noise**2) + 1e-12) * 10 ** (-snr_db / 10)
    return clean + noise * np.sqrt(ratio).astype(np.float32)


def set_aside(speaker: str) -> bool:
    """Whether a training speaker (one in forty) is kept for validation instead."""
    return zlib.crc32(speaker.encode()) % 40 == 0


class Batches:
    """Draws batches from packed corpora: of the speakers trained on, or of those set aside for validation."""

    def __init__(self, config: DataConfig, seed: int, validation: bool = False):
        if len(config.corpora) != len(config.shares):
            raise CorpusError(f"{len(config.corpora)} corpora but {len(config.shares)} shares; give one share per corpus")
        self.config = config
        self.seed = seed
        self.corpora = [PackedCorpus(Path(folder)) for folder in config.corpora]
        self.noise = PackedCorpus(Path(config.noise)) if config.noise_share else None
        # Synthetic voices are few and validate nothing: they are trained on whole.
        self.entries = [
            [e for e in corpus.entries if e.samples and (set_aside(e.speaker) and not e.synthetic) == validation]
            for corpus in self.corpora
        ]
        self.shares = np.array([share if entries else 0.0 for share, entries in zip(config.shares, self.entries, strict=True)])
        if not self.shares.sum():
            raise CorpusError(
                f"no {'validation' if validation else 'training'} speech in {', '.join(config.corpora)}; pack more speakers"
            )
        self.shares /= self.shares.sum()
        # A crop starts in a recording with a chance proportional to its length.
        self.weights = []
        for entries in self.entries:
            lengths = np.array([entry.samples for entry in entries], dtype=float)
            self.weights.append(np.cumsum(lengths) / lengths.sum() if entries else lengths)
        self.labelled = [
            sorted((e for e in entries if e.phones and 1.2 <= e.samples / SAMPLE_RATE_HZ <= 9), key=lambda e: e.samples)
            for entries in self.entries
        ]

    def _levelled(
        self, rng: np.random.Generator, corpus: PackedCorpus, entry: Entry, start: int, samples: int | None
    ) -> np.ndarray:
        mean_db, deviation_db = self.config.level_db
        gain_db = mean_db + deviation_db * float(np.clip(rng.standard_normal(), -2, 2)) - entry.level_db
        audio = corpus.audio(entry, start, samples) * np.float32(10 ** (gain_db / 20))
        return np.clip(audio, -PEAK, PEAK)

    def _noisy(self, rng: np.random.Generator, clean: np.ndarray) -> np.ndarray:
        if self.noise is None or rng.random() >= self.config.noise_share:
            return clean
        entry = self.noise.entries[rng.integers(len(self.noise.entries))]
        noise = np.resize(np.roll(self.noise.audio(entry), int(rng.integers(entry.samples))), len(clean))
        return np.clip(with_noise(clean, noise, rng.uniform(*self.config.noise_snr_db)), -1, 1)

    def _crop(self, rng: np.random.Generator, samples: int) -> np.ndarray:
        which = int(rng.choice(len(self.corpora), p=self.shares))
        corpus, entries = self.corpora[which], self.entries[which]
        entry = entries[min(int(np.searchsorted(self.weights[which], rng.random())), len(entries) - 1)]
        speed = rng.uniform(*self.config.speed)
        wanted = int(samples * speed) + 16
        start = int(rng.integers(max(entry.samples - wanted, 0) + 1))
        audio = change_speed(self._levelled(rng, corpus, entry, start, wanted), speed)[:samples]
        before = int(rng.integers(samples - len(audio) + 1))  # a short recording starts anywhere in silence
        return np.pad(audio, (before, samples - len(audio) - before))

    def crops(self, step: int) -> Crops:
        """The crops of one training step."""
        rng = np.random.default_rng([self.seed, step])
        samples = int(self.config.crop_s * SAMPLE_RATE_HZ)
        clean = [self._crop(rng, samples) for _ in range(max(1, int(self.config.batch_s / self.config.crop_s)))]
        return Crops(np.stack([self._noisy(rng, item) for item in clean]), np.stack(clean))

    def utterances(self, step: int) -> Labelled:
        """Whole transcribed utterances of similar length, about `batch_s` seconds in all."""
        rng = np.random.default_rng([self.seed, step])
        place, items = rng.random(), []
        for corpus, entries, share in zip(self.corpora, self.labelled, self.shares, strict=True):
            # The same relative place in every corpus: sorted by length, so rows need little padding.
            count, centre = 0, int(place * len(entries))
            budget = self.config.batch_s * share * SAMPLE_RATE_HZ
            nearby = [entries[i] for i in range(max(0, centre - 150), min(len(entries), centre + 150))]
            for choice in rng.permutation(len(nearby)):
                if count >= budget:
                    break
                items.append(self._labelled_item(rng, corpus, nearby[choice]))
                count += nearby[choice].samples
        longest = max(len(audio) for audio, _, _ in items)
        longest += -longest % RECOGNIZER_FRAME_SAMPLES
        heard = np.stack([np.pad(audio, (0, longest - len(audio))) for audio, _, _ in items])
        frames = np.full((len(items), longest // RECOGNIZER_FRAME_SAMPLES), UNKNOWN_PHONE)
        for row, (_, _, labels) in zip(frames, items, strict=True):
            row[: len(labels)] = labels
        return Labelled(heard, np.array([len(audio) for audio, _, _ in items]), [phones for _, phones, _ in items], frames)

    def _labelled_item(
        self, rng: np.random.Generator, corpus: PackedCorpus, entry: Entry
    ) -> tuple[np.ndarray, list[int], np.ndarray]:
        speed = rng.uniform(*self.config.speed)
        audio = self._noisy(rng, change_speed(self._levelled(rng, corpus, entry, 0, None), speed))
        labels = np.zeros(0, dtype=int)
        if entry.alignment:
            phones, ends_s = zip(*parse_alignment(entry.alignment), strict=True)
            middles_s = (np.arange(len(audio) // RECOGNIZER_FRAME_SAMPLES) + 0.5) * RECOGNIZER_FRAME_SAMPLES / SAMPLE_RATE_HZ
            places = np.searchsorted(np.array(ends_s) / speed, middles_s).clip(max=len(phones) - 1)
            labels = np.array([PHONE_INDEX.get(phones[place], 0) for place in places])
        return audio, [PHONE_INDEX[phone] for phone in entry.phones.split()], labels


def validation_batches(config: DataConfig, seed: int) -> Batches | None:
    """Batches of the speakers set aside, or None where the corpora hold none."""
    corpora = [PackedCorpus(Path(folder)) for folder in config.corpora]
    aside = any(set_aside(entry.speaker) and not entry.synthetic for corpus in corpora for entry in corpus.entries)
    return Batches(config, seed, validation=True) if aside else None


def prefetch(make: Callable[[int], Item], first: int, last: int, depth: int = 3) -> Iterator[tuple[int, Item]]:
    """Yield (step, make(step)) for steps first..last - 1, made ahead on one thread."""
    with ThreadPoolExecutor(1) as pool:
        pending = [(step, pool.submit(make, step)) for step in range(first, min(first + depth, last))]
        while pending:
            step, future = pending.pop(0)
            item = future.result()
            if step + depth < last:
                pending.append((step + depth, pool.submit(make, step + depth)))
            yield step, item
