"""Forced CTC paths against enumeration, and errors charged to the labels that suffered them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.rl.credit import edit_distance, forced_path, label_errors, owners, spread

WORDS = st.lists(st.integers(1, 3), max_size=8)


@given(WORDS, WORDS)
def test_charged_errors_sum_to_the_edit_distance(heard: list[int], target: list[int]) -> None:
    errors = label_errors(heard, target)
    assert len(errors) == len(target) and min(errors, default=0) >= 0
    assert sum(errors) == (edit_distance(heard, target) if target else 0)


def test_errors_are_charged_where_they_were_made() -> None:
    said = list("abc")
    assert label_errors(list("abc"), said) == [0, 0, 0]
    assert label_errors(list("axc"), said) == [0, 1, 0]
    assert label_errors(list("ac"), said) == [0, 1, 0]
    assert label_errors(list("abxyc"), said) == [0, 2, 0]
    assert label_errors(list("xabc"), said) == [1, 0, 0]
    assert label_errors([], [1, 2]) == [1, 1]


def collapsed(path: tuple[int, ...]) -> list[int]:
    return [label for label, _ in itertools.groupby(path) if label]


@pytest.mark.parametrize("target", [[], [1], [1, 2], [2, 2], [1, 2, 1], [1, 1, 1]])
def test_the_forced_path_is_the_best_of_all(target: list[int]) -> None:
    scores = np.log(np.random.default_rng(len(target)).dirichlet(np.ones(3), size=5))
    spelling = [path for path in itertools.product(range(3), repeat=5) if collapsed(path) == target]
    best = max(spelling, key=lambda path: sum(scores[frame, label] for frame, label in enumerate(path)))
    found = forced_path(scores, target)
    assert found is not None
    path, places = found
    assert tuple(path) == best
    assert [target[place] for place in places if place >= 0] == [label for label in path if label]
    assert sorted({place for place in places.tolist() if place >= 0}) == list(range(len(target)))


def test_a_target_that_does_not_fit_has_no_path() -> None:
    scores = np.log(np.full((3, 3), 1 / 3))
    assert forced_path(scores, [1, 2, 1, 2]) is None
    assert forced_path(scores, [1, 1, 1]) is None  # equal neighbours need blanks between them
    assert forced_path(scores, [1, 1]) is not None
    assert forced_path(scores[:0], [1]) is None


def test_blanks_belong_to_the_nearest_label_within_reach() -> None:
    places = np.full(20, -1)
    places[[7, 8, 11]] = [0, 0, 1]
    expected = [-1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1]
    assert owners(places).tolist() == expected
    assert owners(np.full(4, -1)).tolist() == [-1] * 4


@given(st.integers(1, 4), st.lists(st.integers(-1, 3), min_size=1, max_size=30))
def test_what_is_spread_keeps_its_mean(labels: int, owner: list[int]) -> None:
    values = np.arange(1.0, 2 * labels + 1).reshape(2, labels)
    owned = np.minimum(np.array(owner), labels - 1)
    assert np.allclose(spread(values, owned).mean(-1), values.mean(-1))
