"""What happens to speech before it is heard: another speed, a room. Functions of numpy arrays; no torch.

Noise is in codec.data.noises.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.fft import irfft, rfft

from stream.frame import SAMPLE_RATE_HZ


def change_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """Resample [N] so that it plays `speed` times faster, pitch and formants with it."""
    found: np.ndarray = soxr.resample(samples, SAMPLE_RATE_HZ * speed, SAMPLE_RATE_HZ, quality="LQ")
    return found


def room_response(rng: np.random.Generator, decay_s: float, direct_db: float) -> np.ndarray:
    """Impulse response [N] of a room: the direct sound, then noise that decays by 60 dB in `decay_s`.

    The statistical model of late reverberation of Polack (1988), begun 2 ms after the direct sound. `direct_db` is the
    energy of the direct sound relative to the rest.
    """
    samples = int(decay_s * SAMPLE_RATE_HZ)
    tail = rng.standard_normal(samples) * 10 ** (-3 * np.arange(samples) / samples)
    tail[: SAMPLE_RATE_HZ // 500] = 0
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1
    return tail.astype(np.float32)


def in_room(dry: np.ndarray, response: np.ndarray) -> np.ndarray:
    """`dry` [N] as heard through `response`, at the same mean power."""
    size = 1 << (len(dry) + len(response)).bit_length()
    wet = irfft(rfft(dry, size) * rfft(response, size), size)[: len(dry)].astype(np.float32)
    found: np.ndarray = wet * np.sqrt(np.sum(dry**2) / (np.sum(wet**2) + 1e-12))
    return found
