"""Limiter: no sample leaves louder than the ceiling, without a click and without clipping. `y, state = f(x, state)`.

Gain moves in straight lines between the borders of parts of 5 ms. At each border it is small enough for the parts on
both sides, so that it is already down when a peak comes; for that it looks one part ahead and delays the sound by as
much. It comes back within a fifth of a second.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream.frame import SAMPLE_RATE_HZ, Pcm

PART_SAMPLES = SAMPLE_RATE_HZ // 200
DELAY_SAMPLES = PART_SAMPLES
CEILING_DB = -1.0
RELEASE_DB_PER_S = 50.0

CEILING = 10 ** (CEILING_DB / 20)
RELEASE = 10 ** (RELEASE_DB_PER_S * PART_SAMPLES / SAMPLE_RATE_HZ / 20)


class State(NamedTuple):
    """The part that waits, and the gain at its beginning."""

    waiting: Pcm
    gain: float


def start() -> State:
    """The state before the first sample: silence waits."""
    return State(np.zeros(PART_SAMPLES, np.float32), 1.0)


def limit(x: Pcm, state: State) -> tuple[Pcm, State]:
    """Samples [N], a multiple of 5 ms, and state -> samples [N], 5 ms later, none beyond the ceiling, and state."""
    parts = np.concatenate([state.waiting, x]).reshape(-1, PART_SAMPLES)
    allowed = np.minimum(1.0, CEILING / np.maximum(np.abs(parts).max(axis=1), CEILING))
    gains = np.empty(len(parts))  # at the borders; the last part waits for the next call
    gain = gains[0] = state.gain
    for border in range(1, len(parts)):
        gain = gains[border] = min(allowed[border - 1], allowed[border], gain * RELEASE)
    slope = np.arange(1, PART_SAMPLES + 1) / PART_SAMPLES
    ramps = gains[:-1, None] * (1 - slope) + gains[1:, None] * slope
    limited: Pcm = (parts[:-1] * ramps).reshape(-1).astype(np.float32)
    return limited, State(parts[-1].astype(np.float32), float(gain))
