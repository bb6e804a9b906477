"""Every impairment against its closed form. Seeds are fixed, so a statistic that holds once holds always."""

from __future__ import annotations

import math

import numpy as np
import pytest

from channel.impairments import BitErrors, BurstLoss, Duplication, HalfDuplex, Jitter, Motion, Serializer


def lost_pattern(loss_rate: float, mean_burst_s: float, step_s: float, count: int, seed: int = 7) -> np.ndarray:
    loss = BurstLoss(loss_rate, mean_burst_s, np.random.default_rng(seed))
    return np.array([loss.is_lost(step_s * k) for k in range(count)])


def repeat_probability(loss_rate: float, mean_burst_s: float, step_s: float) -> float:
    """Probability that the packet after a lost one is lost too."""
    return loss_rate + (1 - loss_rate) * math.exp(-step_s / (mean_burst_s * (1 - loss_rate)))


@pytest.mark.parametrize("step_s", [0.02, 0.32, 0.96, 5.0])
@pytest.mark.parametrize(("loss_rate", "mean_burst_s"), [(0.05, 0.5), (0.3, 2.0)])
def test_the_loss_rate_does_not_depend_on_the_spacing_of_packets(loss_rate: float, mean_burst_s: float, step_s: float) -> None:
    count = 20_000
    lost = lost_pattern(loss_rate, mean_burst_s, step_s, count)
    correlation = math.exp(-step_s / (mean_burst_s * (1 - loss_rate)))
    sigma = math.sqrt(loss_rate * (1 - loss_rate) / count * (1 + correlation) / (1 - correlation))
    assert abs(lost.mean() - loss_rate) < 3 * sigma


@pytest.mark.parametrize("step_s", [0.02, 0.32, 0.96])
def test_bursts_are_as_long_as_the_chain_says(step_s: float) -> None:
    loss_rate, mean_burst_s = 0.2, 0.8
    lost = lost_pattern(loss_rate, mean_burst_s, step_s, 30_000)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int), [0]])))
    bursts = edges[1::2] - edges[::2]
    repeat = repeat_probability(loss_rate, mean_burst_s, step_s)
    sigma = math.sqrt(repeat) / (1 - repeat) / math.sqrt(len(bursts))
    assert abs(bursts.mean() - 1 / (1 - repeat)) < 3 * sigma


def test_a_bad_period_lasts_the_mean_burst_in_seconds() -> None:
    step_s = 1e-4
    assert step_s / (1 - repeat_probability(0.2, 0.8, step_s)) == pytest.approx(0.8, rel=1e-3)
    loss = BurstLoss(0.2, 0.8, np.random.default_rng(0))
    assert loss.bad_probability(True, step_s) == pytest.approx(repeat_probability(0.2, 0.8, step_s), abs=1e-12)


def test_occupancy_is_the_same_in_one_step_and_in_many() -> None:
    loss = BurstLoss(0.15, 1.3, np.random.default_rng(0))
    for was_bad in (False, True):
        bad = float(was_bad)
        for step_s in (0.1, 0.02, 0.7, 1.18):
            bad = bad * loss.bad_probability(True, step_s) + (1 - bad) * loss.bad_probability(False, step_s)
        assert bad == pytest.approx(loss.bad_probability(was_bad, 2.0), abs=1e-12)
        assert loss.bad_probability(was_bad, 0.0) == pytest.approx(float(was_bad), abs=1e-12)
        assert loss.bad_probability(was_bad, 1e6) == pytest.approx(0.15, abs=1e-12)


@pytest.mark.parametrize(("loss_rate", "lost"), [(0.0, 0), (1.0, 500)])
@pytest.mark.parametrize("mean_burst_s", [0.0, 1.0])
def test_nothing_and_everything_are_exact(loss_rate: float, lost: int, mean_burst_s: float) -> None:
    assert lost_pattern(loss_rate, mean_burst_s, 0.1, 500).sum() == lost


def test_a_burst_of_no_length_means_independent_losses() -> None:
    lost = lost_pattern(0.3, 0.0, 0.01, 20_000)
    after_lost = lost[1:][lost[:-1]]
    assert abs(after_lost.mean() - 0.3) < 3 * math.sqrt(0.3 * 0.7 / len(after_lost))


def test_serialisation_is_exact() -> None:
    serializer = Serializer(bit_rate_bps=400.0, queue_s=10.0)
    assert serializer.send(1.0, 50) == (1.0, 2.0)
    assert serializer.send(1.5, 25) == (2.0, 2.5)
    assert serializer.send(4.0, 50) == (4.0, 5.0)


def test_the_queue_drops_what_would_wait_too_long_and_recovers() -> None:
    serializer = Serializer(bit_rate_bps=400.0, queue_s=1.0)
    assert serializer.send(0.0, 50) == (0.0, 1.0)
    assert serializer.send(0.0, 50) == (1.0, 2.0)
    assert serializer.send(0.5, 50) is None
    assert serializer.send(1.0, 50) == (2.0, 3.0)


def test_no_bit_rate_means_no_waiting() -> None:
    serializer = Serializer(bit_rate_bps=None, queue_s=0.0)
    assert [serializer.send(3.0, 1000) for _ in range(3)] == [(3.0, 3.0)] * 3


@pytest.mark.parametrize("ber", [1e-3, 0.05, 0.5])
def test_bit_errors_have_the_rate_and_are_counted(ber: float) -> None:
    process = BitErrors(ber, np.random.default_rng(3))
    packets, size = 2000, 33
    counted = wrong = 0
    for k in range(packets):
        packet = bytes([k % 256] * size)
        received, errors = process.damage(packet)
        assert len(received) == size
        counted += errors
        wrong += sum((a ^ b).bit_count() for a, b in zip(packet, received, strict=True))
    bits = 8 * size * packets
    assert wrong == counted
    assert abs(wrong / bits - ber) < 3 * math.sqrt(ber * (1 - ber) / bits)


def test_bit_errors_fall_on_every_bit_of_a_packet_alike() -> None:
    process = BitErrors(0.1, np.random.default_rng(4))
    packets, size = 3000, 4
    received = np.array([np.frombuffer(process.damage(bytes(size))[0], np.uint8) for _ in range(packets)])
    per_bit = np.unpackbits(received, axis=1).mean(axis=0)
    assert np.abs(per_bit - 0.1).max() < 4 * math.sqrt(0.1 * 0.9 / packets)


def test_an_empty_packet_passes_bit_errors() -> None:
    assert BitErrors(0.5, np.random.default_rng(0)).damage(b"") == (b"", 0)


def test_jitter_is_positive_bounded_and_has_its_mean() -> None:
    jitter = Jitter(0.05, np.random.default_rng(5))
    extra_s = np.array([jitter.extra_s() for _ in range(20_000)])
    assert extra_s.min() >= 0.0
    assert extra_s.max() <= 4.33 * 0.05
    assert abs(extra_s.mean() - 0.05) < 3 * extra_s.std() / math.sqrt(len(extra_s))
    assert Jitter(0.0, np.random.default_rng(5)).extra_s() == 0.0


def test_duplication_has_its_rate() -> None:
    duplication = Duplication(0.2, np.random.default_rng(6))
    copies = np.array([duplication.copies() for _ in range(10_000)])
    assert set(copies) == {1, 2}
    assert abs((copies == 2).mean() - 0.2) < 3 * math.sqrt(0.2 * 0.8 / len(copies))


def test_packets_are_filled_up_to_whole_frames_behind_a_preamble() -> None:
    serializer = Serializer(bit_rate_bps=512.0, queue_s=10.0, frame_bytes=32, preamble_s=0.25)
    assert [serializer.air_s(size) for size in (0, 1, 32, 33)] == [0.25, 0.75, 0.75, 1.25]
    assert serializer.send(1.0, 33) == (1.0, 2.25)
    assert serializer.send(1.0, 5) == (2.25, 3.0)


def test_half_duplex_turns_round_and_waits_for_what_is_under_way() -> None:
    medium = HalfDuplex(delay_s=2.0, turn_round_s=0.5)
    here, there = (Serializer(80.0, 10.0, medium=medium, side=side) for side in (0, 1))
    assert here.send(0.0, 10) == (0.0, 1.0)
    assert here.send(0.0, 10) == (1.0, 2.0)  # one's own packets follow each other at once
    assert there.send(0.5, 10) == (4.5, 5.5)  # last bit at 2.0, there at 4.0, turned round at 4.5
    assert here.send(5.0, 10) == (8.0, 9.0)
    assert there.send(20.0, 10) == (20.0, 21.0)  # long free


def test_a_medium_that_stays_busy_drops_from_the_queue() -> None:
    medium = HalfDuplex(delay_s=2.0, turn_round_s=0.5)
    here, there = (Serializer(80.0, 3.0, medium=medium, side=side) for side in (0, 1))
    assert here.send(0.0, 10) == (0.0, 1.0)
    assert there.send(0.0, 10) is None
    assert there.send(0.5, 10) == (3.5, 4.5)


def test_motion_swings_to_both_sides_and_back() -> None:
    motion = Motion(swing_s=0.03, period_s=100.0, rng=np.random.default_rng(1))
    extra_s = np.array([motion.extra_s(0.5 * k) for k in range(400)])
    assert extra_s.max() == pytest.approx(0.03, rel=1e-3)
    assert extra_s.min() == pytest.approx(-0.03, rel=1e-3)
    np.testing.assert_allclose(extra_s[:200], extra_s[200:], atol=1e-12)
    assert np.abs(np.diff(extra_s)).max() / 0.5 == pytest.approx(2 * math.pi * 0.03 / 100, rel=1e-3)  # the Doppler factor
    assert Motion(0.0, 1.0, np.random.default_rng(1)).extra_s(3.0) == 0.0
