"""Figures of one decoded utterance: errors of words and letters, intelligibility, quality, spectral distances.

Every function is pure; the same input gives the same digits.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from codec.config import HOP_SAMPLES, ModelConfig
from codec.text import normalize
from stream.frame import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from torch import Tensor

    from codec.frontend import LogMel

# torch, jiwer, pystoi and pesq are imported where they are used: the recogniser's processes import this module without
# needing them, and a missing extra is reported in one line instead of a traceback.

SPECTRUM_SAMPLES = 512
SPECTRUM_RANGE_DB = 60.0  # below the original's strongest bin everything counts as equally silent


@dataclass(frozen=True)
class TextErrors:
    """Substitutions, deletions and insertions of a hypothesis, and the length of its reference, in words and letters.

    Letters include the single spaces between words.
    """

    errors: int
    words: int
    letter_errors: int
    letters: int


def text_errors(reference: str, hypothesis: str) -> TextErrors:
    """Errors of the best alignments of two texts, both normalised first. An empty reference has 0 words."""
    import jiwer

    reference, hypothesis = normalize(reference), normalize(hypothesis)
    if not reference:
        return TextErrors(len(hypothesis.split()), 0, len(hypothesis), 0)
    words, letters = jiwer.process_words(reference, hypothesis), jiwer.process_characters(reference, hypothesis)
    return TextErrors(
        words.substitutions + words.deletions + words.insertions,
        len(reference.split()),
        letters.substitutions + letters.deletions + letters.insertions,
        len(reference),
    )


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


def pesq_is_missing() -> bool:
    """Whether PESQ cannot be measured because its package is not installed."""
    return find_spec("pesq") is None


def perceptual_quality(original: np.ndarray, decoded: np.ndarray) -> float:
    """Wideband PESQ of samples [N] and [N] at 16 kHz: about 1 (bad) to 4.6 (the original).

    ITU-T P.862.2, in the `pesq` package. NaN without that package, and where it finds no utterance, like in silence or
    in less than a quarter of a second.
    """
    if pesq_is_missing() or not np.any(decoded) or not np.any(original):
        return float("nan")
    from pesq import PesqError, pesq

    value = float(pesq(SAMPLE_RATE_HZ, original, decoded, "wb", on_error=PesqError.RETURN_VALUES))
    return value if value > 0 else float("nan")  # its error codes are negative


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


def _power(samples: np.ndarray) -> np.ndarray:
    """Power spectra [T, bins] of samples [N], one per 10 ms, windows of 32 ms."""
    padded = np.pad(samples.astype(np.float64), SPECTRUM_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, SPECTRUM_SAMPLES)[::HOP_SAMPLES]
    power: np.ndarray = np.abs(np.fft.rfft(frames * np.hanning(SPECTRUM_SAMPLES + 1)[:-1])) ** 2
    return power


def spectral_distance_db(original: np.ndarray, decoded: np.ndarray) -> float:
    """Log-spectral distance of samples [N] and [N] in dB: per frame the root mean square over bins, then the mean.

    Gray and Markel 1976 (IEEE TASSP 24). What lies more than 60 dB below the original's strongest bin counts as lying
    60 dB below it: otherwise the figure would tell how silent the pauses are.
    """
    powers = _power(original), _power(decoded)
    floor = max(float(powers[0].max()), 1e-12) * 10 ** (-SPECTRUM_RANGE_DB / 10)
    levels_db = [10 * np.log10(np.maximum(power, floor)) for power in powers]
    return float(np.mean(np.sqrt(np.mean((levels_db[0] - levels_db[1]) ** 2, axis=1))))
