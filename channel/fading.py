"""Fading by scattered waves: a complex gain whose mean power is 1, Rayleigh or Rician, with the spectrum of the Doppler effect.

The gain is a sum of sinusoids and so a plain function of time: no step, no memory, no growth, the same at any moment
however often it was asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from channel.checks import at_least, between

WAVES = 64  # sinusoids a path: the power then has the moments of a Rayleigh channel to 1 part in 64
SPECTRA = ("jakes", "gaussian")
LARGEST_K_DB = 100.0


@dataclass(frozen=True)
class FadingConfig:
    """How the waves arrive."""

    doppler_hz: float  # jakes: the largest shift, speed / wavelength; gaussian: twice the standard deviation of the shifts
    k_db: float | None = None  # power of the direct ray over that of the scattered ones; None: no direct ray, Rayleigh
    spectrum: str = "jakes"  # waves from all around; gaussian: those of the ionosphere
    paths: int = 1  # independent paths of equal power, far enough apart in delay for the receiver to add their energy

    def __post_init__(self) -> None:
        at_least(0.0, "hertz", doppler_hz=self.doppler_hz)
        if self.k_db is not None:
            between(-LARGEST_K_DB, LARGEST_K_DB, "decibels, or None for Rayleigh,", k_db=self.k_db)
        if self.spectrum not in SPECTRA:
            raise ValueError(f"spectrum is {self.spectrum!r}; give one of {', '.join(SPECTRA)}")
        if not 1 <= self.paths <= 16:
            raise ValueError(f"paths is {self.paths}; give 1 to 16")

    @property
    def direct_power(self) -> float:
        """Share of the direct ray in the mean power."""
        if self.k_db is None:
            return 0.0
        k = math.pow(10.0, self.k_db / 10.0)
        return k / (1.0 + k)


class Fading:
    """Sum of sinusoids with random phases after Xiao, Zheng and Beaulieu, IEEE Trans. Wireless Commun. 5 (2006).

    The scattered part has the autocorrelation J0(2 pi f tau) for the spectrum of Jakes, f the largest shift, and
    exp(-2 (pi s tau)^2) for the Gaussian one, s the standard deviation. Shifts lie at the midpoints of equally probable
    steps, turned by one random angle, so that a single run shows these and not only the mean of many.
    """

    def __init__(self, config: FadingConfig, rng: np.random.Generator) -> None:
        self._config = config
        steps = (np.arange(WAVES) + rng.random((config.paths, 1))) / WAVES  # [paths, waves]
        if config.spectrum == "jakes":
            shifts_hz = config.doppler_hz * np.cos(math.pi * steps)  # half a circle: the other half repeats the shifts
        else:
            normal = NormalDist(0.0, 0.5 * config.doppler_hz) if config.doppler_hz > 0.0 else None
            steps = np.clip(steps, 1e-6, 1 - 1e-6)
            shifts_hz = np.vectorize(normal.inv_cdf)(steps) if normal else np.zeros_like(steps)
        self._turns = 2 * math.pi * shifts_hz  # [paths, waves] in radians per second
        self._phases = 2 * math.pi * rng.random((config.paths, WAVES))
        self._direct_turns = 2 * math.pi * config.doppler_hz * np.cos(2 * math.pi * rng.random(config.paths))
        self._direct_phases = 2 * math.pi * rng.random(config.paths)
        self._steps: tuple[float, int] | None = None  # of the turns below: packets of a link are of one length
        self._coarse = self._fine = np.zeros((0, 0, 0), np.complex128)

    def scattered(self, start_s: float, step_s: float, count: int) -> NDArray[np.complex128]:
        """[paths, count] gains of mean power 1 of the scattered waves alone, at `start_s` and then every `step_s`."""
        first = np.exp(1j * (self._turns * start_s + self._phases)) / math.sqrt(WAVES)
        # A sinusoid at n = block a + b is that at `block a` turned on by b: few exponentials and one product of matrices.
        step_s = round(step_s, 12)  # differences of times are not exact: so packets of one size have one step
        if self._steps != (step_s, count):
            block = math.isqrt(max(1, count - 1)) + 1
            turns = self._turns[:, None] * step_s  # [paths, 1, waves]
            self._coarse = np.exp(1j * turns * (block * np.arange(-(-count // block)))[:, None])
            self._fine = np.exp(1j * turns * np.arange(block)[:, None]).transpose(0, 2, 1)
            self._steps = step_s, count
        gains = (first[:, None] * self._coarse) @ self._fine  # [paths, blocks, block]
        return np.asarray(gains.reshape(len(first), -1)[:, :count])

    def gains(self, start_s: float, step_s: float, count: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """[paths, count] of direct ray and of scattered waves; the power of their sum, added over paths, is 1 on average."""
        share = self._config.direct_power
        scale = 1.0 / math.sqrt(self._config.paths)
        scattered = scale * math.sqrt(1.0 - share) * self.scattered(start_s, step_s, count)
        if not share:
            return np.zeros_like(scattered), scattered
        times_s = start_s + step_s * np.arange(count)
        direct = np.exp(1j * (self._direct_turns[:, None] * times_s + self._direct_phases[:, None]))
        return scale * math.sqrt(share) * direct, scattered
