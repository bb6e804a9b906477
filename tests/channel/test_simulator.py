"""The composed link: exact times, conservation of packets, determinism, refusal of nonsense."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from itertools import pairwise

import pytest

from channel.fading import FadingConfig
from channel.markov import DriftConfig, OutageConfig
from channel.presets import PRESETS
from channel.reception import ReceptionConfig
from channel.shadowing import ShadowingConfig
from channel.simulator import ChannelConfig, ChannelReport, Simulator, two_way
from channel.trace import Trace, TraceRow

BAD = ChannelConfig(
    bit_rate_bps=400, delay_s=0.3, jitter_s=0.2, loss_rate=0.2, mean_burst_s=1.0, ber=2e-3, duplicate_rate=0.1, queue_s=2.0
)


SEA = ChannelConfig(
    bit_rate_bps=400,
    delay_s=1.0,
    frame_bytes=32,
    preamble_s=0.1,
    turn_round_s=0.5,
    delay_swing_s=0.03,
    outage=OutageConfig(every_s=40.0, mean_s=2.0),
    reception=ReceptionConfig(
        "fsk",
        14.0,
        detection_db=3.0,
        fading=FadingConfig(1.0, k_db=6.0),
        shadowing=ShadowingConfig(good_s=5.0, bad_s=1.0, mean_db=-6.0, deviation_db=2.0, correlation_s=1.0),
        drift=DriftConfig((-3.0, 0.0, 3.0), dwell_s=60.0),
    ),
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
        ("bit_rate_bps", 0.0, "1 or more"),
        ("bit_rate_bps", -1.0, "1 or more"),
        ("bit_rate_bps", math.nan, "1 or more"),
        ("delay_s", -0.1, "0 or more"),
        ("jitter_s", math.inf, "0 or more"),
        ("mean_burst_s", math.nan, "0 or more"),
        ("queue_s", -1.0, "0 or more"),
        ("loss_rate", 1.1, "between 0 and 1"),
        ("loss_rate", math.nan, "between 0 and 1"),
        ("duplicate_rate", -0.1, "between 0 and 1"),
        ("ber", 0.6, "between 0 and 0.5"),
        ("frame_bytes", 0, "1 to 65536"),
        ("preamble_s", -1.0, "0 or more"),
        ("turn_round_s", -1.0, "or None for full duplex, 0 or more"),
        ("turn_round_s", math.nan, "0 or more"),
        ("delay_period_s", 0.0, "above 0"),
        ("delay_swing_s", 0.1, "give a longer delay or less swing"),
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


def test_a_swing_faster_than_the_wave_is_refused() -> None:
    with pytest.raises(ValueError, match="too fast; give less"):
        ChannelConfig(delay_s=1.0, delay_swing_s=1.0, delay_period_s=6.0)


@pytest.mark.parametrize("one", PRESETS.values(), ids=PRESETS)
def test_no_preset_delivers_more_than_its_bit_rate(one) -> None:  # type: ignore[no-untyped-def]
    rate = one.config.bit_rate_bps
    config = replace(one.config, jitter_s=0.0, delay_swing_s=0.0)  # what changes the time between packets on the way
    arrivals = run(config, seed=2, count=300, size=26, step_s=0.05)  # offers 4160 bps
    assert rate is None or 0 < len(arrivals) < 300
    for (former_s, _), (arrival_s, packet) in pairwise(arrivals):
        assert rate is None or arrival_s - former_s >= 8 * len(packet) / rate - 1e-9


@pytest.mark.parametrize("one", PRESETS.values(), ids=PRESETS)
def test_the_same_seed_gives_the_same_bytes(one) -> None:  # type: ignore[no-untyped-def]
    first, again, other = (run(one.config, seed, count=150, step_s=0.96) for seed in (1, 1, 2))
    assert first == again
    assert first != other or one.name == "clean"


def test_a_link_of_all_impairments_keeps_its_books() -> None:
    simulator = Simulator(SEA, seed=3)
    received = [one for k in range(600) for one in simulator.offer(0.96 * k, bytes(32))]
    report = simulator.report()
    assert report.offered == 600 == report.lost + report.delivered
    assert min(report.lost, report.damaged) > 0
    assert report.bit_errors == sum(int.from_bytes(packet).bit_count() for _, packet in received)
    late_s = [arrival_s - 0.96 * round((arrival_s - 1.74) / 0.96) for arrival_s, _ in received]
    assert max(late_s) - min(late_s) == pytest.approx(0.06, abs=0.01)  # the swing, to both sides
    assert (max(late_s) + min(late_s)) / 2 == pytest.approx(1.74, abs=0.01)  # 0.1 + 0.64 + 1.0


def test_a_day_leaves_no_more_state_than_a_minute() -> None:
    simulator = Simulator(
        replace(SEA, loss_rate=0.1, mean_burst_s=1.0, jitter_s=0.1), seed=4, trace=Trace((TraceRow(0, False, 1, 0.0),))
    )
    sizes = []
    for hour in range(24):
        for k in range(60):
            simulator.offer(3600.0 * hour + 0.96 * k, bytes(32))
        sizes.append(len(pickle.dumps(simulator)))
    assert max(sizes) - sizes[0] < 100  # counters grow by digits
    assert simulator.report().delivered > 0


def test_a_pause_of_years_costs_nothing() -> None:
    simulator = Simulator(SEA, seed=5)
    arrivals = [simulator.offer(1e9 * k, bytes(32)) for k in range(50)]
    assert sum(map(len, arrivals)) > 10


def test_fading_does_not_touch_the_other_impairments() -> None:
    plain = ChannelConfig(bit_rate_bps=400, loss_rate=0.3, mean_burst_s=1.0)
    faded = replace(plain, reception=ReceptionConfig("fsk", 6.0, fading=FadingConfig(1.0)))
    times = [[arrival_s for arrival_s, _ in run(config, 6)] for config in (plain, faded)]
    assert times[0] == times[1]


def test_two_directions_share_a_half_duplex_medium() -> None:
    config = ChannelConfig(bit_rate_bps=80, delay_s=2.0, turn_round_s=0.5)
    there, back = two_way(config, seed=1)
    assert there.offer(0.0, bytes(10)) == [(3.0, bytes(10))]
    assert back.offer(0.5, bytes(10)) == [(6.5, bytes(10))]
    free = two_way(replace(config, turn_round_s=None), seed=1)
    assert [one.offer(0.0, bytes(10))[0][0] for one in free] == [3.0, 3.0]


def test_two_directions_have_chances_of_their_own() -> None:
    config = ChannelConfig(loss_rate=0.5)
    there, back = two_way(config, seed=1)
    alone = Simulator(config, seed=1)
    heard = [[bool(one.offer(float(k), b"x")) for k in range(100)] for one in (there, back, alone)]
    assert heard[0] == heard[2] != heard[1]


def test_air_time_is_what_the_transmitter_needs() -> None:
    assert SEA.air_s(26) == SEA.air_s(32) == pytest.approx(0.74)
    assert ChannelConfig().air_s(1000) == 0.0
