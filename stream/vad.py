"""Voice activity: whether a frame holds anything but background. Pure; energy against a noise floor that follows.

The floor is the level of the quietest 20 ms: it falls at once and rises slowly, so that steady noise is learnt within
seconds and speech, which pauses between words, is not (after the minimum statistics of Martin, IEEE Trans. Speech and
Audio Processing, 2001, with one band).
"""

from __future__ import annotations

import numpy as np

from stream.frame import SAMPLE_RATE_HZ, Pcm

PART_SAMPLES = SAMPLE_RATE_HZ // 50
LOWEST_DB = -90.0
FIRST_FLOOR_DB = -60.0  # before anything is known, whatever is louder than a quiet room counts as speech
RISE_DB_PER_S = 3.0
ABOVE_FLOOR_DB = 9.0
QUIETEST_SPEECH_DB = -55.0


class VoiceActivity:
    """The detector of one microphone."""

    def __init__(self) -> None:
        self._floor_db = FIRST_FLOOR_DB

    def active(self, pcm: Pcm) -> bool:
        """Whether these samples [N] in -1..1, a multiple of 20 ms, hold speech."""
        finite = np.nan_to_num(pcm, nan=0.0, posinf=0.0, neginf=0.0)
        parts = finite[: len(finite) // PART_SAMPLES * PART_SAMPLES].reshape(-1, PART_SAMPLES)
        levels_db = 10 * np.log10(np.maximum(np.mean(parts.astype(np.float64) ** 2, axis=1), 10 ** (LOWEST_DB / 10)))
        speech = levels_db.max() > max(self._floor_db + ABOVE_FLOOR_DB, QUIETEST_SPEECH_DB)
        risen_db = self._floor_db + RISE_DB_PER_S * len(finite) / SAMPLE_RATE_HZ
        self._floor_db = float(min(levels_db.min(), risen_db))
        return bool(speech)
