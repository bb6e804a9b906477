"""Packets that nobody should hear, and fuzzing: seconds of what `clari-bench forgery` and `clari-bench fuzz` do for longer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stream.benches import hostile
from stream.benches.forgery import Figure, open_figures, poisson_interval, sealed_figures, table
from stream.benches.fuzz import PROTECTIONS, TAGS, Fuzzer, fuzz
from stream.fec import correct
from stream.profile import PROFILES, Profile

FAST = PROFILES["fast"]


@pytest.mark.parametrize("tag_bytes", [4, 8])
def test_forged_replayed_and_truncated_packets_are_not_heard(tag_bytes: int) -> None:
    pytest.importorskip("cryptography", reason="sealing needs the extra seal: pip install 'clari[seal]'")
    figures = sealed_figures(3000, tag_bytes, FAST)
    assert sum(each.packets for each in figures.values()) == 3000
    for each in figures.values():
        assert each.packets > 0 and each.wrong == 0 and each.rejected + each.forged + each.replayed == each.packets
    assert figures["replayed"].replayed > 300 and figures["another key"].forged > 300


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_an_open_link_takes_what_it_repairs_and_nothing_else(profile: Profile) -> None:
    figures = open_figures(3000, profile)
    flipped = figures["1 to 40 bits flipped"]
    assert 0 < flipped.repaired < flipped.packets and flipped.repaired + flipped.rejected + flipped.wrong == flipped.packets
    assert figures["byte with parity"].wrong == figures["truncated"].wrong == 0
    # 500 packets with a right parity, one in 65,536 of which passes: two at once would be a chance of 3e-5.
    assert figures["body with parity"].wrong <= 1
    assert figures["body with parity"].expected_wrong == pytest.approx(500 / 65536)
    assert str(flipped.repaired) in table(figures)


def test_a_check_that_is_too_short_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bench finds a wrong check: with one of six bits, wrong codes are accepted about as often as that predicts."""
    monkeypatch.setattr("stream.packet._checksum", lambda data: bytes([sum(data) * 7 % 64, 0]))
    monkeypatch.setattr(hostile, "body_with_parity", _with_a_zero_byte)
    figure = open_figures(6000, FAST)["body with parity"]
    low, high = poisson_interval(figure.wrong, 0.9999)
    assert low < figure.packets / 64 < high and figure.wrong > 2


def _with_a_zero_byte(rng: np.random.Generator, genuine: bytes, profile: Profile) -> bytes:
    body = bytearray(genuine[:2] + rng.bytes(len(genuine) - profile.parity_bytes - 2))
    body[-2:] = bytes([body[-2] % 64, 0])
    return hostile.with_parity(bytes(body), profile)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_reed_solomon_takes_random_words_as_often_as_the_formula_says(profile: Profile) -> None:
    rng, size = np.random.default_rng(0), 16 if profile is FAST else 32
    share = hostile.decodable_share(size, 2)  # with two bytes of parity often enough to count
    taken = sum(correct(rng.bytes(size), 2) is not None for _ in range(2000))
    low, high = poisson_interval(taken, 0.9999)
    assert low < 2000 * share < high


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (15, 8.395, 24.740)])
def test_poisson_interval_is_that_of_the_tables(count: int, low: float, high: float) -> None:
    found = poisson_interval(count)
    assert found[0] == pytest.approx(low, abs=2e-3) and found[1] == pytest.approx(high, abs=2e-3)
    assert Figure(wrong=count).as_dict()["wrong_high"] == pytest.approx(high, abs=2e-3)


def test_some_bursts_of_fuzz_reach_every_receiver_and_raise_nothing() -> None:
    pytest.importorskip("cryptography", reason="sealing needs the extra seal: pip install 'clari[seal]'")
    fuzzer = Fuzzer(seed=7)
    for _ in range(120):
        fuzzer.burst()
    assert fuzzer.counts["packets"] > 1000 and fuzzer.counts["slots"] > 1000 and fuzzer.counts["files"] >= 4
    assert fuzzer.receivers == len(PROTECTIONS) * len(TAGS)


def test_fuzz_measures_memory_from_the_beginning_to_the_end() -> None:
    pytest.importorskip("cryptography", reason="sealing needs the extra seal: pip install 'clari[seal]'")
    measurements, counts = fuzz(0.5, seed=3)
    assert measurements[-1].packets == counts["packets"] > 0
    assert all(math.isfinite(each.traced_mb) and each.traced_mb > 0 for each in measurements)
