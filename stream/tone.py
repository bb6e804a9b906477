"""Test tone, for setting levels and for hearing whether a link or a speaker is there at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm

LEVEL_DB = -20.0  # of full scale, peak
EDGE_SAMPLES = SAMPLE_RATE_HZ // 100  # 10 ms in and out, so that it does not click


def tone(hz: float, seconds: float, stopped: Callable[[], bool] = lambda: False) -> Iterator[Pcm]:
    """Blocks of 80 ms of a sine, until it has lasted or `stopped`."""
    total = round(seconds * SAMPLE_RATE_HZ)
    for start in range(0, total, SAMPLES_PER_FRAME):
        if stopped():
            return
        places = np.arange(start, min(start + SAMPLES_PER_FRAME, total))
        edge = np.clip(np.minimum(places, total - places) / EDGE_SAMPLES, 0, 1)
        sine: Pcm = (10 ** (LEVEL_DB / 20) * edge * np.sin(2 * np.pi * hz / SAMPLE_RATE_HZ * places)).astype(np.float32)
        yield sine
