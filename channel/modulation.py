"""From the signal-to-noise ratio of a symbol to the probability that a bit of it is wrong."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BITS_PER_SYMBOL = {"bpsk": 1, "qpsk": 2, "fsk": 1}


def error_probability(modulation: str, snr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability [N] of a wrong bit at the ratio [N] of symbol energy to noise density, not in decibels.

    Coherent BPSK and Gray-coded QPSK: Q(sqrt(2 e)) with e the energy of a bit; binary FSK without a phase reference:
    exp(-e / 2) / 2. J. G. Proakis, Digital Communications, chapters on optimum receivers and on fading channels.
    """
    if modulation == "fsk":
        return np.asarray(0.5 * np.exp(-0.5 * snr))
    amplitude = np.sqrt(snr / BITS_PER_SYMBOL[modulation])
    return 0.5 * np.array([*map(math.erfc, amplitude.tolist())])
