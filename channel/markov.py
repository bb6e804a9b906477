"""Markov chains in continuous time, sampled exactly at any moments: the step never changes how often a state is seen.

chain = TwoState(bad_share=0.25, mean_bad_s=0.7, rng=np.random.default_rng(1))
chain.at(10.0)  # whether the link is bad at that moment
chain.during(10.0, 12.0)  # [(10.0, False), (11.3, True)]: the states of an interval, each with its beginning
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from channel.checks import above_zero, at_least, between

SHORTEST_S = 0.001  # of mean durations: a shorter one is noise, not a state, and would take for ever to walk through
LARGEST_DB = 200.0


class TwoState:
    """Good and bad periods of exponentially distributed length, from the stationary distribution on.

    With L the share of bad time and B the mean bad period, the chain leaves bad at the rate 1 / B and good at
    L / (B (1 - L)), and forgets its state with the time constant B (1 - L).
    """

    def __init__(self, bad_share: float, mean_bad_s: float, rng: np.random.Generator) -> None:
        """`mean_bad_s` 0 is the limit in which every moment is good or bad on its own; `during` needs more than that."""
        self._bad_share = bad_share
        self._mean_bad_s = mean_bad_s
        self._memory_s = mean_bad_s * (1.0 - bad_share)
        self._rng = rng
        self._bad: bool | None = None
        self._at_s = 0.0

    def bad_probability(self, was_bad: bool, elapsed_s: float) -> float:
        """Probability of bad `elapsed_s` seconds after the chain was seen bad or good."""
        kept = math.exp(-elapsed_s / self._memory_s) if self._memory_s > 0.0 else 0.0
        return self._bad_share + (float(was_bad) - self._bad_share) * kept

    def at(self, now_s: float) -> bool:
        """Whether the chain is bad at `now_s`, which is not before the moment last asked for."""
        known = self._bad
        probability = self._bad_share if known is None else self.bad_probability(known, now_s - self._at_s)
        self._at_s = now_s
        self._bad = bool(self._rng.random() < probability)
        return self._bad

    def during(self, start_s: float, end_s: float) -> list[tuple[float, bool]]:
        """(beginning in seconds, bad) of every period of an interval; the first begins at `start_s`."""
        bad = self.at(start_s)
        periods = [(start_s, bad)]
        if 0.0 < self._bad_share < 1.0:
            mean_good_s = self._mean_bad_s * (1.0 - self._bad_share) / self._bad_share
            # Periods are memoryless: what is left of the present one is as long as a fresh one.
            switch_s = start_s + self._rng.exponential(self._mean_bad_s if bad else mean_good_s)
            while switch_s <= end_s:
                bad = not bad
                periods.append((switch_s, bad))
                switch_s += self._rng.exponential(self._mean_bad_s if bad else mean_good_s)
        self._bad, self._at_s = bad, end_s
        return periods


@dataclass(frozen=True)
class OutageConfig:
    """Seconds of nothing at all, as behind a mast or under a bridge."""

    every_s: float  # mean time from the end of one to the beginning of the next
    mean_s: float  # mean duration

    def __post_init__(self) -> None:
        at_least(SHORTEST_S, "seconds", every_s=self.every_s, mean_s=self.mean_s)


class Outages:
    """What an outage covers in part is lost: of packets of T seconds a share 1 - every / (every + mean) e^(-T / every)."""

    def __init__(self, config: OutageConfig, rng: np.random.Generator) -> None:
        self._chain = TwoState(config.mean_s / (config.every_s + config.mean_s), config.mean_s, rng)

    def cover(self, start_s: float, end_s: float) -> bool:
        """Whether an outage covers any part of the interval."""
        return any(bad for _, bad in self._chain.during(start_s, end_s))


@dataclass(frozen=True)
class DriftConfig:
    """A slow walk of the mean signal-to-noise ratio over a row of levels, up or down one at a time."""

    levels_db: tuple[float, ...]  # added to the ratio; all are equally frequent in the long run
    dwell_s: float  # mean time in an inner level; twice as much in the two at the ends

    def __post_init__(self) -> None:
        if not self.levels_db:
            raise ValueError("levels_db is empty; give at least one level in dB")
        for level_db in self.levels_db:
            between(-LARGEST_DB, LARGEST_DB, "decibels", levels_db=level_db)
        above_zero("seconds", dwell_s=self.dwell_s)


class Drift:
    """A hidden Markov chain: nobody sees its level, only what becomes of the packets under it.

    The mean ratio of an acoustic link shifts on long time scales, and a hidden Markov model fits its packet errors, their
    bursts and their correlation better than a plain one: Tomasi et al., MILCOM 2010, doi 10.1109/MILCOM.2010.5680327.
    """

    def __init__(self, config: DriftConfig, rng: np.random.Generator) -> None:
        self._levels_db = config.levels_db
        self._rng = rng
        count = len(config.levels_db)
        rates = np.zeros((count, count))
        for k in range(count - 1):
            rates[k, k + 1] = rates[k + 1, k] = 0.5 / config.dwell_s
        rates -= np.diag(rates.sum(axis=1))
        # Symmetric, so that any step has a closed form: P(t) = V exp(t E) V'.
        self._speeds, self._modes = np.linalg.eigh(rates)
        self._level: int | None = None
        self._at_s = 0.0

    def probabilities(self, level: int, elapsed_s: float) -> np.ndarray:
        """[levels]: where the chain is `elapsed_s` seconds after it was seen at `level`."""
        row = (self._modes[level] * np.exp(self._speeds * elapsed_s)) @ self._modes.T
        row = np.maximum(row, 0.0)
        return np.asarray(row / row.sum())

    def level_db(self, now_s: float) -> float:
        """The level at `now_s`, which is not before the moment last asked for."""
        count = len(self._levels_db)
        odds = np.full(count, 1.0 / count) if self._level is None else self.probabilities(self._level, now_s - self._at_s)
        self._level = min(int(np.searchsorted(np.cumsum(odds), self._rng.random(), side="right")), count - 1)
        self._at_s = now_s
        return self._levels_db[self._level]
