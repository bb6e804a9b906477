"""Noise gate: what lies between words is turned down. `y, state = f(x, state)`.

Parts of 20 ms are as the microphone gave them while they stand out of the noise floor and for a moment after; else
they are 15 dB quieter. The floor is that of voice activity detection.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream.frame import SAMPLE_RATE_HZ, Pcm
from stream.vad import ABOVE_FLOOR_DB, FIRST_FLOOR_DB, PART_SAMPLES, follow_floor, part_levels_db

CLOSED_GAIN = 10 ** (-15 / 20)
HOLD_PARTS = 10  # 200 ms: the ends of words are quiet
OPENING_SAMPLES = SAMPLE_RATE_HZ // 200  # 5 ms: shorter would click
CLOSING = 0.8  # of the gain is left with each part


class State(NamedTuple):
    """The noise floor, the gain so far, and how many parts it still stays open."""

    floor_db: float
    gain: float
    hold: int


def start() -> State:
    """The state before the first sample: open."""
    return State(FIRST_FLOOR_DB, 1.0, 0)


def gate(x: Pcm, state: State, measured: Pcm | None = None) -> tuple[Pcm, State]:
    """Samples [N], a multiple of 20 ms, and state -> samples [N] and state. measured: what tells their level, if not they."""
    floor_db, gain, hold = state
    gains = []
    opening = np.minimum(np.arange(1, PART_SAMPLES + 1) / OPENING_SAMPLES, 1.0)
    closing = np.arange(1, PART_SAMPLES + 1) / PART_SAMPLES
    for level_db in part_levels_db(x if measured is None else measured):
        hold = HOLD_PARTS if level_db > floor_db + ABOVE_FLOOR_DB else max(hold - 1, 0)
        wanted, ramp = (1.0, opening) if hold else (max(gain * CLOSING, CLOSED_GAIN), closing)
        gains.append(gain + (wanted - gain) * ramp)
        gain = wanted
        floor_db = follow_floor(floor_db, level_db, PART_SAMPLES)
    gated: Pcm = (x * np.concatenate(gains)).astype(np.float32) if gains else x
    return gated, State(floor_db, gain, hold)
