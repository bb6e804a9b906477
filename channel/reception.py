"""A modem's ear: signal-to-noise ratio symbol by symbol, from it wrong bits, and packets that it does not notice at all.

config = ReceptionConfig("qpsk", snr_db=10.0, fading=FadingConfig(doppler_hz=1.0, k_db=6.0))
reception = Reception(config, np.random.default_rng(1))
noticed = reception.open(start_s=0.0, end_s=0.64, bits=256)
received = reception.damage(packet)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from channel.checks import between
from channel.fading import Fading, FadingConfig
from channel.markov import LARGEST_DB, Drift, DriftConfig
from channel.modulation import BITS_PER_SYMBOL, error_probability
from channel.shadowing import Shadowing, ShadowingConfig

POINTS_PER_TURN = 32  # gains are computed this often in a period of the Doppler shift and interpolated between


@dataclass(frozen=True)
class ReceptionConfig:
    """Modulation, mean signal-to-noise ratio, and what changes it."""

    modulation: str  # bpsk, qpsk: coherent; fsk: binary, without a phase reference
    snr_db: float  # mean symbol energy over noise density outside any shadow
    detection_db: float | None = None  # a packet whose first symbol is weaker is not noticed and lost; None: all are noticed
    fading: FadingConfig | None = None  # None: a steady signal
    shadowing: ShadowingConfig | None = None
    drift: DriftConfig | None = None

    def __post_init__(self) -> None:
        if self.modulation not in BITS_PER_SYMBOL:
            raise ValueError(f"modulation is {self.modulation!r}; give one of {', '.join(BITS_PER_SYMBOL)}")
        between(-LARGEST_DB, LARGEST_DB, "decibels", snr_db=self.snr_db)
        if self.detection_db is not None:
            between(-LARGEST_DB, LARGEST_DB, "decibels, or None to notice every packet,", detection_db=self.detection_db)
        if self.shadowing and not self.fading:
            raise ValueError("shadowing without fading: scattered waves are all that arrives in a shadow; give fading too")


class Reception:
    """One receiver; packets are opened in the order of their times."""

    def __init__(self, config: ReceptionConfig, rng: np.random.Generator) -> None:
        # The order is part of what a seed means: append, never reorder.
        fading, shadowing, drift, self._bits = rng.spawn(4)
        self._config = config
        self._fading = Fading(config.fading, fading) if config.fading else None
        self._shadowing = Shadowing(config.shadowing, shadowing) if config.shadowing else None
        self._drift = Drift(config.drift, drift) if config.drift else None
        self._snr: NDArray[np.float64] = np.ones(0)

    def open(self, start_s: float, end_s: float, bits: int) -> bool:
        """Receive a packet whose `bits` bits are on air from `start_s` to `end_s`; whether the modem notices it."""
        symbols = max(1, -(-bits // BITS_PER_SYMBOL[self._config.modulation]))
        self._snr = self._symbol_snr(start_s, (end_s - start_s) / symbols, symbols)
        return self._config.detection_db is None or bool(self._snr[0] >= 10.0 ** (self._config.detection_db / 10.0))

    def damage(self, packet: bytes) -> bytes:
        """The packet opened last as its bits are decided."""
        if not packet:
            return packet
        wrong = error_probability(self._config.modulation, self._snr)
        per_bit = np.repeat(wrong, BITS_PER_SYMBOL[self._config.modulation])[: 8 * len(packet)]
        flips = self._bits.random(8 * len(packet)) < per_bit
        return (np.frombuffer(packet, np.uint8) ^ np.packbits(flips)).tobytes()

    def _symbol_snr(self, start_s: float, symbol_s: float, symbols: int) -> NDArray[np.float64]:
        """[symbols] ratios, not in dB, at the middle of every symbol."""
        drift_db = self._drift.level_db(start_s) if self._drift else 0.0
        mean = math.pow(10.0, (self._config.snr_db + drift_db) / 10.0)
        if self._fading is None or self._config.fading is None:
            return np.full(symbols, mean)
        first_s, span_s = start_s + 0.5 * symbol_s, symbol_s * (symbols - 1)
        points = min(symbols, 2 + math.ceil(POINTS_PER_TURN * span_s * self._config.fading.doppler_hz))
        direct, scattered = self._fading.gains(first_s, span_s / max(1, points - 1), points)
        clear = _power(direct + scattered, symbols)
        if self._shadowing is None:
            return clear * mean
        bad, depth_db = self._shadowing.shadows(np.linspace(first_s, first_s + span_s, symbols))
        if not bad.any():
            return clear * mean
        # The depth is told relative to the direct ray; without one, to the mean power of the clear stretch.
        share = self._config.fading.direct_power
        reference = share / (1.0 - share) if share > 0.0 else 1.0
        shadowed = _power(scattered, symbols) * reference * 10.0 ** (depth_db / 10.0)
        return np.where(bad, shadowed, clear) * mean


@lru_cache(maxsize=64)
def _places(points: int, symbols: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where `symbols` lie among `points` that span them, and where these lie."""
    return np.linspace(0.0, points - 1.0, symbols), np.arange(points, dtype=np.float64)


def _power(gains: NDArray[np.complex128], symbols: int) -> NDArray[np.float64]:
    """[symbols] power of gains [paths, points] that span them: complex gains are smooth in a fade, their power is not."""
    points = gains.shape[1]
    if points < symbols:
        at, known = _places(points, symbols)
        gains = np.array([np.interp(at, known, path) for path in gains])
    return np.asarray((np.abs(gains) ** 2).sum(axis=0))
