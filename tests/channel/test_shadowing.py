"""Shadows against their closed forms: share, length, depth, memory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from channel.shadowing import Shadowing, ShadowingConfig

CONFIG = ShadowingConfig(good_s=2.0, bad_s=0.5, mean_db=-8.0, deviation_db=3.0, correlation_s=0.2)


@pytest.mark.parametrize("packet_s", [0.1, 1.0, 10.0])
def test_the_share_of_shadow_does_not_depend_on_the_packets(packet_s: float) -> None:
    shadowing = Shadowing(CONFIG, np.random.default_rng(1))
    whole_s, points = 2000.0, 20
    count = int(whole_s / packet_s)
    inside = (np.arange(points) + 0.5) / points * 0.7 * packet_s
    bad = np.array([shadowing.shadows(k * packet_s + inside)[0].mean() for k in range(count)])
    # Time share of a two-state chain watched for a time T: variance 2 p (1 - p) memory / T, more if 70% of it is watched.
    memory_s = 0.5 * 0.8
    sigma = math.sqrt(2 * 0.2 * 0.8 * memory_s / (0.7 * whole_s))
    assert abs(bad.mean() - CONFIG.bad_share) < 3 * sigma


def test_states_change_inside_a_packet_where_the_chain_says() -> None:
    shadowing = Shadowing(CONFIG, np.random.default_rng(2))
    bad, _ = shadowing.shadows(np.linspace(0.0, 4000.0, 400_001))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(int), [0]])))
    lengths_s = 0.01 * (edges[1::2] - edges[::2])
    assert abs(lengths_s.mean() - 0.5) < 3 * 0.5 / math.sqrt(len(lengths_s)) + 0.01


@pytest.mark.parametrize("step_s", [0.05, 1.0])
def test_depths_are_normal_in_decibels_at_any_step(step_s: float) -> None:
    shadowing = Shadowing(CONFIG, np.random.default_rng(3))
    count = 20_000
    depths = np.array([shadowing.depth_db(step_s * k) for k in range(count)])
    kept = math.exp(-step_s / CONFIG.correlation_s)
    assert abs(depths.mean() + 8.0) < 3 * 3.0 * math.sqrt((1 + kept) / (1 - kept) / count)
    assert depths.std() == pytest.approx(3.0, rel=0.05)
    normal = (depths + 8.0) / 3.0
    assert (normal[1:] * normal[:-1]).mean() == pytest.approx(kept, abs=0.05)


def test_depths_inside_a_long_packet_forget_as_fast() -> None:
    config = ShadowingConfig(good_s=0.001, bad_s=1e6, mean_db=0.0, deviation_db=1.0, correlation_s=0.2)
    shadowing = Shadowing(config, np.random.default_rng(4))
    times_s = np.linspace(0.0, 1.2, 97)
    depths = np.array([shadowing.shadows(10.0 * k + times_s)[1] for k in range(3000)])
    lag = 16  # 0.2 s
    assert depths.std() == pytest.approx(1.0, abs=0.04)
    assert (depths[:, lag:] * depths[:, :-lag]).mean() == pytest.approx(math.exp(-1.0), abs=0.05)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"good_s": 0.0}, "good_s is 0.0; give seconds, 0.001 or more"),
        ({"bad_s": -1.0}, "bad_s is -1.0"),
        ({"mean_db": math.nan}, "mean_db is nan; give decibels"),
        ({"deviation_db": -1.0}, "deviation_db is -1.0; give decibels between 0 and 200"),
        ({"correlation_s": 0.0}, "correlation_s is 0.0; give seconds above 0"),
    ],
)
def test_nonsense_is_refused_with_its_cure(values: dict[str, float], words: str) -> None:
    good = {"good_s": 1.0, "bad_s": 1.0, "mean_db": -5.0, "deviation_db": 2.0, "correlation_s": 1.0}
    with pytest.raises(ValueError, match=words):
        ShadowingConfig(**good | values)
