"""The jitter buffer, slot by slot, on a clock that the test turns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.content import Voice
from stream.playout import Playout
from stream.playout_clock import LONGEST_DELAY_S
from stream.profile import PROFILES
from stream.slot import Arrival, Slot
from stream.spurt import OUTAGE_S

FAST = PROFILES["fast"]  # 4 frames, 0.32 s
DELAY_S = 0.2


def packet(sequence: int, end: bool = False, stream: int = 1) -> Voice:
    """A packet whose first code tells its frame's number, modulo 4."""
    codes = np.zeros((4, 8), np.uint8)
    codes[:, 0] = np.arange(4)
    codes[:, 1] = sequence % 4
    return Voice(stream, sequence % 1024, codes, end)


def drain(playout: Playout) -> list[Slot]:
    """All slots until the talk spurt is over, played at their time."""
    slots = []
    while playout.playing:
        slots += playout.due(playout.next_due_s)
    return slots


def heard(slots: list[Slot]) -> list[int | None]:
    return [None if slot.codes is None else slot.number for slot in slots]


def test_packets_in_time_play_without_a_gap() -> None:
    playout = Playout(DELAY_S)
    slots = []
    for k in range(5):
        assert playout.add(10 + k * 0.32, packet(k, end=k == 4), FAST) is Arrival.ACCEPTED
        slots += playout.due(10 + k * 0.32)
    slots += drain(playout)
    assert heard(slots) == list(range(20))
    assert slots[0].due_s == pytest.approx(10 + DELAY_S)
    assert np.allclose(np.diff([slot.due_s for slot in slots]), 0.08)


def test_nothing_is_due_before_its_time() -> None:
    playout = Playout(DELAY_S)
    playout.add(0.0, packet(0), FAST)
    assert playout.due(0.199) == []
    assert len(playout.due(0.2001)) == 1
    assert len(playout.due(0.2001)) == 0


def test_a_lost_packet_is_concealed_and_the_rest_keeps_its_time() -> None:
    playout = Playout(DELAY_S)
    for k in (0, 2, 3):
        playout.add(k * 0.32, packet(k, end=k == 3), FAST)
    assert heard(drain(playout)) == [0, 1, 2, 3, None, None, None, None, *range(8, 16)]


def test_order_and_duplicates_do_not_matter() -> None:
    playout = Playout(DELAY_S)
    playout.add(0.0, packet(0), FAST)
    assert playout.add(0.64, packet(2, end=True), FAST) is Arrival.ACCEPTED
    assert playout.add(0.64, packet(1), FAST) is Arrival.ACCEPTED
    assert playout.add(0.64, packet(1), FAST) is Arrival.DUPLICATE
    assert heard(drain(playout)) == list(range(12))


def test_a_late_packet_moves_the_clock_back_while_nothing_newer_was_heard() -> None:
    playout = Playout(DELAY_S)
    playout.add(0.0, packet(0), FAST)
    slots = playout.due(0.2 + 0.08 * 5 + 1e-6)  # four frames heard, two concealed
    assert heard(slots) == [0, 1, 2, 3, None, None]
    assert playout.add(0.62, packet(1), FAST) is Arrival.ACCEPTED
    assert playout.added_delay_s == pytest.approx(0.16)
    playout.add(0.7, packet(2, end=True), FAST)
    assert heard(drain(playout)) == list(range(4, 12))


def test_a_late_packet_behind_newer_speech_is_dropped() -> None:
    playout = Playout(DELAY_S)
    playout.add(0.0, packet(0), FAST)
    playout.add(0.64, packet(2), FAST)
    assert heard(playout.due(0.2 + 8 * 0.08 + 1e-6))[-1] == 8
    assert playout.add(0.9, packet(1), FAST) is Arrival.LATE
    assert playout.added_delay_s == 0


def test_the_clock_is_not_moved_without_limit() -> None:
    playout = Playout(DELAY_S)
    playout.add(0.0, packet(0), FAST)
    late_s = 0.2 + 4 * 0.08 + LONGEST_DELAY_S + 0.5
    playout.due(late_s)
    assert playout.add(late_s, packet(1), FAST) is Arrival.LATE


def test_the_end_of_a_talk_spurt_is_silence_not_loss() -> None:
    playout = Playout(DELAY_S)
    playout.add(0.0, packet(0, end=True), FAST)
    assert heard(playout.due(60.0)) == [0, 1, 2, 3]
    assert not playout.playing
    playout.add(61.0, packet(1), FAST)
    slots = playout.due(61.3)
    assert heard(slots) == [4, 5] and slots[0].due_s == pytest.approx(61.2)


def test_a_lost_end_is_concealed_only_until_the_outage_counts_as_an_end() -> None:
    playout = Playout(DELAY_S)
    playout.add(0.0, packet(0), FAST)
    slots = playout.due(60.0)
    assert not playout.playing
    assert len(slots) == 4 + math.ceil(OUTAGE_S / 0.08)


def test_repeats_right_after_the_end_are_known() -> None:
    playout = Playout(DELAY_S)
    playout.add(0.0, packet(0), FAST)
    playout.add(0.3, packet(1, end=True), FAST)
    drain(playout)
    assert playout.add(1.2, packet(1, end=True), FAST) is Arrival.DUPLICATE
    assert not playout.playing


@pytest.mark.parametrize("gap_packets", [100, 511, 513, 620, 1024, 5000])
def test_an_outage_of_any_length_leaves_nobody_deaf(gap_packets: int) -> None:
    playout, slots = Playout(DELAY_S), []
    for k in [*range(10), *range(10 + gap_packets, 30 + gap_packets)]:
        slots += playout.due(k * 0.32)
        assert playout.add(k * 0.32, packet(k), FAST) is Arrival.ACCEPTED
    slots += playout.due((30 + gap_packets) * 0.32)
    assert sum(slot.codes is not None for slot in slots) >= 4 * 29


def test_one_stray_sequence_number_costs_a_moment_not_the_link() -> None:
    playout, slots, accepted = Playout(DELAY_S), [], 0
    for k in range(100):
        slots += playout.due(k * 0.32)
        accepted += playout.add(k * 0.32, packet(k), FAST) is Arrival.ACCEPTED
        if k == 20:
            playout.add(k * 0.32, packet(420), FAST)
    assert accepted >= 95
    assert sum(slot.codes is not None for slot in slots) >= 4 * 90


def test_concealment_works_in_every_talk_spurt() -> None:
    playout = Playout(DELAY_S)
    playout.add(0.0, packet(0, end=True), FAST)
    drain(playout)
    for k in (1, 3):
        playout.add(1.0 + k * 0.32, packet(k, end=k == 3), FAST)
    assert heard(drain(playout)) == [4, 5, 6, 7, None, None, None, None, 12, 13, 14, 15]


def test_sequence_numbers_wrap_without_a_seam() -> None:
    playout = Playout(DELAY_S)
    slots = []
    for k in range(1000, 1060):
        playout.add((k - 1000) * 0.32, packet(k, end=k == 1059), FAST)
        slots += playout.due((k - 1000) * 0.32)
    slots += drain(playout)
    assert heard(slots) == list(range(4000, 4240))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1023), st.integers(0, 2), st.booleans(), st.integers(0, 3000)), max_size=40))
def test_any_sequence_of_packets_keeps_the_clock_even(arrivals: list[tuple[int, int, bool, int]]) -> None:
    playout, now_s, last_due_s = Playout(DELAY_S), 0.0, -1.0
    for sequence, stream, end, gap_ms in arrivals:
        now_s += gap_ms / 1000
        for slot in playout.due(now_s):
            assert slot.due_s > last_due_s and slot.due_s <= now_s + 1e-5
            last_due_s = slot.due_s
        playout.add(now_s, packet(sequence, end, stream), FAST)
        assert playout.added_delay_s <= LONGEST_DELAY_S
        assert playout.waiting * 0.08 < 60
    for slot in playout.due(now_s + 1000):
        assert slot.due_s > last_due_s
        last_due_s = slot.due_s
    assert not playout.playing


def test_late_entry_is_heard_within_two_seconds() -> None:
    for profile in PROFILES.values():
        playout = Playout(0.2)
        joined_s = 1000 * profile.packet_s + 0.001  # a packet has just passed
        arrival_s = 1001 * profile.packet_s
        codes = np.zeros((profile.frames, 8), np.uint8)
        playout.add(arrival_s, Voice(3, 1001 % 1024, codes), profile)
        assert playout.next_due_s - joined_s < 2.0


def test_an_end_that_a_repair_packet_tells_ends_the_talk_spurt() -> None:
    playout = Playout(DELAY_S)
    playout.add(0.0, packet(0), FAST)
    playout.ends(1, 1)
    assert heard(playout.due(60.0)) == [0, 1, 2, 3, None, None, None, None]
    playout.ends(2, 1)
    assert not playout.playing


def test_talk_spurts_keep_the_time_between_them() -> None:
    """Numbers go on in silence: the second talk spurt is heard as long after the first as it was spoken."""
    playout, slots = Playout(DELAY_S), []
    for k, jitter_s in ((0, 0.0), (1, 0.05), (8, 0.1), (9, 0.0)):
        slots += playout.due(k * 0.32 + jitter_s)
        playout.add(k * 0.32 + jitter_s, packet(k, end=k in (1, 9)), FAST)
    slots += drain(playout)
    due_s = {slot.number: slot.due_s for slot in slots}
    assert heard(slots) == [*range(8), *range(32, 40)]
    assert due_s[32] - due_s[0] == pytest.approx(8 * 0.32, abs=0.01)
