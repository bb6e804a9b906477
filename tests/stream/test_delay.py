"""The playout delay follows jitter and clocks, and is heard by nobody."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from stream.playout import Playout
from stream.slot import Slot
from tests.stream.test_playout import DELAY_S, FAST, packet


@pytest.mark.parametrize("drift_ppm", [-300, 0, 300])
def test_an_hour_of_a_drifting_clock_does_not_change_the_delay(drift_ppm: int) -> None:
    """300 ppm are 1.08 s in an hour: five times the delay."""
    playout, lost, delays_s, lengths = Playout(DELAY_S), 0, [], set()
    for k in range(11_250):
        arrival_s = k * 0.32 * (1 + drift_ppm * 1e-6)
        for slot in playout.due(arrival_s):
            lost += slot.codes is None
            lengths.add(slot.samples)
        playout.add(arrival_s, packet(k), FAST)
        delays_s.append(playout.playout_delay_s)
    assert lost == 0
    assert max(abs(delay_s - DELAY_S) for delay_s in delays_s) < 0.05
    assert lengths <= {1280, 1276, 1284} and (len(lengths) == 1) == (drift_ppm == 0)


def play_with_delays(playout: Playout, delays_s: list[float], first: int = 0) -> list[Slot]:
    arrivals = sorted((k * 0.32 + delay_s, k) for k, delay_s in enumerate(delays_s, start=first))
    slots = []
    for arrival_s, k in arrivals:
        slots += playout.due(arrival_s)
        playout.add(arrival_s, packet(k), FAST)
    return slots


def test_the_delay_follows_jitter_up_and_down_again() -> None:
    rng = np.random.default_rng(0)
    playout = Playout(0.1)
    play_with_delays(playout, list(rng.uniform(0, 0.4, 200)))
    assert 0.33 < playout.playout_delay_s < 0.5
    slots = play_with_delays(playout, list(rng.uniform(0, 0.4, 200)), 200)
    assert sum(slot.codes is None for slot in slots) < 0.05 * len(slots)
    play_with_delays(playout, [0.0] * 300, 400)
    assert playout.playout_delay_s == pytest.approx(0.1, abs=0.03)


def test_the_delay_has_a_ceiling_and_can_be_fixed() -> None:
    rng = np.random.default_rng(0)
    delays_s = list(np.where(rng.random(400) < 0.1, 0.9, rng.uniform(0, 0.3, 400)))  # jitter asks for 0.9 s
    low, fixed = Playout(0.1, ceiling_s=0.5), Playout(0.1, ceiling_s=0.0)
    play_with_delays(low, delays_s)
    assert low.playout_delay_s < 0.6
    slots = play_with_delays(fixed, delays_s)
    assert {slot.samples for slot in slots} == {1280}
    play_with_delays(low, [0.0] * 600, 400)
    assert low.playout_delay_s == pytest.approx(0.1, abs=0.03)


def test_steps_are_too_small_to_hear() -> None:
    slots = play_with_delays(Playout(0.05), list(np.random.default_rng(1).uniform(0, 0.5, 300)))
    assert {abs(slot.samples - 1280) for slot in slots} <= {0, 4, 16}
    assert all(
        later.due_s == pytest.approx(earlier.due_s + earlier.samples / 16000) for earlier, later in itertools.pairwise(slots)
    )


def test_a_delay_that_is_too_long_is_cut_where_frames_are_missing() -> None:
    playout = Playout(0.1)
    play_with_delays(playout, [0.0] * 70)
    playout.due(70 * 0.32 + 1.0)
    for k in range(70, 73):  # the link was held up for a second, then is as fast as before
        playout.add(73.5 * 0.32, packet(k), FAST)
    held_s = playout.playout_delay_s
    assert held_s > 0.6
    for k in (75, 76, 78, 79, 81):  # 74, 77 and 80 are lost
        playout.due(k * 0.32)
        playout.add(k * 0.32, packet(k), FAST)
    playout.due(82 * 0.32)
    assert playout.playout_delay_s < 0.3
