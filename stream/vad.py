"""Voice activity: whether a frame holds anything but background. Pure; energy against a noise floor that follows.

The floor is the level of the quietest 20 ms: it falls at once and rises slowly, so that steady noise is learnt within
seconds and speech, which pauses between words, is not (after the minimum statistics of Martin, IEEE Trans. Speech and
Audio Processing, 2001, with one band).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.frame import SAMPLE_RATE_HZ, Pcm

PART_SAMPLES = SAMPLE_RATE_HZ // 50
LOWEST = 10**-9.0  # mean square: -90 dB of full scale
FIRST_FLOOR_DB = -60.0  # before anything is known, whatever is louder than a quiet room counts as speech
RISE_DB_PER_S = 3.0
ABOVE_FLOOR_DB = 9.0
QUIETEST_SPEECH_DB = -55.0


def part_levels_db(pcm: Pcm) -> NDArray[np.float64]:
    """Levels [N / 20 ms] in dB of full scale of samples [N]; what is not finite is silence."""
    finite = np.nan_to_num(pcm, nan=0.0, posinf=0.0, neginf=0.0)
    parts = finite[: len(finite) // PART_SAMPLES * PART_SAMPLES].reshape(-1, PART_SAMPLES)
    levels_db: NDArray[np.float64] = 10 * np.log10(np.maximum(np.mean(parts.astype(np.float64) ** 2, axis=1), LOWEST))
    return levels_db


def follow_floor(floor_db: float, quietest_db: float, samples: int) -> float:
    """The noise floor after so many samples, of which the quietest part had this level."""
    return min(float(quietest_db), floor_db + RISE_DB_PER_S * samples / SAMPLE_RATE_HZ)


class VoiceActivity:
    """The detector of one microphone."""

    def __init__(self) -> None:
        self._floor_db = FIRST_FLOOR_DB
        self.loudest_db = 10 * np.log10(LOWEST)  # of 20 ms so far
        self.heard = False  # whether there was any speech

    def active(self, pcm: Pcm, quietest_db: float = QUIETEST_SPEECH_DB) -> bool:
        """Whether these samples [N] in -1..1, a multiple of 20 ms, hold speech; nothing below `quietest_db` is any."""
        levels_db = part_levels_db(pcm)
        speech = levels_db.max() > max(self._floor_db + ABOVE_FLOOR_DB, quietest_db)
        self.loudest_db = max(self.loudest_db, float(levels_db.max()))
        self.heard |= bool(speech)
        self._floor_db = follow_floor(self._floor_db, levels_db.min(), len(pcm))
        return bool(speech)
