"""Fading of concealed speech: a decoder guesses on for a moment, then silence is more honest.

The decoder's `lost` input continues the sound of what came before. After half a second of loss the guess fades out
within another half second; when speech returns, it fades in within 20 ms, so that no seam clicks.
"""

from __future__ import annotations

import numpy as np

from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm

HOLD_FRAMES = 6
FADE_OUT_FRAMES = 6
FADE_IN_S = 0.02


class Fade:
    """The gain of one stream, carried from frame to frame."""

    def __init__(self) -> None:
        self._gain = 1.0
        self._lost_frames = 0

    def apply(self, pcm: Pcm, lost: bool) -> Pcm:
        """Samples [1280] with the gain that a frame at this place has; the gain never jumps."""
        self._lost_frames = self._lost_frames + 1 if lost else 0
        if not lost:
            step = 1 / (FADE_IN_S * SAMPLE_RATE_HZ)
        elif self._lost_frames > HOLD_FRAMES:
            step = -1 / (FADE_OUT_FRAMES * SAMPLES_PER_FRAME)
        else:
            step = 0.0
        gains = np.clip(self._gain + step * np.arange(1, SAMPLES_PER_FRAME + 1), 0.0, 1.0).astype(np.float32)
        self._gain = float(gains[-1])
        faded: Pcm = pcm * gains
        return faded
