"""Intervals and paired comparisons, with exact values where they can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stream.bootstrap import NOTHING, Interval, mean_interval, paired_difference, ratio_interval


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


def test_pairs_without_a_number_are_left_out() -> None:
    left, right = [0.5, math.nan, 0.7, 0.9], [0.4, 0.1, math.nan, 0.8]
    difference, p_value = paired_difference(left, right, [1] * 4, seed=1)
    assert difference.value == pytest.approx(0.1)
    assert p_value == pytest.approx(2 / 10_001)
    nothing, undefined = paired_difference([math.nan], [1.0], [1.0], seed=1)
    assert nothing is NOTHING and math.isnan(undefined)
