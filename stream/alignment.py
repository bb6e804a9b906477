"""How much later speech is heard than it was spoken, from recordings of both. Pure.

A codec of a few hundred bits per second keeps no waveform: levels are compared, in bands, 2.5 ms at a time.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stream.frame import SAMPLE_RATE_HZ, Pcm

HOP_SAMPLES = SAMPLE_RATE_HZ // 400
WINDOW_SAMPLES = 8 * HOP_SAMPLES
EDGES_HZ = (100, 300, 600, 1000, 1600, 2500, 4000)
RANGE_DB = 50.0  # below the loudest, levels say nothing


def band_levels(pcm: Pcm) -> NDArray[np.float64]:
    """Samples [N] -> levels [bands, steps] in dB around their mean, a step every 2.5 ms."""
    windows = np.lib.stride_tricks.sliding_window_view(pcm, WINDOW_SAMPLES)[::HOP_SAMPLES] * np.hanning(WINDOW_SAMPLES)
    power = np.abs(np.fft.rfft(windows, axis=1)) ** 2
    places = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / SAMPLE_RATE_HZ)
    bands = [power[:, (places >= low) & (places < high)].sum(axis=1) for low, high in pairwise(EDGES_HZ)]
    levels = 10 * np.log10(np.maximum(bands, np.max(bands) * 10 ** (-RANGE_DB / 10) + 1e-12))
    centred: NDArray[np.float64] = levels - levels.mean(axis=1, keepdims=True)
    return centred


def delay_s(spoken: Pcm, heard: Pcm, longest_s: float = 6.0) -> float:
    """Seconds, from 0 to `longest_s`, by which `heard` [N] follows `spoken` [N]; both begin at the same moment."""
    before, after = band_levels(spoken), band_levels(heard)
    steps = min(before.shape[1], after.shape[1])
    size = 1 << (2 * steps - 1).bit_length()
    spectra = np.fft.rfft(after[:, :steps], size) * np.conj(np.fft.rfft(before[:, :steps], size))
    match = np.fft.irfft(spectra.sum(axis=0), size)[: min(steps, round(longest_s * SAMPLE_RATE_HZ / HOP_SAMPLES) + 1)]
    best = int(match.argmax())
    if 0 < best < len(match) - 1:  # the peak of the parabola through three points
        left, top, right = match[best - 1 : best + 2]
        return float((best + (left - right) / (2 * (left - 2 * top + right))) * HOP_SAMPLES / SAMPLE_RATE_HZ)
    return best * HOP_SAMPLES / SAMPLE_RATE_HZ
