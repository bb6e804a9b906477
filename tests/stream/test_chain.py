"""Sender and receiver joined by in-memory links with fixed loss patterns, on virtual time."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.concealment import Fade, stretch
from stream.engine import Decoder, Encoder
from stream.errors import LinkError
from stream.packet import Framing
from stream.playback import detect_profile, play_packets
from stream.playout_clock import LONGEST_DELAY_S
from stream.profile import PROFILES, Profile
from stream.receiver import Receiver
from stream.sender import Sender, send
from stream.sinks import NullSink
from tests.conftest import speech_like

STANDARD = PROFILES["standard"]


class Memory:
    """A packet sink and sample sink that keeps what it gets."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.pcm: list[np.ndarray] = []

    def send(self, packet: bytes) -> int:
        self.packets.append(packet)
        return 0

    def drain(self, timeout_s: float) -> int:
        return 0

    def write(self, pcm: np.ndarray) -> None:
        self.pcm.append(pcm)

    def close(self) -> None: ...


def packets_of(encoder: Encoder, pcm: np.ndarray, profile: Profile = STANDARD, blocks: Iterable[int] = (997,)) -> list[bytes]:
    memory, sizes, source, start = Memory(), itertools.cycle(blocks), [], 0
    while start < len(pcm):
        size = next(sizes)
        source.append(pcm[start : start + size])
        start += size
    send(Sender(encoder, profile, 3), source, memory, None)
    return memory.packets


def play(decoder: Decoder, arrivals: list[tuple[float, bytes]], until_s: float) -> tuple[np.ndarray, Receiver]:
    """Everything a receiver plays from (arrival time, bytes), asked every 10 ms."""
    receiver, pcm, arrivals = Receiver(decoder, 0.2), [], sorted(arrivals)
    for now_s in np.arange(0, until_s, 0.01):
        while arrivals and arrivals[0][0] <= now_s:
            receiver.arrive(*arrivals.pop(0))
        pcm += list(receiver.play(now_s))
    return np.concatenate(pcm) if pcm else np.zeros(0), receiver


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_the_rate_on_air_is_the_packets_and_nothing_else(encoder: Encoder, profile: Profile) -> None:
    pcm = speech_like(4.0)
    packets = packets_of(encoder, pcm, profile)
    assert {len(packet) for packet in packets} == {Framing(0).packet_bytes(profile)}
    frames = -(-(len(pcm) + encoder.meta.shift_samples) // 1280)
    assert len(packets) == -(-frames // profile.frames)


def test_block_sizes_do_not_change_what_is_sent(encoder: Encoder) -> None:
    pcm = speech_like(2.0)
    assert packets_of(encoder, pcm, blocks=(997,)) == packets_of(encoder, pcm, blocks=(1, 1280, 5000))


def test_what_is_not_finite_is_sent_as_silence(encoder: Encoder) -> None:
    pcm = speech_like(1.0)
    broken = pcm.copy()
    broken[4000:4100] = np.nan
    silent = np.where(np.isfinite(broken), broken, 0)
    assert packets_of(encoder, broken) == packets_of(encoder, silent)


def test_a_clean_link_plays_every_frame_as_the_decoder_says(encoder: Encoder, decoder: Decoder) -> None:
    packets = packets_of(encoder, speech_like(3.0))
    heard, receiver = play(decoder, [(k * 0.64, packet) for k, packet in enumerate(packets)], 10)
    stream, direct = decoder.stream(), []
    for packet in packets:
        direct += [stream.decode(codes) for codes in Framing(decoder.meta.decoder_id).parse(packet).content.codes]
    assert np.array_equal(heard, np.concatenate(direct))
    assert receiver.stats.concealed_frames == 0
    assert receiver.stats.frames == len(packets) * 8


@pytest.mark.parametrize("pattern", [(1, 1, 0), (1, 0, 0, 1), (0, 1)], ids=str)
def test_lost_packets_are_concealed_in_place(encoder: Encoder, decoder: Decoder, pattern: tuple[int, ...]) -> None:
    packets = packets_of(encoder, speech_like(6.0))
    kept = [(k * 0.64, p) for k, (p, keep) in enumerate(zip(packets, itertools.cycle(pattern), strict=False)) if keep]
    heard, receiver = play(decoder, kept, 20)
    first, last = round(kept[0][0] / 0.64), round(kept[-1][0] / 0.64)
    assert receiver.stats.concealed_frames == (last - first + 1 - len(kept)) * 8
    assert receiver.stats.frames == (last - first + 1) * 8
    assert np.isfinite(heard).all() and np.abs(heard).max() <= 1


def test_no_click_at_the_seams(encoder: Encoder, decoder: Decoder) -> None:
    """No step between samples at a seam is larger than the largest step inside undamaged speech."""
    packets = packets_of(encoder, speech_like(8.0))
    whole, _ = play(decoder, [(k * 0.64, p) for k, p in enumerate(packets)], 20)
    holed, _ = play(decoder, [(k * 0.64, p) for k, p in enumerate(packets) if k % 4 != 2], 20)
    seams = [k * 8 * 1280 for k in range(1, len(packets)) if k % 4 in (2, 3)]
    steps = [np.abs(np.diff(holed[seam - 3 : seam + 3])).max() for seam in seams if seam + 3 < len(holed)]
    assert max(steps) <= max(np.abs(np.diff(whole)).max(), 0.02)


def test_long_losses_fade_to_comfort_noise_then_to_silence_and_back_without_a_jump() -> None:
    """Speech of a constant level, whose guesses are constant too: what moves is the fading, and the noise."""
    fade, one, room = Fade(), np.ones(1280, np.float32), np.full(1280, 0.001, np.float32)
    frames = [fade.apply(room, False)] + [fade.apply(one, lost) for lost in [False] * 2 + [True] * 70 + [False] * 2]
    heard = np.concatenate(frames)
    assert (heard[1280:2560] == 1).all() and (heard[1280 : 1280 * 9] == 1).all()
    noise = heard[1280 * 17 : 1280 * 40]
    assert 0.0005 < np.sqrt(np.mean(noise**2)) < 0.002  # as loud as the room
    assert np.abs(noise).max() < 0.01
    assert (heard[1280 * 54 : 1280 * 73] == 0).all()
    assert heard[-1] == 1
    assert np.abs(np.diff(heard[1280:])).max() < 0.008


def test_comfort_noise_is_never_loud() -> None:
    fade, one = Fade(), np.ones(1280, np.float32)
    heard = np.concatenate([fade.apply(one, lost) for lost in [False] * 60 + [True] * 30])
    assert np.sqrt(np.mean(heard[-5 * 1280 :] ** 2)) < 0.0035


@given(st.integers(1280 - 16, 1280 + 16), st.integers(50, 2000), st.integers(0, 6))
def test_stretched_samples_are_the_same_sound(samples: int, frequency_hz: int, phase: int) -> None:
    pcm = np.sin(2 * np.pi * frequency_hz * np.arange(1280) / 16000 + phase).astype(np.float32)
    places = np.arange(samples) * 1279 / (samples - 1)
    expected = np.sin(2 * np.pi * frequency_hz * places / 16000 + phase)
    stretched = stretch(pcm, samples)
    assert len(stretched) == samples and np.abs(stretched - expected)[2:-2].max() < 0.05
    assert (stretched[0], stretched[-1]) == (pcm[0], pytest.approx(pcm[-1], abs=1e-5))


def test_a_packet_too_late_to_be_heard_still_tells_the_decoder_what_it_missed(encoder: Encoder, decoder: Decoder) -> None:
    """Packet 5 comes when the clock may no longer move: after it the decoder is where it would be had it come in time."""
    packets = packets_of(encoder, speech_like(4.0), PROFILES["fast"])
    receivers = [Receiver(decoder, 0.2) for _ in range(3)]
    for receiver, kind in zip(receivers, ("in time", "late", "lost"), strict=True):
        for place, packet in enumerate(packets):
            list(receiver.play(place * 0.32 + 0.195))
            if place == 6 and kind == "late":
                receiver.playout.added_delay_s = LONGEST_DELAY_S  # as after many late packets
                receiver.arrive(place * 0.32 + 0.195, packets[5])
            if place != 5 or kind == "in time":
                receiver.arrive(place * 0.32 + (0.197 if place >= 6 else 0.0), packet)
        list(receiver.rest())
    exact, late, lost = (receiver._decoder.save() for receiver in receivers)
    assert receivers[1].stats.late_frames_used == 4 and receivers[2].stats.late_frames_used == 0
    assert np.abs(late - exact).max() < 1e-6 < np.abs(lost - exact).max()


def test_damaged_and_strange_bytes_never_stop_a_receiver(encoder: Encoder, decoder: Decoder) -> None:
    rng = np.random.default_rng(0)
    arrivals = []
    for k, packet in enumerate(packets_of(encoder, speech_like(4.0))):
        arrivals.append((k * 0.64, packet))
        arrivals += [(k * 0.64, rng.bytes(int(rng.integers(0, 40)))), (k * 0.64, packet[:-1]), (k * 0.64, packet + packet)]
    _, receiver = play(decoder, arrivals, 12)
    assert receiver.stats.concealed_frames == 0
    assert receiver.stats.rejected_packets >= len(arrivals) * 3 // 4 - 1


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_a_file_of_packets_tells_its_profile(encoder: Encoder, decoder: Decoder, profile: Profile) -> None:
    air = b"".join(packets_of(encoder, speech_like(4.0), profile))
    memory, receiver = Memory(), Receiver(decoder, 0.2)
    play_packets(receiver, io.BytesIO(air).read1, memory, None)
    assert len(np.concatenate(memory.pcm)) == len(air) // Framing(0).packet_bytes(profile) * profile.frames * 1280


def test_a_truncated_or_holed_file_plays_what_is_there(encoder: Encoder, decoder: Decoder) -> None:
    packets = packets_of(encoder, speech_like(6.0))
    air = b"".join([packets[0], *packets[3:]])[:-5]
    receiver = Receiver(decoder, 0.2)
    play_packets(receiver, io.BytesIO(air).read1, NullSink(), None)
    assert receiver.stats.rejected_packets == 1
    assert receiver.stats.concealed_frames >= 16


@pytest.mark.parametrize("size", [0, 5, 500, 20_000, 200_000])
def test_garbage_is_no_stream_of_packets(decoder: Decoder, size: int) -> None:
    garbage = np.random.default_rng(0).bytes(size)
    for profile in (None, STANDARD):
        with pytest.raises(LinkError, match="no valid packet"):
            play_packets(Receiver(decoder, 0.2), io.BytesIO(garbage[:20_000]).read1, NullSink(), profile)
    assert detect_profile(garbage[:2000], Framing(decoder.meta.decoder_id)) is None


def test_a_damaged_beginning_does_not_hide_the_profile(encoder: Encoder, decoder: Decoder) -> None:
    packets = packets_of(encoder, speech_like(30.0), PROFILES["fast"])
    air = np.random.default_rng(0).bytes(16 * 40) + b"".join(packets[40:])
    memory, receiver = Memory(), Receiver(decoder, 0.2)
    play_packets(receiver, io.BytesIO(air).read1, memory, None)
    assert receiver.stats.frames == (len(packets) - 40) * 4


def test_reordered_packets_in_a_file_cost_nothing_but_their_turn(encoder: Encoder, decoder: Decoder) -> None:
    packets = packets_of(encoder, speech_like(20.0), PROFILES["fast"])
    for k in range(3, len(packets) - 2, 6):
        packets[k], packets[k + 1] = packets[k + 1], packets[k]
    receiver = Receiver(decoder, 0.2)
    play_packets(receiver, io.BytesIO(b"".join(packets)).read1, NullSink(), None)
    assert receiver.stats.late_packets == 0
    assert receiver.stats.frames - receiver.stats.concealed_frames == len(packets) * 4
    # The clock waits for the first swapped packet once; after that the delay is long enough for all others.
    assert receiver.stats.concealed_frames <= 8


@pytest.mark.parametrize("streams", [(3, 3), (3, 5)], ids=str)
def test_two_transmissions_in_one_file_are_heard_whole(encoder: Encoder, decoder: Decoder, streams: tuple[int, int]) -> None:
    air, total = b"", 0
    for stream in streams:
        memory = Memory()
        send(Sender(encoder, STANDARD, stream), [speech_like(6.0, seed=stream)], memory, None)
        air, total = air + b"".join(memory.packets), total + len(memory.packets)
    receiver = Receiver(decoder, 0.2)
    play_packets(receiver, io.BytesIO(air).read1, NullSink(), None)
    assert receiver.stats.frames - receiver.stats.concealed_frames == total * 8
    assert receiver.stats.duplicate_packets == receiver.stats.late_packets == receiver.stats.other_packets == 0


def test_what_follows_the_last_packet_is_not_counted_as_concealed(encoder: Encoder, decoder: Decoder) -> None:
    packets = packets_of(encoder, speech_like(6.0))[:-1]
    _, receiver = play(decoder, [(k * 0.64, packet) for k, packet in enumerate(packets)], 20)
    assert receiver.stats.concealed_frames == 0 and receiver.stats.frames == len(packets) * 8
    assert receiver.stats.trailing_frames > 0


@pytest.mark.parametrize("delay_s", [0.0, 0.08, 0.2, 1.0])
def test_a_whole_file_conceals_nothing_at_any_delay(encoder: Encoder, decoder: Decoder, delay_s: float) -> None:
    air = b"".join(packets_of(encoder, speech_like(12.0), PROFILES["fast"]))
    receiver = Receiver(decoder, delay_s)
    play_packets(receiver, io.BytesIO(air).read1, NullSink(), None)
    assert receiver.stats.concealed_frames == receiver.stats.trailing_frames == 0
