"""Batches of augmented speech, each a pure function of (seed, step).

No reader position exists: step n of a run always hears the same crops with the same speed, level, room and noise, on
any machine, after any interruption and however many processes share the step. That is what makes resuming exact.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from codec.config import DataConfig
from codec.corpus import CorpusError, Entry, PackedCorpus
from codec.data.noises import noise_stretch, with_noise
from codec.effects import change_speed, in_room, room_response
from codec.phones import PHONE_INDEX, parse_alignment
from codec.team import ALONE, Team
from codec.text import text_to_letters
from stream.frame import SAMPLE_RATE_HZ

PEAK = 0.99
SHORTEST_S = 1.2  # whole utterances that are shorter are left out
RECOGNIZER_FRAME_SAMPLES = SAMPLE_RATE_HZ // 25
UNKNOWN_PHONE = -100  # torch's cross entropy ignores it
Item = TypeVar("Item")


@dataclass(frozen=True)
class Crops:
    """`heard` is what the encoder gets, `clean` what it should say: float32 [B, N].

    phones: which phone that is, per 25 Hz frame [B, N / 640]; UNKNOWN_PHONE where phone times are not known.
    """

    heard: np.ndarray
    clean: np.ndarray
    phones: np.ndarray


@dataclass(frozen=True)
class Labelled:
    """Whole utterances for the recogniser, padded with zeros.

    heard: float32 [B, N]; samples: speech samples per row; phones, letters: CTC targets per row; frames: phone class
    per 25 Hz frame [B, N / 640], UNKNOWN_PHONE where phone times are not known; total: rows of the whole step.
    """

    heard: np.ndarray
    samples: np.ndarray
    phones: list[list[int]]
    letters: list[list[int]]
    frames: np.ndarray
    total: int


def set_aside(speaker: str) -> bool:
    """Whether a training speaker (one in forty) is kept for validation instead."""
    return zlib.crc32(speaker.encode()) % 40 == 0


class Batches:
    """Draws batches from packed corpora: of the speakers trained on, or of those set aside for validation."""

    def __init__(self, config: DataConfig, seed: int, validation: bool = False, team: Team = ALONE):
        if len(config.corpora) != len(config.shares):
            raise CorpusError(f"{len(config.corpora)} corpora but {len(config.shares)} shares; give one share per corpus")
        self.config = config
        self.seed = seed
        self.team = team
        self.rows = max(1, int(config.batch_s / config.crop_s))
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
            sorted(
                (e for e in entries if e.phones and SHORTEST_S <= e.samples / SAMPLE_RATE_HZ <= config.longest_s),
                key=lambda e: e.samples,
            )
            for entries in self.entries
        ]

    @property
    def transcribed(self) -> bool:
        """Whether there are whole transcribed utterances to draw."""
        return any(share and entries for share, entries in zip(self.shares, self.labelled, strict=True))

    def require_transcripts(self) -> None:
        """Raise CorpusError where there is no whole transcribed utterance to draw."""
        if not self.transcribed:
            raise CorpusError(
                f"no transcribed speech of {SHORTEST_S:g} to {self.config.longest_s:g} s in {', '.join(self.config.corpora)}; "
                "pack transcripts or raise data.longest_s"
            )

    def _levelled(
        self, rng: np.random.Generator, corpus: PackedCorpus, entry: Entry, start: int, samples: int | None
    ) -> np.ndarray:
        low_db, high_db = self.config.level_db
        gain_db = high_db - (high_db - low_db) * rng.random() ** 2 - entry.level_db
        audio = corpus.audio(entry, start, samples) * np.float32(10 ** (gain_db / 20))
        return np.clip(audio, -PEAK, PEAK)

    def _disturbed(self, rng: np.random.Generator, clean: np.ndarray) -> np.ndarray:
        """What a microphone hears of `clean`: perhaps through a room, perhaps with noise."""
        config, heard = self.config, clean
        if rng.random() < config.room_share:
            heard = in_room(heard, room_response(rng, rng.uniform(*config.room_decay_s), rng.uniform(*config.room_direct_db)))
        if self.noise is not None and rng.random() < config.noise_share:
            entry = self.noise.entries[rng.integers(len(self.noise.entries))]
            noise = noise_stretch(self.noise.audio(entry), len(heard), rng)
            heard = with_noise(heard, noise, rng.uniform(*config.noise_snr_db))
        return np.clip(heard, -1, 1)

    def _crop(self, rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """A stretch of somebody's speech [samples], and the phone in each of its recogniser frames."""
        which = int(rng.choice(len(self.corpora), p=self.shares))
        corpus, entries = self.corpora[which], self.entries[which]
        entry = entries[min(int(np.searchsorted(self.weights[which], rng.random())), len(entries) - 1)]
        speed = rng.uniform(*self.config.speed)
        wanted = int(samples * speed) + 16
        start = int(rng.integers(max(entry.samples - wanted, 0) + 1))
        audio = change_speed(self._levelled(rng, corpus, entry, start, wanted), speed)[:samples]
        before = int(rng.integers(samples - len(audio) + 1))  # a short recording starts anywhere in silence
        middles = (np.arange(samples // RECOGNIZER_FRAME_SAMPLES) + 0.5) * RECOGNIZER_FRAME_SAMPLES - before
        phones = phones_at(entry, (start + middles * speed) / SAMPLE_RATE_HZ)
        return np.pad(audio, (before, samples - len(audio) - before)), phones

    def _row_rng(self, step: int, row: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, step, row])

    def crops(self, step: int) -> Crops:
        """This process's crops of one training step."""
        if self.rows % self.team.size:
            raise CorpusError(f"{self.rows} crops a step do not divide among {self.team.size} processes; change data.batch_s")
        samples = int(self.config.crop_s * SAMPLE_RATE_HZ)
        clean, heard, phones = [], [], []
        for row in self.team.mine(range(self.rows)):
            rng = self._row_rng(step, row)
            audio, said = self._crop(rng, samples)
            clean.append(audio)
            phones.append(said)
            heard.append(self._disturbed(rng, audio))
        return Crops(np.stack(heard), np.stack(clean), np.stack(phones))

    def utterances(self, step: int) -> Labelled:
        """This process's whole transcribed utterances of one step: of similar length, `batch_s` seconds over all processes.

        Raises:
            CorpusError: there are none.
        """
        self.require_transcripts()
        rng = np.random.default_rng([self.seed, step])
        place = rng.random()
        chosen: list[tuple[PackedCorpus, Entry, float]] = []
        for corpus, entries, share in zip(self.corpora, self.labelled, self.shares, strict=True):
            # The same relative place in every corpus: sorted by length, so rows need little padding.
            count, centre = 0, int(place * len(entries))
            budget = self.config.batch_s * share * SAMPLE_RATE_HZ
            nearby = [entries[i] for i in range(max(0, centre - 150), min(len(entries), centre + 150))]
            for choice in rng.permutation(len(nearby)):
                if count >= budget:
                    break
                chosen.append((corpus, nearby[choice], rng.uniform(*self.config.speed)))
                count += nearby[choice].samples
        chosen += chosen[-1:] * (self.team.size - len(chosen))  # every process needs a row, be the step ever so small
        longest = max(int(entry.samples / speed) + 2 for _, entry, speed in chosen)
        longest += -longest % RECOGNIZER_FRAME_SAMPLES
        rows = self.team.mine(range(len(chosen)))
        heard = np.zeros((len(rows), longest), np.float32)
        frames = np.full((len(rows), longest // RECOGNIZER_FRAME_SAMPLES), UNKNOWN_PHONE)
        samples = np.zeros(len(rows), dtype=int)
        for place, row in enumerate(rows):
            corpus, entry, speed = chosen[row]
            audio = self._spoken(self._row_rng(step, row), corpus, entry, speed)
            middles = (np.arange(len(audio) // RECOGNIZER_FRAME_SAMPLES) + 0.5) * RECOGNIZER_FRAME_SAMPLES
            labels = phones_at(entry, middles * speed / SAMPLE_RATE_HZ)
            heard[place, : len(audio)] = audio
            frames[place, : len(labels)] = labels
            samples[place] = len(audio)
        entries = [chosen[row][1] for row in rows]
        return Labelled(
            heard,
            samples,
            [[PHONE_INDEX[phone] for phone in entry.phones.split()] for entry in entries],
            [text_to_letters(entry.transcript) for entry in entries],
            frames,
            len(chosen),
        )

    def _spoken(self, rng: np.random.Generator, corpus: PackedCorpus, entry: Entry, speed: float) -> np.ndarray:
        return self._disturbed(rng, change_speed(self._levelled(rng, corpus, entry, 0, None), speed))


def phones_at(entry: Entry, times_s: np.ndarray) -> np.ndarray:
    """Phone class of a recording at `times_s` [T]: 0 in pauses and outside, UNKNOWN_PHONE where phone times are not known."""
    if not entry.alignment:
        return np.full(len(times_s), UNKNOWN_PHONE)
    phones, ends_s = zip(*parse_alignment(entry.alignment), strict=True)
    classes = np.array([0, *(PHONE_INDEX.get(phone, 0) for phone in phones), 0])
    places = np.searchsorted(np.array([0.0, *ends_s]), times_s)
    return np.asarray(classes[places])


def validation_batches(config: DataConfig, seed: int, transcribed: bool = False) -> Batches | None:
    """Batches of the speakers set aside, or None where the corpora hold none, or none that is `transcribed`."""
    corpora = [PackedCorpus(Path(folder)) for folder in config.corpora]
    aside = any(set_aside(entry.speaker) and not entry.synthetic for corpus in corpora for entry in corpus.entries)
    batches = Batches(config, seed, validation=True) if aside else None
    return batches if batches and (batches.transcribed or not transcribed) else None


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
