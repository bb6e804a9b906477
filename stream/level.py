"""How loud samples are: a level meter. Pure: its time is that of the samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from stream.frame import SAMPLE_RATE_HZ, Pcm

QUIETEST_DB = -90.0  # what a meter shows for silence
FULL_SCALE = 32766 / 32768  # converters clip here
LEVEL_S = 0.3  # time constant of the level, that of a VU meter (IEC 60268-17)
PEAK_FALL_DB_S = 12.0  # the peak falls so fast, about as a programme meter's does (IEC 60268-10)
CLIP_HOLD_S = 2.0  # so long after a clipped sample the meter still says so


class LevelMeter:
    """Level, peak and clipping of a stream of samples."""

    def __init__(self) -> None:
        self.peak_db = QUIETEST_DB
        self.clipped_samples = 0
        self._power = 0.0
        self._since_clip_s = math.inf

    @property
    def level_db(self) -> float:
        """Root of the mean square in dB of full scale, smoothed."""
        return max(QUIETEST_DB, 10 * math.log10(self._power)) if self._power > 0 else QUIETEST_DB

    @property
    def clipping(self) -> bool:
        """Whether a sample was clipped within the last two seconds of samples."""
        return self._since_clip_s < CLIP_HOLD_S

    def add(self, pcm: Pcm) -> None:
        """Take samples [N] in -1..1."""
        if not len(pcm):
            return
        seconds = len(pcm) / SAMPLE_RATE_HZ
        magnitudes = np.abs(pcm)
        share = 1 - math.exp(-seconds / LEVEL_S)
        self._power += share * (float(np.mean(magnitudes.astype(np.float64) ** 2)) - self._power)
        loudest = float(magnitudes.max())
        peak_db = 20 * math.log10(loudest) if loudest > 0 else QUIETEST_DB
        self.peak_db = max(QUIETEST_DB, peak_db, self.peak_db - PEAK_FALL_DB_S * seconds)
        clipped = int(np.count_nonzero(magnitudes >= FULL_SCALE))
        self.clipped_samples += clipped
        self._since_clip_s = 0.0 if clipped else self._since_clip_s + seconds

    def watch(self, blocks: Iterable[Pcm]) -> Iterator[Pcm]:
        """The same blocks, measured as they pass."""
        for block in blocks:
            self.add(block)
            yield block
