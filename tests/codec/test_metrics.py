"""Figures with exact values on inputs small enough to work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from codec.frontend import LOG_DEVIATION, LOG_MEAN
from codec.metrics import (
    Interval,
    WordErrors,
    intelligibility,
    log_mel,
    mean_interval,
    mel_distance,
    paired_difference,
    ratio_interval,
    word_errors,
)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(16_000 * seconds)).astype(np.float32)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "words"),
    [
        ("A B C", "a b c", 0, 3),
        ("a b c", "a x c", 1, 3),
        ("a b c", "a c", 1, 3),
        ("a b c", "a b b c d", 2, 3),
        ("a b c", "", 3, 3),
        ("", "a b", 2, 0),
        ("", "", 0, 0),
        ("it's", "its", 1, 1),
    ],
)
def test_word_errors(reference: str, hypothesis: str, errors: int, words: int) -> None:
    assert word_errors(reference, hypothesis) == WordErrors(errors, words)


def test_ratio_weights_by_words_and_is_deterministic() -> None:
    errors, words = [1, 0, 6, 2], [1, 5, 10, 4]
    first = ratio_interval(errors, words, seed=7)
    assert first.value == pytest.approx(9 / 20)
    assert first.low < first.value < first.high
    assert ratio_interval(errors, words, seed=7) == first


def test_equal_utterances_leave_no_doubt() -> None:
    assert ratio_interval([1] * 5, [4] * 5, seed=1) == Interval(0.25, 0.25, 0.25)


def test_interval_covers_the_truth_19_times_in_20() -> None:
    random = np.random.default_rng(3)
    truth, trials = 0.3, 30
    covered = 0
    for trial in range(trials):
        words = random.integers(5, 20, size=50)
        interval = ratio_interval(random.binomial(words, truth).tolist(), words.tolist(), seed=trial)
        covered += interval.low <= truth <= interval.high
    assert 0.85 <= covered / trials <= 1


def test_mean_leaves_out_what_is_undefined() -> None:
    assert mean_interval([0.5, math.nan, 0.7], seed=1).value == pytest.approx(0.6)
    assert math.isnan(mean_interval([math.nan], seed=1).value)


def test_paired_difference_of_equal_systems() -> None:
    errors = [1, 2, 0, 3]
    assert paired_difference(errors, errors, [5] * 4, seed=1) == (Interval(0, 0, 0), 1.0)


def test_paired_difference_has_sign_and_symmetry() -> None:
    worse, better, words = [4, 5, 3, 6, 5, 4], [1, 2, 1, 2, 3, 0], [10] * 6
    difference, p_value = paired_difference(better, worse, words, seed=1)
    assert difference.value == pytest.approx(-0.3)
    assert difference.high < 0
    assert p_value == pytest.approx(2 / 10_001)
    assert paired_difference(worse, better, words, seed=1)[1] == p_value


def test_pairing_sees_a_small_difference_between_hard_and_easy_utterances() -> None:
    words = [10] * 40
    errors = [0, 9] * 20
    other = [error + (number % 4 == 0) for number, error in enumerate(errors)]
    assert paired_difference(errors, other, words, seed=1)[1] < 0.01
    alone = ratio_interval(errors, words, seed=1)
    assert alone.low < sum(other) / sum(words) < alone.high


def test_mel_distance_of_half_the_level_is_log_two() -> None:
    speech = noise(1)
    assert mel_distance(speech, speech) == 0
    assert mel_distance(speech, speech / 2) == pytest.approx(math.log(2), rel=0.01)


def test_log_mel_has_one_frame_per_started_10_ms_and_a_floor() -> None:
    mel = log_mel(np.zeros(161, np.float32))
    assert mel.shape == (1, 2, 80)
    assert mel.numpy() * LOG_DEVIATION + LOG_MEAN == pytest.approx(math.log(1e-4), abs=1e-4)


@pytest.mark.parametrize("extended", [False, True])
def test_intelligibility(extended: bool) -> None:
    speech, other = noise(1), noise(1, seed=1)
    assert intelligibility(speech, speech, extended) == pytest.approx(1, abs=1e-6)
    assert intelligibility(speech, other, extended) < 0.5
    assert math.isnan(intelligibility(speech[:1600], speech[:1600], extended))


def test_intelligibility_of_silence_repeats_and_spares_the_global_random_state() -> None:
    speech, silence = noise(1), np.zeros(16_000, np.float32)
    np.random.seed(5)
    first = intelligibility(speech, silence, extended=True)
    drawn = np.random.random()
    assert intelligibility(speech, silence, extended=True) == first
    np.random.seed(5)
    assert np.random.random() == drawn
