"""Playout comes back to live: after stalls, bursts, late starts, clocks that jump and processes that were held up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.content import Voice
from stream.frame import FRAME_S
from stream.level import LevelMeter
from stream.packet import Framing
from stream.playout import Playout
from stream.profile import PROFILES, Profile
from stream.protection import Protection
from stream.receiver import Receiver
from stream.ruler import DECODER_ID, RulerDecoder, RulerEncoder, heard_frame
from stream.view import ReceiverView
from tests.stream.test_playout import FAST, packet

DELAY_S = 0.1
QUEUE_PACKETS = 8  # what a sender keeps while nobody takes its packets
LINK_S = 0.3
EACH_PROFILE = pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)


@dataclass
class Look:
    """A receiver at one moment, and the delay from mouth to ear of the newest frame heard, without the link's own."""

    now_s: float
    shown_s: float
    heard_s: float
    behind_s: float
    buffered_s: float


def voices(profile: Profile, count: int) -> list[bytes]:
    """Packets of a talk spurt without an end whose codes count frames."""
    encoder, framing = RulerEncoder().stream(), Framing(DECODER_ID)
    none = np.zeros(1280 * profile.frames, np.float32)
    return [framing.build(Voice(3, k % 1024, encoder.encode(none)), profile) for k in range(count)]


def arrivals_of(profile: Profile, count: int, stalls: Sequence[tuple[float, float]], starts_s: float = 0.0) -> list[float]:
    """When each packet arrives; infinite for those that a full queue drops before the receiver starts.

    A packet leaves when its last sample was spoken. What would arrive within a stall (start, duration) arrives at its end.
    """
    times_s = []
    for k in range(count):
        arrival_s = (k + 1) * profile.packet_s + LINK_S
        for start_s, duration_s in sorted(stalls):
            if start_s <= arrival_s < start_s + duration_s:
                arrival_s = start_s + duration_s
        times_s.append(arrival_s)
    waiting = [k for k, arrival_s in enumerate(times_s) if arrival_s < starts_s]
    for place, k in enumerate(reversed(waiting)):
        times_s[k] = starts_s if place < QUEUE_PACKETS else np.inf
    return times_s


def listen(
    profile: Profile, times_s: Sequence[float], until_s: float, ceiling_s: float = 3.0, held_up: tuple[float, float] = (0.0, 0.0)
) -> tuple[Receiver, list[Look]]:
    """Let a receiver listen, a turn every 80 ms, a look every 240. `held_up`: from when to when its process does not run."""
    receiver = Receiver(RulerDecoder(), DELAY_S, Framing(DECODER_ID), ceiling_s=ceiling_s)
    view = ReceiverView(receiver, LevelMeter(), "ruler", 0.0)
    packets = voices(profile, len(times_s))
    waiting = sorted((arrival_s, k) for k, arrival_s in enumerate(times_s))
    looks, heard_s = [], 0.0
    for turn, now_s in enumerate(np.arange(0.0, until_s, 0.08)):
        if held_up[0] <= now_s < held_up[1]:
            continue
        while waiting and waiting[0][0] <= now_s:
            receiver.arrive(now_s, packets[waiting.pop(0)[1]])
        for pcm in receiver.play(now_s):
            frame = heard_frame(pcm)
            if frame is not None:
                heard_s = now_s - frame * FRAME_S - LINK_S
        if turn % 3:
            continue
        seen = view.look(0.0, now_s, False)
        behind_s = receiver.playout.playout_delay_s if receiver.playout.playing else 0.0
        looks.append(Look(float(now_s), seen.delay_s, heard_s, behind_s, seen.buffered_s))
    return receiver, looks


@EACH_PROFILE
@pytest.mark.parametrize("ceiling_s", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("starts_s", [1.0, 2.3, 3.0, 5.7, 11.0, 31.0])
def test_a_receiver_that_starts_late_hears_what_is_live(profile: Profile, ceiling_s: float, starts_s: float) -> None:
    receiver, looks = listen(profile, arrivals_of(profile, 90, [], starts_s), starts_s + 10, ceiling_s)
    settled = [look for look in looks if look.now_s >= starts_s + 2.0]
    assert max(look.buffered_s for look in settled) <= 0.8 if ceiling_s else True
    assert max(look.behind_s for look in settled) <= DELAY_S + profile.packet_s * (1.05 if ceiling_s else 2.0)
    assert receiver.stats.concealed_frames == 0


@EACH_PROFILE
@pytest.mark.parametrize("stall_s", [0.7, 1.9, 2.9, 4.0, 7.0, 12.0, 20.0, 75.0])
@pytest.mark.parametrize("where", ["link", "process"])
def test_after_a_stall_playout_comes_back(profile: Profile, stall_s: float, where: str) -> None:
    """Of any length, in the link or in the receiver's own process: at once below the ceiling, then to live."""
    ends_s = 20.0 + stall_s
    link = [(20.0, stall_s)] if where == "link" else []
    held_up = (20.0, ends_s) if where == "process" else (0.0, 0.0)
    times_s = arrivals_of(profile, round((ends_s + 50) / profile.packet_s), link)
    _, looks = listen(profile, times_s, ends_s + 50, held_up=held_up)
    after = [look for look in looks if look.now_s > ends_s + profile.packet_s]
    assert max(look.buffered_s for look in after) <= 3.0 + DELAY_S + FRAME_S
    assert max(look.behind_s for look in after) <= 3.0 + DELAY_S + FRAME_S
    back_s = ends_s + profile.packet_s + min(stall_s, 3.0) / 0.075 + 1.0
    assert max(look.behind_s for look in after if look.now_s > back_s) <= DELAY_S + 0.25
    assert all(look.shown_s == pytest.approx(look.heard_s, abs=0.13) for look in after if look.now_s > ends_s + 1.5)


def test_below_the_ceiling_nothing_is_lost_and_above_it_is_counted() -> None:
    below, _ = listen(FAST, arrivals_of(FAST, 200, [(20.0, 2.0)]), 60.0)
    assert below.stats.skipped_frames == below.stats.late_packets == 0
    above, _ = listen(FAST, arrivals_of(FAST, 200, [(20.0, 12.0)]), 60.0)
    assert 100 < above.stats.skipped_frames <= 12.0 / FRAME_S
    assert above.history.strip.count("l") >= 25


def test_the_ceiling_is_the_one_that_was_asked_for() -> None:
    _, looks = listen(FAST, arrivals_of(FAST, 200, [(20.0, 2.0)]), 60.0, ceiling_s=0.5)
    assert max(look.behind_s for look in looks if look.now_s > 22.4) <= 0.5 + FRAME_S


@settings(max_examples=20)
@given(
    st.sampled_from(list(PROFILES.values())),
    st.lists(st.tuples(st.floats(0.5, 40.0), st.floats(0.1, 20.0)), max_size=4),
    st.sampled_from([0.0, 0.0, 1.5, 6.0, 11.0]),
    st.sampled_from([0.2, 0.5, 1.0, 3.0]),
    st.integers(0, 1000),
)
def test_whatever_stalls_one_packet_later_no_more_than_the_ceiling_waits(
    profile: Profile, stalls: list[tuple[float, float]], starts_s: float, ceiling_s: float, seed: int
) -> None:
    jitter_s = np.random.default_rng(seed).uniform(0, 0.05, 400)
    times_s = arrivals_of(profile, round(110 / profile.packet_s), stalls, starts_s)
    times_s = [arrival_s + late_s for arrival_s, late_s in zip(times_s, jitter_s, strict=False)]
    _, looks = listen(profile, times_s, 110.0, ceiling_s)
    ends_s = [start_s + duration_s + profile.packet_s + 0.15 for start_s, duration_s in stalls]
    busy = [(start_s - 0.1, end_s) for (start_s, _), end_s in zip(stalls, ends_s, strict=True)]
    busy.append((0.0, starts_s + profile.packet_s + 0.15))
    calm = [look for look in looks if not any(low <= look.now_s <= high for low, high in busy)]
    assert max((look.buffered_s for look in calm), default=0.0) <= ceiling_s + DELAY_S + FRAME_S
    last_s = max(end_s for _, end_s in busy)
    # One stall is none that jitter is expected from: after it playout is within one packet of live.
    after = [look.behind_s for look in looks if len(stalls) < 2 and look.now_s > last_s + ceiling_s / 0.075 + 21 * profile.packet_s]
    assert max(after, default=0.0) <= DELAY_S + profile.packet_s + 0.05


@pytest.mark.parametrize("hour_s", [3600.0, -3600.0])
def test_a_clock_that_jumps_by_an_hour_costs_no_more_than_a_packet(hour_s: float) -> None:
    receiver = Receiver(RulerDecoder(), DELAY_S, Framing(DECODER_ID))
    packets, heard = voices(FAST, 60), []
    for k, each in enumerate(packets):
        now_s = 5000.0 + k * 0.32 + (hour_s if k >= 30 else 0.0)
        heard += [heard_frame(pcm) for pcm in receiver.play(now_s)]
        receiver.arrive(now_s, each)
    heard += [heard_frame(pcm) for pcm in receiver.rest()]
    assert set(range(240)) - set(heard) <= set(range(112, 124))
    assert receiver.playout.playout_delay_s == pytest.approx(DELAY_S, abs=0.03)


def test_what_is_left_out_still_tells_the_decoder_what_it_missed() -> None:
    """The link is 1.6 s faster from packet 10 on, which nobody is behind by for long: five packets come at once."""
    playout, slots = Playout(1.7, ceiling_s=1.8), []
    for k in range(10):
        slots += playout.due(k * 0.32 + 1.6)
        playout.add(k * 0.32 + 1.6, packet(k), FAST)
    playout.delay_s, playout.ceiling_s = 0.1, 0.5
    for k in range(10, 20):
        slots += playout.due(max(k * 0.32, 4.5))
        playout.add(max(k * 0.32, 4.5), packet(k), FAST)
    leaps = [slot for slot in slots if slot.skipped]
    assert sum(len(slot.skipped) for slot in leaps) >= 16
    assert all(len(slot.missed) == len(slot.skipped) and not any(each is None for each in slot.missed) for slot in leaps)


def test_a_leap_of_the_numbers_behind_an_end_leaves_nothing_out() -> None:
    """With repair a talk spurt begins with a block: numbers leap over the rest of the last one, while its speech still waits."""
    receiver = Receiver(RulerDecoder(), DELAY_S, Framing(DECODER_ID, Protection(block=8, repairs=2)))
    playout = receiver.playout
    playout.delay_s, playout.ceiling_s = 2.8, 5.8
    slots = []
    for place, (k, end) in enumerate([(0, False), (1, False), (2, True), *[(k, k == 15) for k in range(8, 16)]]):
        slots += playout.due(place * 0.32)
        playout.add(place * 0.32, packet(k, end), FAST)
    while playout.playing:
        slots += playout.due(playout.next_due_s)
    heard = [slot.number for slot in slots if slot.codes is not None]
    assert heard == [*range(12), *range(32, 64)]
    assert not any(slot.skipped for slot in slots)


def test_a_pause_is_where_lost_time_comes_back() -> None:
    """Speech that is 2 s behind: after a talk spurt's end and a pause of 2 s the next one is heard as late as ever."""
    playout, slots = Playout(DELAY_S), []
    arrivals = [(k * 0.32, k) for k in range(30)] + [(40 * 0.32, k) for k in range(30, 40)]
    arrivals += [(k * 0.32, k) for k in range(48, 60)]
    for arrival_s, k in arrivals:
        slots += playout.due(arrival_s)
        playout.add(arrival_s, packet(k, end=k == 39), FAST)
    slots += playout.due(60 * 0.32)
    assert playout.playout_delay_s <= DELAY_S + 0.25
    due_s = {slot.number: slot.due_s for slot in slots if slot.codes is not None}
    assert set(range(160, 192)) & set(due_s) == set()
    assert due_s[4 * 58] == pytest.approx(58 * 0.32 + DELAY_S, abs=0.25)
