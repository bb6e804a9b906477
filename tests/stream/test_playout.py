"""The jitter buffer, slot by slot, on a clock that the test turns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.packet import PROFILES, Voice
from stream.playout import LONGEST_DELAY_S, OUTAGE_S, Arrival, Playout, Slot

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
    assert playout.add(0.1, packet(2, end=True), FAST) is Arrival.ACCEPTED
    assert playout.add(0.1, packet(1), FAST) is Arrival.ACCEPTED
    assert playout.add(0.1, packet(1), FAST) is Arrival.DUPLICATE
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
    playout.add(0.1, packet(2), FAST)
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


def test_a_restarted_sender_is_heard_at_once() -> None:
    playout = Playout(DELAY_S)
    playout.add(0.0, packet(500), FAST)
    playout.due(0.3)
    assert playout.add(0.4, packet(0, stream=2), FAST) is Arrival.ACCEPTED
    assert heard(playout.due(0.4 + DELAY_S + 1e-6)) == [0]


def test_sequence_numbers_wrap_without_a_seam() -> None:
    playout = Playout(DELAY_S)
    slots = []
    for k in range(1000, 1060):
        playout.add((k - 1000) * 0.32, packet(k, end=k == 1059), FAST)
        slots += playout.due((k - 1000) * 0.32)
    slots += drain(playout)
    assert heard(slots) == list(range(4000, 4240))


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 1023), st.integers(0, 2), st.booleans(), st.integers(0, 3000)), max_size=40))
def test_any_sequence_of_packets_keeps_the_clock_even(arrivals: list[tuple[int, int, bool, int]]) -> None:
    playout, now_s, last_due_s = Playout(DELAY_S), 0.0, -1.0
    for sequence, stream, end, gap_ms in arrivals:
        now_s += gap_ms / 1000
        for slot in playout.due(now_s):
            assert slot.due_s > last_due_s and slot.due_s <= now_s
            last_due_s = slot.due_s
        playout.add(now_s, packet(sequence, end, stream), FAST)
        assert playout.added_delay_s <= LONGEST_DELAY_S
        assert playout.buffered_s < 60
    for slot in playout.due(now_s + 1000):
        assert slot.due_s > last_due_s
        last_due_s = slot.due_s
    assert not playout.playing
