"""How sure a figure is: 95 % intervals and paired comparisons by resampling utterances.

Every function is pure; the same input and seed give the same digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
_BLOCK = 1_000  # resamples summed at once


@dataclass(frozen=True)
class Interval:
    """A figure and the ends of its 95 % confidence interval, in the figure's unit."""

    value: float
    low: float
    high: float


NOTHING = Interval(float("nan"), float("nan"), float("nan"))


@lru_cache(maxsize=4)
def _draws(utterances: int, seed: int) -> list[NDArray[np.int32]]:
    """How often each utterance is drawn in each resample, with replacement: blocks [_BLOCK, utterances].

    They depend on the seed and the number of utterances alone, so that all systems see the same resamples.
    """
    random = np.random.default_rng(seed)
    even = np.full(utterances, 1 / utterances)
    return [random.multinomial(utterances, even, size=_BLOCK).astype(np.int32) for _ in range(RESAMPLES // _BLOCK)]


def _resampled_sums(columns: Sequence[Sequence[float]], seed: int) -> Iterator[NDArray[np.float64]]:
    """Sums [_BLOCK, columns] over the utterances drawn: column i holds one number per utterance."""
    values = np.asarray(columns, dtype=np.float64)
    for counts in _draws(values.shape[1], seed):
        yield counts @ values.T


def _interval(value: float, resampled: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def ratio_interval(parts: Sequence[float], wholes: Sequence[float], seed: int) -> Interval:
    """sum(parts) / sum(wholes) with its 95 % bootstrap interval over utterances (Bisani and Ney 2004, ICASSP).

    parts, wholes: one number per utterance, like errors and words. A whole of 0 words counts as 1.
    """
    resampled = np.concatenate([sums[:, 0] / np.maximum(sums[:, 1], 1) for sums in _resampled_sums([parts, wholes], seed)])
    return _interval(sum(parts) / max(sum(wholes), 1), resampled)


def mean_interval(values: Sequence[float], seed: int) -> Interval:
    """Mean of one number per utterance with its 95 % bootstrap interval; NaN values are left out."""
    known = [value for value in values if np.isfinite(value)]
    return ratio_interval(known, [1.0] * len(known), seed) if known else NOTHING


def paired_difference(
    parts: Sequence[float], other_parts: Sequence[float], wholes: Sequence[float], seed: int
) -> tuple[Interval, float]:
    """Difference of two ratios on the same utterances, and the two-sided p-value of the paired bootstrap.

    Both systems are resampled together (Bisani and Ney 2004): an utterance that is hard for both tells nothing. p is
    twice the share of resamples whose difference has the rarer sign or is zero, at most 1, at least
    2 / (resamples + 1). Utterances without a finite number for both are left out; without any p is NaN.
    """
    rows = np.asarray([parts, other_parts, wholes], dtype=np.float64)
    rows = rows[:, np.isfinite(rows).all(axis=0)]
    if not rows.size:
        return NOTHING, float("nan")
    resampled = np.concatenate(
        [(sums[:, 0] - sums[:, 1]) / np.maximum(sums[:, 2], 1) for sums in _resampled_sums(rows.tolist(), seed)]
    )
    rarer = min(int(np.sum(resampled <= 0)), int(np.sum(resampled >= 0)))
    p_value = min(1.0, 2 * (rarer + 1) / (len(resampled) + 1))
    return _interval((rows[0].sum() - rows[1].sum()) / max(rows[2].sum(), 1), resampled), p_value
