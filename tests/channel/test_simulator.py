"""The composed link: exact times, conservation of packets, determinism, refusal of nonsense."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from channel.simulator import ChannelConfig, ChannelReport, Simulator

BAD = ChannelConfig(
    bit_rate_bps=400, delay_s=0.3, jitter_s=0.2, loss_rate=0.2, mean_burst_s=1.0, ber=2e-3, duplicate_rate=0.1, queue_s=2.0
)


def run(config: ChannelConfig, seed: int, count: int = 400, size: int = 33, step_s: float = 0.64) -> list[tuple[float, bytes]]:
    simulator = Simulator(config, seed)
    packets = ((k * step_s, k.to_bytes(2, "big") * (size // 2) + b"\x55" * (size % 2)) for k in range(count))
    return [arrival for now_s, packet in packets for arrival in simulator.offer(now_s, packet)]


def test_a_perfect_link_returns_what_it_gets() -> None:
    simulator = Simulator(ChannelConfig(), seed=0)
    assert simulator.offer(2.5, b"abc") == [(2.5, b"abc")]
    assert simulator.offer(2.5, b"") == [(2.5, b"")]
    assert simulator.report() == ChannelReport(offered=2, delivered=2, bytes_offered=3, bytes_delivered=3)


def test_delay_follows_serialisation_exactly() -> None:
    simulator = Simulator(ChannelConfig(bit_rate_bps=800, delay_s=0.25), seed=0)
    assert simulator.offer(1.0, bytes(100)) == [(2.25, bytes(100))]
    assert simulator.offer(1.0, bytes(50)) == [(2.75, bytes(50))]


def test_a_lost_packet_has_occupied_the_transmitter() -> None:
    lossy, clear = (Simulator(ChannelConfig(bit_rate_bps=800, loss_rate=rate), seed=0) for rate in (0.5, 0.0))
    arrivals = {k: lossy.offer(0.1 * k, bytes(10)) for k in range(40)}
    expected = {k: clear.offer(0.1 * k, bytes(10)) for k in range(40)}
    survivors = [k for k in arrivals if arrivals[k]]
    assert 0 < len(survivors) < 40
    assert all(arrivals[k] == expected[k] for k in survivors)


def test_never_more_than_the_bit_rate_arrives() -> None:
    config = ChannelConfig(bit_rate_bps=300, delay_s=1.0, loss_rate=0.1, mean_burst_s=0.5)
    arrivals = run(config, seed=2, step_s=0.3)  # offers 880 bps
    times = [arrival_s for arrival_s, _ in arrivals]
    for first in range(0, len(times), 7):
        for last in range(first + 1, len(times), 11):
            bits = 8 * sum(len(packet) for _, packet in arrivals[first + 1 : last + 1])
            assert bits <= 300 * (times[last] - times[first]) + 1e-6


def test_a_fast_sender_meets_a_full_queue() -> None:
    simulator = Simulator(ChannelConfig(bit_rate_bps=80, queue_s=2.0), seed=0)
    arrivals = [simulator.offer(0.0, bytes(10)) for _ in range(10)]
    assert [one[0][0] for one in arrivals if one] == [1.0, 2.0, 3.0]
    assert simulator.report().queue_dropped == 7


def test_every_packet_is_counted_once() -> None:
    simulator = Simulator(replace(BAD, bit_rate_bps=300), seed=5)
    sent = [(0.64 * k, bytes([k % 256]) * 33) for k in range(600)]
    received = [one for now_s, packet in sent for one in simulator.offer(now_s, packet)]
    report = simulator.report()
    counts = (report.queue_dropped, report.lost, report.duplicated, report.damaged, report.bit_errors)
    assert all(count > 0 for count in counts)
    assert report.offered == 600 == report.lost + report.queue_dropped + report.delivered - report.duplicated
    assert (report.delivered, report.bytes_delivered) == (len(received), 33 * len(received))
    assert report.bytes_offered == 600 * 33


def test_wrong_bits_are_those_of_the_report() -> None:
    simulator = Simulator(ChannelConfig(ber=1e-3), seed=9)
    received = [simulator.offer(float(k), bytes(33))[0][1] for k in range(3000)]
    report = simulator.report()
    assert report.bit_errors == sum(byte.bit_count() for packet in received for byte in packet)
    assert report.damaged == sum(any(packet) for packet in received)
    bits = 8 * report.bytes_delivered
    assert abs(report.bit_errors / bits - 1e-3) < 3 * math.sqrt(1e-3 / bits)


def test_jitter_delays_and_reorders_but_nothing_arrives_early() -> None:
    config = ChannelConfig(delay_s=0.3, jitter_s=0.2)
    order = [int.from_bytes(packet[:2], "big") for _, packet in sorted(run(config, seed=1, step_s=0.05))]
    assert sorted(order) == list(range(400))
    assert order != list(range(400))
    assert min(arrival_s - 0.05 * k for k, (arrival_s, _) in enumerate(run(config, seed=1, step_s=0.05))) >= 0.3 - 1e-9


def test_both_copies_carry_the_same_damage_and_come_in_order() -> None:
    simulator = Simulator(ChannelConfig(jitter_s=0.1, ber=0.01, duplicate_rate=1.0), seed=1)
    for k in range(50):
        (first_s, first), (second_s, second) = simulator.offer(float(k), bytes(40))
        assert first_s <= second_s
        assert first == second
    assert simulator.report().duplicated == 50
    assert simulator.report().bit_errors > 0


def test_the_seed_decides_everything() -> None:
    assert run(BAD, seed=1) == run(BAD, seed=1)
    assert run(BAD, seed=1) != run(BAD, seed=2)


def test_changing_one_impairment_leaves_the_losses_as_they_were() -> None:
    plain = ChannelConfig(loss_rate=0.3, mean_burst_s=1.0)
    bent = replace(plain, ber=0.01, delay_s=1.0, jitter_s=0.1)
    survivors = [
        [int(arrival_s - config.delay_s + 1e-9) for arrival_s, _ in run(config, 3, step_s=1.0)] for config in (plain, bent)
    ]
    assert survivors[0] == survivors[1]
    assert 0 < len(survivors[0]) < 400


@pytest.mark.parametrize(
    ("field", "value", "cure"),
    [
        ("bit_rate_bps", 0.0, "above 0"),
        ("bit_rate_bps", -1.0, "above 0"),
        ("bit_rate_bps", math.nan, "above 0"),
        ("delay_s", -0.1, "0 or more"),
        ("jitter_s", math.inf, "0 or more"),
        ("mean_burst_s", math.nan, "0 or more"),
        ("queue_s", -1.0, "0 or more"),
        ("loss_rate", 1.1, "between 0 and 1"),
        ("loss_rate", math.nan, "between 0 and 1"),
        ("duplicate_rate", -0.1, "between 0 and 1"),
        ("ber", 0.6, "between 0 and 0.5"),
    ],
)
def test_nonsense_is_refused_with_its_range(field: str, value: float, cure: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is .*{cure}"):
        ChannelConfig(**{field: value})


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seed is -1; give 0 or more"):
        Simulator(ChannelConfig(), seed=-1)


@pytest.mark.parametrize("now_s", [0.9, math.nan, math.inf])
def test_time_only_goes_forward(now_s: float) -> None:
    simulator = Simulator(ChannelConfig(), seed=0)
    simulator.offer(1.0, b"a")
    with pytest.raises(ValueError, match="in the order of their times"):
        simulator.offer(now_s, b"b")
    assert simulator.report().offered == 1
