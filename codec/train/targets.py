"""Batches of frames, and how far what the decoder says is from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.data.frames import QUIET_ENERGY, Frames
from codec.network.decoder import DELAY_FRAMES, Scores
from codec.network.phones import CLASS_OF, SILENCE, VOWELS

MOST_COUNTED_FRAMES = 12  # of one phone: longer ones weigh no more
VOWEL_CLASSES = torch.tensor(sorted(CLASS_OF[phone] for phone in VOWELS))
WEIGHTS = {"phones": 1.0, "stress": 0.15, "pitch": 1.5, "voicing": 0.4, "energy": 0.4, "size": 0.4}


class Target(NamedTuple):
    """Frames of a batch, [B, T] each."""

    phones: Tensor  # int64
    stress: Tensor  # int64
    pitch: Tensor
    voiced: Tensor
    energy: Tensor
    size: Tensor
    weight: Tensor  # of each frame in the cross entropy of phones; 0 where nothing is known

    @property
    def prosody(self) -> Tensor:
        """[B, T, 4] for the phone encoder."""
        return torch.stack((self.pitch, self.voiced, self.energy, self.size), 2)


def phone_weights(phones: np.ndarray) -> np.ndarray:
    """Weights [T] by which every phone counts alike however long it lasts: one over its length in frames."""
    if not len(phones):
        return np.zeros(0, np.float32)
    edges = np.concatenate(([0], np.flatnonzero(np.diff(phones)) + 1, [len(phones)]))
    lengths = np.diff(edges)
    return np.repeat(1 / np.minimum(lengths, MOST_COUNTED_FRAMES), lengths).astype(np.float32)


def batch_target(items: list[list[tuple[Frames, float]]], count: int) -> Target:
    """Rows of consecutive (frames, size) -> a batch of `count` frames; what is missing at the end is silence without weight."""
    rows = len(items)
    phones, stress = np.full((rows, count), SILENCE, np.int64), np.zeros((rows, count), np.int64)
    pitch, voiced = np.zeros((rows, count), np.float32), np.zeros((rows, count), np.float32)
    energy, size = np.full((rows, count), QUIET_ENERGY, np.float32), np.zeros((rows, count), np.float32)
    weight = np.zeros((rows, count), np.float32)
    for row, parts in enumerate(items):
        place = 0
        for frames, its_size in parts:
            take = min(len(frames), count - place)
            here, cut = np.s_[row, place : place + take], frames.cut(0, take)
            phones[here], stress[here], pitch[here], voiced[here] = cut.phones, cut.stress, cut.pitch, cut.voiced
            energy[here], size[here], weight[here] = cut.energy, its_size, phone_weights(cut.phones)
            place += take
    return Target(*(torch.from_numpy(each) for each in (phones, stress, pitch, voiced, energy, size, weight)))


def distance(said: Scores, target: Target, warm_up_frames: int = 0) -> tuple[Tensor, dict[str, float]]:
    """Loss of what was said, DELAY_FRAMES late, and its parts; `warm_up_frames` at the beginning do not count."""
    late = [each[:, DELAY_FRAMES + warm_up_frames :] for each in said]
    phones, stress, pitch, voiced, energy, size = late
    known = Target(*(each[:, warm_up_frames : each.shape[1] - DELAY_FRAMES] for each in target))
    weight, heard = known.weight, (known.weight > 0).float()
    entropy = F.cross_entropy(phones.flatten(0, 1), known.phones.flatten(), reduction="none").view_as(weight)
    vowel = torch.isin(known.phones, VOWEL_CLASSES.to(phones.device)).float() * weight
    stress_entropy = F.cross_entropy(stress.flatten(0, 1), known.stress.flatten(), reduction="none").view_as(weight)
    sung = known.voiced * heard
    parts = {
        "phones": (entropy * weight).sum() / weight.sum().clamp(min=1),
        "stress": (stress_entropy * vowel).sum() / vowel.sum().clamp(min=1),
        "pitch": ((pitch - known.pitch).abs() * sung).sum() / sung.sum().clamp(min=1),
        "voicing": (F.binary_cross_entropy_with_logits(voiced, known.voiced, reduction="none") * heard).sum()
        / heard.sum().clamp(min=1),
        "energy": ((energy - known.energy).abs() * heard).sum() / heard.sum().clamp(min=1),
        "size": ((size - known.size).abs() * heard).sum() / heard.sum().clamp(min=1),
    }
    loss = sum((WEIGHTS[name] * part for name, part in parts.items()), torch.zeros((), device=phones.device))
    metrics = {name: float(part.detach()) for name, part in parts.items()}
    right = (phones.argmax(2) == known.phones).float()
    metrics["frames_right"] = float((right * heard).sum() / heard.sum().clamp(min=1))
    metrics["phones_right"] = float((right * weight).sum() / weight.sum().clamp(min=1))
    return loss, metrics
