"""Channels -> mono. What two microphones or a balanced line carry in opposite phase adds instead of vanishing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.frame import Pcm

QUIET = 0.1  # of the power of the loudest
OPPOSITE = -0.5  # correlation with the reference below which a channel is taken the other way round
AGREEING = 0.0  # and above which it is taken as it is again
MEMORY_S = 1.0  # of the correlation: one loud instant of a stereo recording turns nothing round


class Mixer:
    """The mean over the channels of one stream, each with the sign that it needs."""

    def __init__(self, rate_hz: float):
        self._rate_hz = rate_hz
        self._products: NDArray[np.float64] | None = None  # [channels, channels], leaky sums
        self._signs: NDArray[np.float32] | None = None
        self._reference = 0  # the channel that the others are compared with: one that is not quiet
        self.inverted = False  # whether any channel ever was

    def __call__(self, block: Pcm) -> Pcm:
        """Samples [N] or [N, channels] -> [N]."""
        if block.ndim == 1 or block.shape[1] == 1:
            return block.reshape(len(block))
        if not len(block):
            return np.zeros(0, np.float32)
        before, signs = self._signs, self._follow(block)
        self._signs = signs
        if before is None or np.array_equal(before, signs):
            mixed: Pcm = (block @ signs / np.float32(len(signs))).astype(np.float32)
            return mixed
        ramp = np.arange(1, len(block) + 1, dtype=np.float32)[:, None] / len(block)  # no click
        mixed = ((block * (before + (signs - before) * ramp)).sum(axis=1) / len(signs)).astype(np.float32)
        return mixed

    def _follow(self, block: Pcm) -> NDArray[np.float32]:
        """The sign of each channel from this block on."""
        channels = block.shape[1]
        finite = np.clip(np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0), -1e6, 1e6).astype(np.float64)
        finite -= finite.mean(axis=0)  # an offset is no sound, and has no phase
        kept = float(np.exp(-len(block) / self._rate_hz / MEMORY_S))
        products = finite.T @ finite
        self._products = products if self._products is None else self._products * kept + products
        powers = np.diag(self._products)
        loudest = int(powers.argmax())
        signs = np.ones(channels, np.float32) if self._signs is None else self._signs.copy()
        if powers[loudest] <= 0:
            return signs
        if powers[self._reference] < QUIET * powers[loudest]:  # not each time another one is a little louder: mono would turn round
            self._reference = loudest
        scale = np.sqrt(powers * powers[self._reference])
        correlation = np.divide(self._products[self._reference], scale, out=np.zeros(channels), where=scale > 0)
        same = signs[self._reference]
        signs[correlation > AGREEING] = same
        signs[correlation < OPPOSITE] = -same
        self.inverted |= bool((signs < 0).any())
        return signs
