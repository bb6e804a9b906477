"""Land mobile satellite: clear stretches, and stretches behind houses and trees where only scattered waves arrive."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channel.checks import above_zero, at_least, between
from channel.markov import LARGEST_DB, SHORTEST_S, TwoState

STEPS_PER_CORRELATION = 8  # the shadow's depth is constant for an eighth of its correlation time
MOST_STEPS = 64  # in one packet


@dataclass(frozen=True)
class ShadowingConfig:
    """The two states of Lutz et al., IEEE Trans. Veh. Technol. 40 (1991), with durations in seconds: metres / speed."""

    good_s: float  # mean duration of a clear stretch
    bad_s: float  # of a shadowed one
    mean_db: float  # mean power of the scattered waves in the shadow, over the power of the direct ray outside
    deviation_db: float  # of that power, which is lognormal
    correlation_s: float  # after this time the depth of the shadow has forgotten all but 1/e of itself

    def __post_init__(self) -> None:
        at_least(SHORTEST_S, "seconds", good_s=self.good_s, bad_s=self.bad_s)
        between(-LARGEST_DB, LARGEST_DB, "decibels", mean_db=self.mean_db)
        between(0.0, LARGEST_DB, "decibels", deviation_db=self.deviation_db)
        above_zero("seconds", correlation_s=self.correlation_s)

    @property
    def bad_share(self) -> float:
        """Share of the time in the shadow."""
        return self.bad_s / (self.good_s + self.bad_s)


class Shadowing:
    """Good or bad, and how deep the shadow is: a Gauss-Markov process in decibels, sampled exactly at any step."""

    def __init__(self, config: ShadowingConfig, rng: np.random.Generator) -> None:
        states, self._depths = rng.spawn(2)
        self._config = config
        self._chain = TwoState(config.bad_share, config.bad_s, states)
        self._normal: float | None = None
        self._at_s = 0.0

    def depth_db(self, now_s: float) -> float:
        """Mean power in the shadow at `now_s`, in dB, whether or not the link is in it."""
        kept = 0.0 if self._normal is None else math.exp(-(now_s - self._at_s) / self._config.correlation_s)
        self._normal = kept * (self._normal or 0.0) + math.sqrt(1.0 - kept * kept) * self._depths.standard_normal()
        self._at_s = now_s
        return self._config.mean_db + self._config.deviation_db * self._normal

    def shadows(self, times_s: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """(in the shadow [N], its mean power in dB [N]) at ascending times [N] in seconds."""
        start_s, end_s = float(times_s[0]), float(times_s[-1])
        periods = self._chain.during(start_s, end_s)
        begins = np.array([begin_s for begin_s, _ in periods])
        bad = np.array([state for _, state in periods])[np.searchsorted(begins, times_s, side="right") - 1]
        if not bad.any():
            return bad, np.zeros(len(times_s))
        steps = math.ceil(STEPS_PER_CORRELATION * (end_s - start_s) / self._config.correlation_s)
        step_s = (end_s - start_s) / max(1, min(steps, MOST_STEPS))
        count = 1 if step_s == 0.0 else min(steps, MOST_STEPS)
        depths = np.array([self.depth_db(start_s + k * step_s) for k in range(count)])
        index = np.zeros(len(times_s), int) if count == 1 else ((times_s - start_s) / step_s).astype(int)
        return bad, depths[np.minimum(index, count - 1)]
