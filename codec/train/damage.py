"""What a link does to codes in training: packets that do not arrive, and wrong bits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stream.frame import CODE_DIMENSIONS

LOSSY_SHARE = 0.3  # of the rows lose packets
LOSS_CHANCE = (0.02, 0.2)  # of the packets begin a gap
GAP_PACKETS = 1.7  # mean
PACKET_FRAMES = (4, 8, 12)
NOISY_SHARE = 0.15  # of the rows have wrong bits
BIT_ERRORS = (-4.0, -1.7)  # exponents of ten


def random_losses(rng: np.random.Generator, rows: int, frames: int) -> Tensor:
    """Lost flags [rows, frames]: whole packets in bursts, as a two-state link loses them (Gilbert 1960)."""
    lost = np.zeros((rows, frames), np.float32)
    for row in np.flatnonzero(rng.random(rows) < LOSSY_SHARE):
        packet, chance = int(rng.choice(PACKET_FRAMES)), rng.uniform(*LOSS_CHANCE)
        place = int(rng.integers(packet))
        while place < frames:
            if rng.random() < chance:
                gap = packet * int(rng.geometric(1 / GAP_PACKETS))
                lost[row, place : place + gap] = 1
                place += gap
            place += packet
    return torch.from_numpy(lost)


def random_flips(rng: np.random.Generator, rows: int, frames: int) -> Tensor | None:
    """Wrong bits as values 0..3 to be crossed with Gray codes [rows, frames, 8]; None where there are none."""
    flips = np.zeros((rows, frames, CODE_DIMENSIONS), np.int64)
    for row in np.flatnonzero(rng.random(rows) < NOISY_SHARE):
        chance = 10 ** rng.uniform(*BIT_ERRORS)
        flips[row] = sum((rng.random(flips[row].shape) < chance).astype(np.int64) << bit for bit in range(2))
    return torch.from_numpy(flips) if flips.any() else None
