"""Finite scalar quantisation: 8 dimensions x 4 levels = 16 bits a frame, nothing else.

Mentzer et al. 2023 (arXiv 2309.15505): every dimension is bounded and rounded on its own, so there is no codebook to
collapse and no side information. The levels are -1.5, -0.5, 0.5, 1.5 (cells of width 1 on the bounded range -2..2);
the decoder sees them divided by 1.5.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stream.frame import CODE_LEVELS

HALF = CODE_LEVELS / 2
LARGEST = HALF - 0.5


def bound(x: Tensor) -> Tensor:
    """Encoder output of any size -> positions in (-2, 2)."""
    return HALF * torch.tanh(x)


def positions_to_codes(positions: Tensor) -> Tensor:
    """Positions in [-2, 2] -> codes 0..3 (int64), the nearest level."""
    return torch.clamp(torch.floor(positions + HALF), 0, CODE_LEVELS - 1).to(torch.int64)


def codes_to_values(codes: Tensor) -> Tensor:
    """Codes 0..3 -> what the decoder sees: -1, -1/3, 1/3, 1."""
    return (codes.to(torch.float32) - LARGEST) / LARGEST


def damage(codes: Tensor, flips: Tensor) -> Tensor:
    """What arrives of codes 0..3 when the bits set in `flips` 0..3 are wrong on air, where a level is a Gray code."""
    gray = (codes ^ (codes >> 1)) ^ flips
    return gray ^ (gray >> 1)


def quantize(positions: Tensor, flips: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Positions -> (codes, values). The gradient passes to the positions as if nothing had been rounded or damaged.

    `flips` are wrong bits on the way to the decoder (see `damage`): they change the values, not the codes.
    """
    codes = positions_to_codes(positions)
    received = codes if flips is None else damage(codes, flips)
    continuous = positions / LARGEST
    return codes, continuous + (codes_to_values(received) - continuous).detach()
