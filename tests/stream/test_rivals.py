"""Senders that are started anew, and other senders: who is heard, and from when on."""

from __future__ import annotations

import numpy as np
import pytest

from stream.content import Voice
from stream.playout import Playout
from stream.profile import PROFILES, Profile
from stream.slot import Arrival
from tests.stream.test_playout import DELAY_S, FAST, drain, heard, packet


def test_a_restarted_sender_is_heard_from_its_second_packet_on_with_its_first() -> None:
    playout = Playout(DELAY_S)
    playout.add(0.0, packet(500), FAST)
    playout.due(0.3)
    assert playout.add(0.4, packet(0, stream=2), FAST) is Arrival.OTHER
    assert playout.add(0.7, packet(1, stream=2, end=True), FAST) is Arrival.ACCEPTED
    assert heard(drain(playout)) == list(range(8))


def test_after_an_end_another_stream_is_heard_at_once() -> None:
    playout = Playout(DELAY_S)
    playout.add(0.0, packet(0, end=True), FAST)
    drain(playout)
    assert playout.add(0.8, packet(0, stream=2, end=True), FAST) is Arrival.ACCEPTED
    assert heard(drain(playout)) == [0, 1, 2, 3]


def test_a_second_sender_does_not_destroy_the_first() -> None:
    playout, slots = Playout(DELAY_S), []
    for k in range(30):
        assert playout.add(k * 0.32, packet(k, end=k == 29), FAST) is Arrival.ACCEPTED
        assert playout.add(k * 0.32 + 0.1, packet(700 + k, stream=5), FAST) is Arrival.OTHER
        slots += playout.due(k * 0.32)
    assert heard(slots + drain(playout)) == list(range(120))


@pytest.mark.parametrize("pause_s", [2.1, 6.0, 500.0])
def test_a_sender_restarted_with_the_same_stream_number_is_heard(pause_s: float) -> None:
    playout = Playout(DELAY_S)
    for k in range(10):
        playout.add(k * 0.32, packet(k, end=k == 9), FAST)
    assert len(drain(playout)) == 40
    slots = []
    for k in range(10):
        assert playout.add(3.2 + pause_s + k * 0.32, packet(k, end=k == 9), FAST) is Arrival.ACCEPTED
    slots += drain(playout)
    assert heard(slots) == list(range(40))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
@pytest.mark.parametrize("stream", [1, 2], ids=["same stream", "another stream"])
@pytest.mark.parametrize("same_words", [True, False])
@pytest.mark.parametrize("heard_packets", [3, 40, 200])
def test_a_sender_that_is_killed_and_started_at_once_is_heard_within_two_seconds(
    profile: Profile, stream: int, same_words: bool, heard_packets: int
) -> None:
    """In the midst of speech, at any moment of a packet, with any stream number and the same or other words."""
    for killed_share in (0.0, 0.5, 0.99):
        playout, slots = Playout(DELAY_S), []
        for k in range(heard_packets):
            slots += playout.due(k * profile.packet_s)
            playout.add(k * profile.packet_s, words(profile, k), profile)
        began_s = (heard_packets - 1 + killed_share) * profile.packet_s  # the new sender begins to listen
        for k in range(6):
            arrival_s = began_s + (k + 1) * profile.packet_s
            slots += playout.due(arrival_s)
            playout.add(arrival_s, words(profile, k, stream, 0 if same_words else 1), profile)
        slots += drain(playout)
        again = [slot for slot in slots if slot.codes is not None and slot.due_s > began_s + profile.packet_s - 1e-6]
        new = [slot for slot in again if slot.number < 6 * profile.frames][-6 * profile.frames :]
        assert heard(new) == list(range(6 * profile.frames)), "every frame of the new sender, in order"
        assert new[0].due_s - began_s < 2.0


def words(profile: Profile, sequence: int, stream: int = 1, seed: int = 0) -> Voice:
    codes = np.random.default_rng([seed, sequence]).integers(0, 4, (profile.frames, 8)).astype(np.uint8)
    return Voice(stream, sequence, codes)


def test_copies_of_packets_are_no_sender() -> None:
    """A link that delivers everything again, up to a packet later, changes nothing."""
    playout, slots, copies = Playout(DELAY_S), [], 0
    for k in range(60):
        slots += playout.due(k * 0.32)
        assert playout.add(k * 0.32, packet(k, end=k == 59), FAST) is Arrival.ACCEPTED
        for late in (k - 1, k):
            copies += late >= 0 and playout.add(k * 0.32 + 0.2, packet(late), FAST) is Arrival.DUPLICATE
    assert copies == 119 and heard(slots + drain(playout)) == list(range(240))


def test_two_old_packets_that_do_not_follow_each_other_are_no_sender() -> None:
    playout = Playout(DELAY_S)
    for k in range(20):
        playout.due(k * 0.32)
        playout.add(k * 0.32, packet(k), FAST)
    for k in (3, 9, 4, 12):
        assert playout.add(20 * 0.32 + 0.4, packet(k), FAST) is Arrival.DUPLICATE
    assert playout.add(22 * 0.32, packet(22, end=True), FAST) is Arrival.ACCEPTED
