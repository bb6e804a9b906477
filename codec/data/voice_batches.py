"""Batches for the voice: random stretches of the lessons, some of them with the mistakes that a decoder makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.data.voice_data import FIELDS, read_shards
from codec.network.phones import PHONE_CLASSES, PHONES, STRESS_CLASSES
from codec.network.synthesis import FRAME_HOPS
from codec.network.voice import Said

MISTAKEN = 0.3  # of the rows
BY_PHONE = 0.3  # of the rows have the voicing that their phones should have
VOICED_PHONES = np.array([phone not in {"", *"tskpfhʃʧθ"} for phone in PHONES], np.float32)
LARGEST, SMALLEST = -1.3, 0.7  # speaker sizes, octaves of pitch


class VoiceBatches:
    """Rows drawn at random from all shards of a folder; `refresh` takes in new ones.

    What is drawn depends on the generator and on the shards alone.
    """

    def __init__(self, folder: Path, rows: int, frames: int, ahead_frames: int):
        """`ahead_frames`: how much later than what is said the envelopes are wanted."""
        self.folder, self.rows, self.frames, self.ahead_frames = folder, rows, frames, ahead_frames
        self.shards: list[dict[str, np.ndarray]] = []
        self._known: set[str] = set()
        self.refresh()

    def refresh(self) -> None:
        self.shards += read_shards(self.folder, self._known)

    @property
    def hours(self) -> float:
        return sum(len(shard["phones"]) for shard in self.shards) / 50 / 3600

    def draw(self, rng: np.random.Generator) -> tuple[Said, Tensor, Tensor]:
        """What is said, and the envelopes of tone and air [rows, 2 frames, KNOTS], `ahead_frames` late."""
        rows = [self._row(rng) for _ in range(self.rows)]
        joined = {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}
        said = Said(*(joined[name] for name in Said._fields))
        return said, joined["tone"], joined["air"]

    def _row(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        shard = self.shards[int(rng.integers(len(self.shards)))]
        start = int(rng.integers(self.ahead_frames, len(shard["phones"]) - self.frames))
        row = {}
        for name in FIELDS:
            rate, first = (FRAME_HOPS, start - self.ahead_frames) if name in ("tone", "air") else (1, start)
            row[name] = shard[name][rate * first : rate * (first + self.frames)]
        mistaken = rng.random() < MISTAKEN
        phones, stress, voicing = row["phones"].astype(int), row["stress"].astype(int), row["voicing"].astype(np.float32)
        if mistaken:
            place = misplaced(phones, rng)
            phones, stress = phones[place], stress[place]
            voicing = voicing[np.clip(np.arange(self.frames) + int(rng.integers(-1, 2)), 0, self.frames - 1)]
        if rng.random() < BY_PHONE:
            voicing = VOICED_PHONES[phones]
        size = np.full(self.frames, rng.uniform(LARGEST, SMALLEST), np.float32)
        level = rng.uniform(-0.15, 0.15)
        return {
            "phones": softened(phones, PHONE_CLASSES, mistaken, rng),
            "stress": softened(stress, STRESS_CLASSES, mistaken, rng),
            "pitch": (row["pitch"].astype(np.float32) + size + level).astype(np.float32),
            "voicing": np.abs(voicing - (rng.uniform(0, 0.3) if mistaken else 0)).astype(np.float32),
            "energy": (row["energy"] + rng.normal(0, 0.05, self.frames)).astype(np.float32),
            "size": size,
            "tone": row["tone"].astype(np.float32),
            "air": row["air"].astype(np.float32),
        }


def misplaced(phones: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Frames [T] to read labels from: a third of the boundaries a frame off, 2 % of the frames from a neighbour."""
    frames = len(phones)
    place = np.arange(frames)
    for boundary in np.flatnonzero(np.diff(phones)) + 1:  # the first frame of a new phone
        way = rng.random()
        if way < 1 / 6:
            place[boundary] = boundary - 1
        elif way < 1 / 3:
            place[boundary - 1] = boundary
    strayed = rng.random(frames) < 0.02
    place = np.where(strayed, place + rng.choice([-5, -4, -3, 3, 4, 5], frames), place)
    return np.clip(place, 0, frames - 1)


def softened(labels: np.ndarray, classes: int, mistaken: bool, rng: np.random.Generator) -> np.ndarray:
    """Labels [T] -> probabilities float32 [T, classes]: certain, or (half of the mistaken rows) 0.6 to 1 with a rival."""
    certain = F.one_hot(torch.from_numpy(labels), classes).float().numpy()
    if not mistaken or rng.random() < 0.5:
        return certain
    sure = rng.uniform(0.6, 1, (len(labels), 1)).astype(np.float32)
    rivals = np.clip(np.arange(len(labels)) + rng.choice([-4, -2, 2, 4], len(labels)), 0, len(labels) - 1)
    return np.asarray(sure * certain + (1 - sure) * certain[rivals], np.float32)
