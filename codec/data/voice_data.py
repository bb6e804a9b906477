"""Lessons for the voice: hibari says sentences in ways it would not choose, and random stretches of that become batches.

    python -m codec.data.voice_data --sentences FILE --out FOLDER --count 6000

writes shards of `SHARD` sentences, each an .npz of everything in `Lesson` joined along time; it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codec.data.phonemes import PAUSES, marks_of, text_to_ids
from codec.data.voice_targets import Lesson, held, lesson
from codec.network.phones import CLASS_OF
from codec.network.synthesis import PITCH_UNIT_HZ
from codec.pretrained.hibari import ENERGY_CHANNEL, PITCH_CHANNEL, PITCH_SCALE, Hibari, Spoken
from codec.pretrained.hibari_decoder import HibariDecoder, load_decoder

SHARD = 128
MOST_TOKENS = 220
SET_ASIDE = 50  # one sentence in so many is never learned from
FIELDS = tuple(field.name for field in dataclasses.fields(Lesson))


def set_aside(sentence: str) -> bool:
    """Whether a sentence is for judging, not for learning."""
    return zlib.crc32(sentence.encode()) % SET_ASIDE == 0


def read_sentences(path: Path) -> list[str]:
    """Lines of a text file that are not set aside."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not set_aside(line)]


class Teacher:
    """hibari, speaking with timing, melody and loudness rougher than its own."""

    def __init__(self) -> None:
        self.hibari = Hibari()
        self.decoder: HibariDecoder = load_decoder()

    def say(self, text: str, rng: np.random.Generator) -> Lesson | None:
        """One lesson; None if there is nothing to say or too much."""
        if rng.random() < 0.1:  # some words alone
            words = text.split()
            first = int(rng.integers(len(words)))
            text = " ".join(words[first : first + int(rng.integers(1, 4))])
        ids = text_to_ids(text)
        if not 3 < len(ids) <= MOST_TOKENS:
            return None
        spoken = self.hibari.speak(ids)
        spoken = self.hibari.speak_timed(ids, rough_durations(ids, spoken.durations, rng))
        if spoken.decoder_input.shape[1] < 20:
            return None
        return lesson(self.speak_otherwise(spoken, rng), int(rng.integers(2**31)))

    def speak_otherwise(self, spoken: Spoken, rng: np.random.Generator) -> Spoken:
        """The sentence with its melody widened or narrowed and moved, and its loudness moved, both smoothly."""
        given = spoken.decoder_input.copy()
        frames = given.shape[1]
        voiced = spoken.pitch_hz > 0
        pitch = held(spoken.pitch_hz)
        middle = np.median(pitch)
        pitch = middle + (pitch - middle) * rng.uniform(0.5, 1.6) + rng.uniform(-0.2, 0.2) + wave(frames, 0.06, rng)
        given[PITCH_CHANNEL] = np.where(voiced, PITCH_SCALE * np.log1p(PITCH_UNIT_HZ * np.exp2(pitch)), given[PITCH_CHANNEL])
        given[ENERGY_CHANNEL] += np.where(given[ENERGY_CHANNEL] > -1.5, rng.uniform(-0.4, 0.2) + wave(frames, 0.15, rng), 0)
        with torch.inference_mode():
            spectra = self.decoder(torch.from_numpy(given)[None])
        return dataclasses.replace(spoken, decoder_input=given, spectra={name: value[0].numpy() for name, value in spectra.items()})


def rough_durations(ids: tuple[int, ...], durations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """hibari's durations in steps of 25 ms -> another tempo, every sound longer or shorter at random, pauses between words."""
    marks = marks_of(ids)
    spread = rng.uniform(0.1, 0.4)
    factors = np.exp(rng.normal(0, spread, len(ids))) / rng.uniform(0.7, 1.4)
    found = np.floor(durations * factors + rng.random(len(ids)))
    sound = np.array([mark in CLASS_OF for mark in marks])
    found = np.where(sound & (durations > 0), np.maximum(found, 1), found)
    gap = np.array([mark in PAUSES for mark in marks]) & (rng.random(len(ids)) < rng.choice([0.0, 0.05, 0.2]))
    found = found + np.where(gap, rng.integers(3, 25, len(ids)), 0)
    if rng.random() < 0.3:  # no silence before the first sound
        found[0] = rng.integers(0, 3)
    return found.astype(int)


def wave(frames: int, size: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random curve [frames] at 80 Hz with about that standard deviation."""
    points = rng.normal(0, size, frames // 16 + 3)
    return np.interp(np.arange(frames) / 16, np.arange(len(points)), points)


def write_shards(sentences: list[str], out: Path, count: int, seed: int = 0) -> None:
    """Say `count` sentences, drawn at random, into out/NNNN.npz."""
    out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher()
    for index in range(count // SHARD):
        path = out / f"{index:04d}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng((seed, index))
        lessons: list[Lesson] = []
        while len(lessons) < SHARD:
            found = teacher.say(sentences[int(rng.integers(len(sentences)))], rng)
            if found is not None:
                lessons.append(found)
        joined = {name: np.concatenate([getattr(each, name) for each in lessons]) for name in FIELDS}
        halves = {name: each.astype(np.float16) for name, each in joined.items() if each.dtype == np.float32}
        packed: dict[str, Any] = joined | halves
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, **packed)
        partial.rename(path)
        print(f"{path} {len(joined['phones']) / 50 / 60:.1f} min", flush=True)


def read_shards(folder: Path, known: set[str]) -> Iterator[dict[str, np.ndarray]]:
    """The shards that are not in `known`, which grows."""
    for path in sorted(folder.glob("*.npz")):
        if path.name not in known:
            known.add(path.name)
            with np.load(path) as shard:
                yield {name: shard[name] for name in FIELDS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=Path, required=True, help="text file, one sentence a line")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=6000, help="sentences (default %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    write_shards(read_sentences(args.sentences), args.out, args.count)


if __name__ == "__main__":
    main()
