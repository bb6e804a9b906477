"""Figures of decoded speech: word errors, intelligibility, mel distance, and how sure the figures are.

Every function is pure; the same input and seed give the same digits.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from codec.config import HOP_SAMPLES, SAMPLE_RATE_HZ, ModelConfig
from codec.text import normalize

if TYPE_CHECKING:
    from torch import Tensor

    from codec.frontend import LogMel

# torch, jiwer and pystoi are imported where they are used: the recogniser's processes import this module without
# needing them, and a missing extra is reported in one line instead of a traceback.

RESAMPLES = 10_000
_BLOCK = 1_000  # resamples held in memory at once


@dataclass(frozen=True)
class WordErrors:
    """Substitutions, deletions and insertions of a hypothesis, and the number of words of its reference."""

    errors: int
    words: int


@dataclass(frozen=True)
class Interval:
    """A figure and the ends of its 95 % confidence interval, in the figure's unit."""

    value: float
    low: float
    high: float


def word_errors(reference: str, hypothesis: str) -> WordErrors:
    """Word errors of the best alignment of two texts, both normalised first. An empty reference has 0 words."""
    import jiwer

    reference, hypothesis = normalize(reference), normalize(hypothesis)
    if not reference:
        return WordErrors(len(hypothesis.split()), 0)
    counts = jiwer.process_words(reference, hypothesis)
    return WordErrors(counts.substitutions + counts.deletions + counts.insertions, len(reference.split()))


def intelligibility(original: np.ndarray, decoded: np.ndarray, extended: bool = False) -> float:
    """STOI, or extended STOI, of decoded against original samples, both [N] at 16 kHz: about 0 to 1.

    Taal et al. 2011 (IEEE TASLP 19), Jensen and Taal 2016 (IEEE TASLP 24). NaN where less than 384 ms remain once
    silence is removed: the measure is not defined there.
    """
    import pystoi

    # Extended STOI adds noise of 1e-16 before it normalises, which decides the figure where the output is silent.
    random_state = np.random.get_state()
    np.random.seed(0)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Not enough STFT frames", category=RuntimeWarning)
            return float(pystoi.stoi(original, decoded, SAMPLE_RATE_HZ, extended=extended))
    except RuntimeWarning:
        return float("nan")
    finally:
        np.random.set_state(random_state)


@cache
def _frontend() -> LogMel:
    from codec.frontend import LogMel

    return LogMel(ModelConfig().mels)


def log_mel(samples: np.ndarray) -> Tensor:
    """Normalised log-mel [1, T, mels] of samples [N], filled up with zeros to whole frames of 10 ms."""
    import torch

    frontend = _frontend()
    padded = np.pad(samples.astype(np.float32), (0, -len(samples) % HOP_SAMPLES))
    with torch.no_grad():
        mel: Tensor = frontend(torch.from_numpy(padded)[None], frontend.initial_state(1))[0]
    return mel


def mel_distance(original: np.ndarray, decoded: np.ndarray) -> float:
    """Mean absolute difference of the log-mel of samples [N] and [N], in nepers (natural logarithm) per bin."""
    from codec.frontend import LOG_DEVIATION

    return float((log_mel(original) - log_mel(decoded)).abs().mean()) * LOG_DEVIATION


def _resampled_sums(columns: Sequence[Sequence[float]], seed: int) -> Iterator[np.ndarray]:
    """Sums [resamples, columns] over utterances drawn with replacement: column i holds one number per utterance.

    The draws depend on the seed and the number of utterances alone, so two systems see the same resamples.
    """
    values = np.asarray(columns, dtype=np.float64)
    utterances = values.shape[1]
    random = np.random.default_rng(seed)
    for _ in range(RESAMPLES // _BLOCK):
        counts = random.multinomial(utterances, np.full(utterances, 1 / utterances), size=_BLOCK)
        yield counts @ values.T


def _interval(value: float, resampled: np.ndarray) -> Interval:
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
    if not known:
        return Interval(float("nan"), float("nan"), float("nan"))
    return ratio_interval(known, [1.0] * len(known), seed)


def paired_difference(
    errors: Sequence[float], other_errors: Sequence[float], words: Sequence[float], seed: int
) -> tuple[Interval, float]:
    """Difference of two error rates on the same utterances, and the two-sided p-value of the paired bootstrap.

    Both systems are resampled together (Bisani and Ney 2004): an utterance that is hard for both tells nothing.
    p is twice the share of resamples whose difference has the rarer sign or is zero, at most 1, at least 2 / (resamples + 1).
    """
    resampled = np.concatenate(
        [(sums[:, 0] - sums[:, 1]) / np.maximum(sums[:, 2], 1) for sums in _resampled_sums([errors, other_errors, words], seed)]
    )
    rarer = min(int(np.sum(resampled <= 0)), int(np.sum(resampled >= 0)))
    p_value = min(1.0, 2 * (rarer + 1) / (len(resampled) + 1))
    return _interval((sum(errors) - sum(other_errors)) / max(sum(words), 1), resampled), p_value
