"""Automatic gain control: speech leaves as loud whatever the microphone's level. `y, state = f(x, state)`.

The level is the mean power of speech alone, of which what is far below the loudest counts as a pause (after the active
speech level of ITU-T P.56 and the gate of ITU-R BS.1770). Gain follows it slowly, so that loud and soft words keep
their relation, stays where it is in pauses, and is quick only in the first two seconds of speech. A decision on a frame
acts on that very frame: no delay. Peaks are the limiter's business.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from stream.frame import SAMPLE_RATE_HZ, Pcm

TARGET_DB = -24.0  # of full scale; the middle of what the codec is trained on
HIGHEST_GAIN_DB = 48.0  # speech at -70 dB is as loud as any other, and rounded to 16 bits it is still speech
LOWEST_GAIN_DB = -24.0
LEARNT_S = 2.0  # of speech, after which gain moves at its slow pace, and over which the level is averaged
QUICK_DB_PER_S = (30.0, 100.0)  # up and down, while the level is being learnt
SLOW_DB_PER_S = (6.0, 20.0)
GATE_DB = 12.0  # speech so far below the level is no measure of it
AWAY_S = 2.0  # but if there is no other for so long, or as long as the level was heard, the voice is learnt anew


class State(NamedTuple):
    """What is known of the speech so far."""

    power: float  # mean square of speech; 0 before there was any
    heard_s: float  # of speech that was a measure of it
    quiet_s: float  # of speech since then that was none
    gain_db: float

    @property
    def level_db(self) -> float | None:
        """Of speech, before the gain; None before there was any."""
        return 10 * math.log10(self.power) if self.power else None


def start() -> State:
    """The state before the first sample."""
    return State(0.0, 0.0, 0.0, 0.0)


def level(x: Pcm, speech: bool, state: State, measured: Pcm | None = None) -> tuple[Pcm, State]:
    """Samples [N] of some tens of milliseconds, whether they hold speech, and state -> samples [N] and state.

    measured: what tells their level, if not they.
    """
    if not speech:
        return _amplify(x, state.gain_db, state.gain_db), state
    seconds = len(x) / SAMPLE_RATE_HZ
    loudness = float(np.mean(np.square(x if measured is None else measured, dtype=np.float64)))
    power, heard_s, quiet_s = state.power, state.heard_s, state.quiet_s
    first = heard_s < LEARNT_S and loudness > power * 10 ** (GATE_DB / 10)  # what came before it was no speech
    quiet_s = quiet_s + seconds if loudness < power * 10 ** (-GATE_DB / 10) else 0.0
    if first or quiet_s >= min(AWAY_S, heard_s):
        power, heard_s, quiet_s = loudness, seconds, 0.0
    elif not quiet_s:
        heard_s += seconds
        power += (loudness - power) * seconds / min(heard_s, LEARNT_S)
    wanted_db = TARGET_DB - 10 * math.log10(max(power, 1e-12))
    wanted_db = min(max(wanted_db, LOWEST_GAIN_DB), HIGHEST_GAIN_DB)
    up, down = QUICK_DB_PER_S if heard_s < LEARNT_S else SLOW_DB_PER_S
    gain_db = min(max(wanted_db, state.gain_db - down * seconds), state.gain_db + up * seconds)
    return _amplify(x, state.gain_db, gain_db), State(power, heard_s, quiet_s, gain_db)


def _amplify(x: Pcm, from_db: float, to_db: float) -> Pcm:
    """Samples with a gain that moves evenly in dB."""
    if from_db == to_db == 0:
        return x
    gains_db = from_db + (to_db - from_db) * np.arange(1, len(x) + 1) / len(x)
    amplified: Pcm = (x * 10 ** (gains_db / 20)).astype(np.float32)
    return amplified
