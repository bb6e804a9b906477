"""Spectral envelopes: a few numbers per frame on a warped frequency axis, stretched to the size of a speaker's vocal tract.

An envelope is a natural logarithm at KNOTS frequencies, close together below and wide apart above, and linear between them.
It belongs to the voice that was learned; another speaker's is the same shape along a stretched axis.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

KNOTS = 112
TOP_HZ = 10_400.0  # what a stretch by 0.77 brings to 8 kHz
BEND_HZ = 2500.0  # knots lie 37 Hz apart at 0 Hz, twice that here
STRETCH_PER_OCTAVE = 0.25  # of pitch: half the pitch has a vocal tract 2 ** 0.25 = 1.19 times as long


def knot_frequencies_hz() -> np.ndarray:
    """[KNOTS], from 0 to TOP_HZ."""
    return BEND_HZ * np.expm1(np.linspace(0, np.log1p(TOP_HZ / BEND_HZ), KNOTS))


class Envelope(nn.Module):
    """Knots [B, T, KNOTS] and size [B, T] (octaves of pitch against the learned voice) -> logarithms at `count` frequencies.

    Args:
        count: how many; step_hz: 0, step_hz, 2 step_hz ...
    """

    hertz: Tensor

    def __init__(self, count: int, step_hz: float):
        super().__init__()
        self.register_buffer("hertz", torch.arange(count) * step_hz, persistent=False)
        self.scale = (KNOTS - 1) / float(np.log1p(TOP_HZ / BEND_HZ))

    def forward(self, knots: Tensor, size: Tensor) -> Tensor:
        """-> [B, T, count]: what the voice has at f / 2 ** (STRETCH_PER_OCTAVE size)."""
        hertz = self.hertz * torch.exp2(-STRETCH_PER_OCTAVE * size)[..., None]
        place = torch.clamp(torch.log1p(hertz / BEND_HZ) * self.scale, max=KNOTS - 1.001)
        below = torch.floor(place)
        index = below.long()
        low, high = torch.gather(knots, -1, index), torch.gather(knots, -1, index + 1)
        return low + (high - low) * (place - below)
