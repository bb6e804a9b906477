"""Fading of concealed speech: a decoder guesses on for a moment, then a quiet room is more honest, and at last silence.

The decoder's `lost` input continues the sound of what came before. After half a second of loss the guess fades out
within another half second while comfort noise, as loud as the quietest of what was heard before, fades in; the noise
ends within a second once the loss has lasted for three. When speech returns, it fades in within 20 ms and the noise
out, so that no seam clicks.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm

HOLD_FRAMES = 6
FADE_OUT_FRAMES = 6
FADE_IN_S = 0.02
OUTAGE_FRAMES = 38  # 3 s: from here on the noise would only pretend that there is a link
NOISE_FADE_FRAMES = 12
HEARD_FRAMES = 50  # 4 s, of which the quietest is the room's
LOUDEST_NOISE = 0.003  # root of the mean square: -50 dB of full scale
NOISE_POLE = 0.9  # a room hums more than it hisses: first-order low-pass, 3 dB down at 270 Hz


class Fade:
    """Gains and noise of one stream, carried from frame to frame."""

    def __init__(self) -> None:
        self._gain = 1.0
        self._noise_gain = 0.0
        self._lost_frames = 0
        self._levels: deque[float] = deque(maxlen=HEARD_FRAMES)
        self._random = np.random.default_rng(0)
        self._noise_state = 0.0

    def apply(self, pcm: Pcm, lost: bool) -> Pcm:
        """Samples [1280] as they are to be heard at this place; no gain ever jumps."""
        self._lost_frames = self._lost_frames + 1 if lost else 0
        if not lost:
            self._levels.append(float(np.sqrt(np.mean(pcm**2))))
            step = 1 / (FADE_IN_S * SAMPLE_RATE_HZ)
            noise_step = -step
        elif self._lost_frames > HOLD_FRAMES:
            step = -1 / (FADE_OUT_FRAMES * SAMPLES_PER_FRAME)
            noise_step = -1 / (NOISE_FADE_FRAMES * SAMPLES_PER_FRAME) if self._lost_frames > OUTAGE_FRAMES else -step
        else:
            step = noise_step = 0.0
        gains = self._ramp(self._gain, step)
        noise_gains = self._ramp(self._noise_gain, noise_step)
        faded = pcm * gains
        if self._noise_gain or noise_gains[-1]:
            faded = faded + self._noise() * noise_gains
        self._gain, self._noise_gain = float(gains[-1]), float(noise_gains[-1])
        result: Pcm = faded.astype(np.float32)
        return result

    @staticmethod
    def _ramp(gain: float, step: float) -> Pcm:
        ramp: Pcm = np.clip(gain + step * np.arange(1, SAMPLES_PER_FRAME + 1), 0.0, 1.0).astype(np.float32)
        return ramp

    def _noise(self) -> Pcm:
        """Low-pass noise [1280] as loud as the quietest frame heard lately."""
        level = min(min(self._levels, default=0.0), LOUDEST_NOISE)
        white = self._random.standard_normal(SAMPLES_PER_FRAME) * level * np.sqrt(1 - NOISE_POLE**2)
        noise = np.empty(SAMPLES_PER_FRAME)
        state = self._noise_state
        for place, value in enumerate(white):
            state = noise[place] = NOISE_POLE * state + value
        self._noise_state = state
        coloured: Pcm = noise.astype(np.float32)
        return coloured


def stretch(pcm: Pcm, samples: int) -> Pcm:
    """Samples [N] played in the time of `samples`: cubic interpolation, for changes of a few per mille that nobody hears."""
    if samples == len(pcm):
        return pcm
    places = np.arange(samples) * (len(pcm) - 1) / (samples - 1)
    left = places.astype(int)
    t = places - left
    padded = np.concatenate([pcm[:1], pcm, pcm[-1:], pcm[-1:]])
    before, here, there, after = (padded[left + k] for k in range(4))
    # Catmull and Rom, A class of local interpolating splines, 1974.
    slope_here, slope_there = (there - before) / 2, (after - here) / 2
    bend = 2 * (here - there) + slope_here + slope_there
    curve = 3 * (there - here) - 2 * slope_here - slope_there
    stretched: Pcm = (((bend * t + curve) * t + slope_here) * t + here).astype(np.float32)
    return stretched
