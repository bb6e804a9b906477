"""Chains in continuous time against their closed forms. Seeds are fixed, so a statistic that holds once holds always."""

from __future__ import annotations

import math

import numpy as np
import pytest

from channel.markov import Drift, DriftConfig, OutageConfig, Outages, TwoState

LEVELS_DB = (-6.0, -2.0, 0.0, 3.0)


def test_periods_have_the_means_of_the_chain() -> None:
    bad_share, mean_bad_s = 0.3, 0.6
    periods = TwoState(bad_share, mean_bad_s, np.random.default_rng(1)).during(0.0, 5000.0)[1:]
    begins = np.array([begin_s for begin_s, _ in periods])
    lengths, bad = np.diff(begins), np.array([state for _, state in periods])[:-1]
    assert (bad[1:] != bad[:-1]).all()
    for state, mean_s in ((True, mean_bad_s), (False, mean_bad_s * (1 - bad_share) / bad_share)):
        mine = lengths[bad == state]
        assert abs(mine.mean() - mean_s) < 3 * mean_s / math.sqrt(len(mine))


@pytest.mark.parametrize("step_s", [0.05, 0.5, 5.0])
def test_the_share_of_bad_time_does_not_depend_on_how_it_is_looked_at(step_s: float) -> None:
    bad_share, mean_bad_s, count = 0.3, 0.6, 20_000
    chain = TwoState(bad_share, mean_bad_s, np.random.default_rng(2))
    half_s = 0.5 * step_s  # half of every step is walked through, half is jumped over
    bad = np.array([chain.during(k * step_s, k * step_s + half_s)[-1][1] for k in range(count)])
    correlation = math.exp(-step_s / (mean_bad_s * (1 - bad_share)))
    sigma = math.sqrt(bad_share * (1 - bad_share) / count * (1 + correlation) / (1 - correlation))
    assert abs(bad.mean() - bad_share) < 3 * sigma


def test_an_interval_of_no_length_has_one_state() -> None:
    chain = TwoState(0.5, 1.0, np.random.default_rng(3))
    assert [len(chain.during(float(k), float(k))) for k in range(50)] == [1] * 50


@pytest.mark.parametrize("bad_share", [0.0, 1.0])
def test_a_chain_of_one_state_never_switches(bad_share: float) -> None:
    assert TwoState(bad_share, 1.0, np.random.default_rng(4)).during(0.0, 1e6) == [(0.0, bool(bad_share))]


@pytest.mark.parametrize("packet_s", [0.0, 0.5, 4.0])
def test_outages_lose_the_packets_that_they_touch(packet_s: float) -> None:
    config, count = OutageConfig(every_s=20.0, mean_s=3.0), 4000
    outages = Outages(config, np.random.default_rng(5))
    lost = np.array([outages.cover(60.0 * k, 60.0 * k + packet_s) for k in range(count)])
    expected = 1 - 20.0 / 23.0 * math.exp(-packet_s / 20.0)
    assert abs(lost.mean() - expected) < 3 * math.sqrt(expected * (1 - expected) / count)


def test_outages_last_seconds() -> None:
    outages = Outages(OutageConfig(every_s=20.0, mean_s=3.0), np.random.default_rng(6))
    step_s = 0.05
    lost = np.array([outages.cover(step_s * k, step_s * k) for k in range(200_000)])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int), [0]])))
    lengths_s = step_s * (edges[1::2] - edges[::2])
    expected_s = step_s / (1 - TwoState(3 / 23, 3.0, np.random.default_rng(0)).bad_probability(True, step_s))
    assert abs(lengths_s.mean() - expected_s) < 3 * expected_s / math.sqrt(len(lengths_s))


def test_drift_is_the_same_in_one_step_and_in_many() -> None:
    drift = Drift(DriftConfig(LEVELS_DB, dwell_s=10.0), np.random.default_rng(0))
    for level in range(4):
        odds = np.eye(4)[level]
        for step_s in (0.1, 3.0, 0.9, 16.0):
            odds = odds @ np.array([drift.probabilities(k, step_s) for k in range(4)])
        np.testing.assert_allclose(odds, drift.probabilities(level, 20.0), atol=1e-12)
        np.testing.assert_allclose(drift.probabilities(level, 0.0), np.eye(4)[level], atol=1e-12)
        np.testing.assert_allclose(drift.probabilities(level, 1e6), 0.25, atol=1e-12)


@pytest.mark.parametrize("step_s", [2.0, 2000.0])
def test_every_level_is_as_frequent_at_any_step(step_s: float) -> None:
    count = 20_000
    drift = Drift(DriftConfig(LEVELS_DB, dwell_s=1.0), np.random.default_rng(7))
    seen = np.array([drift.level_db(step_s * k) for k in range(count)])
    slowest = math.exp(-step_s * (1 - math.cos(math.pi / 4)))  # second eigenvalue of a walk over four levels
    sigma = math.sqrt(0.25 * 0.75 / count * (1 + slowest) / (1 - slowest))
    for level_db in LEVELS_DB:
        assert abs((seen == level_db).mean() - 0.25) < 3 * sigma


def test_drift_dwells_and_goes_to_its_neighbours() -> None:
    step_s, dwell_s = 0.02, 1.0
    drift = Drift(DriftConfig(LEVELS_DB, dwell_s), np.random.default_rng(8))
    seen = np.array([LEVELS_DB.index(drift.level_db(step_s * k)) for k in range(20_000)])
    changes = np.flatnonzero(np.diff(seen))
    assert (np.abs(np.diff(seen)[changes]) == 1).mean() > 0.97  # two changes in one step are rare
    lengths_s, level = step_s * np.diff(changes), seen[changes[:-1] + 1]
    for levels, mean_s in (((1, 2), dwell_s), ((0, 3), 2 * dwell_s)):
        mine = lengths_s[np.isin(level, levels)]
        assert abs(mine.mean() - mean_s) < 3 * mean_s / math.sqrt(len(mine)) + step_s


def test_an_end_is_left_half_as_fast_as_an_inner_level() -> None:
    drift = Drift(DriftConfig(LEVELS_DB, dwell_s=10.0), np.random.default_rng(0))
    left = [1 - drift.probabilities(level, 1e-3)[level] for level in range(4)]
    np.testing.assert_allclose(left, [0.5e-4, 1e-4, 1e-4, 0.5e-4], rtol=1e-3)


def test_one_level_is_no_drift() -> None:
    drift = Drift(DriftConfig((-2.5,), dwell_s=1.0), np.random.default_rng(9))
    assert {drift.level_db(float(k)) for k in range(20)} == {-2.5}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OutageConfig(every_s=0.0, mean_s=1.0), "every_s is 0.0; give seconds, 0.001 or more"),
        (lambda: OutageConfig(every_s=1.0, mean_s=math.inf), "mean_s is inf; give seconds"),
        (lambda: DriftConfig((), dwell_s=1.0), "levels_db is empty; give at least one"),
        (lambda: DriftConfig((0.0, math.nan), dwell_s=1.0), "levels_db is nan; give decibels between -200 and 200"),
        (lambda: DriftConfig((0.0,), dwell_s=0.0), "dwell_s is 0.0; give seconds above 0"),
    ],
)
def test_nonsense_is_refused_with_its_cure(make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=words):
        make()
