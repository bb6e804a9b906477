"""Sender and receiver joined by in-memory links with fixed loss patterns, on virtual time."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable

import numpy as np
import pytest

from stream.audio import NullSink
from stream.concealment import Fade
from stream.engine import Decoder, Encoder, load_decoder, load_encoder
from stream.errors import LinkError
from stream.packet import PROFILES, Profile
from stream.receiver import Receiver, detect_profile, receive_file
from stream.sender import Sender, send
from tests.conftest import speech_like

STANDARD = PROFILES["standard"]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder()


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return load_decoder()


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
    assert {len(packet) for packet in packets} == {profile.packet_bytes}
    frames = -(-(len(pcm) + encoder.meta.shift_samples) // 1280)
    assert len(packets) == -(-frames // profile.frames)


def test_block_sizes_do_not_change_what_is_sent(encoder: Encoder) -> None:
    pcm = speech_like(2.0)
    assert packets_of(encoder, pcm, blocks=(997,)) == packets_of(encoder, pcm, blocks=(1, 1280, 5000))


def test_what_is_not_finite_is_counted_and_sent_as_silence(encoder: Encoder) -> None:
    pcm = speech_like(1.0)
    broken = pcm.copy()
    broken[4000:4100] = np.nan
    silent = np.where(np.isfinite(broken), broken, 0)
    assert packets_of(encoder, broken) == packets_of(encoder, silent)
    sender = Sender(encoder, STANDARD, 0)
    sender.push(broken)
    assert sender.stats.not_finite_samples == 100


def test_a_clean_link_plays_every_frame_as_the_decoder_says(encoder: Encoder, decoder: Decoder) -> None:
    packets = packets_of(encoder, speech_like(3.0))
    heard, receiver = play(decoder, [(k * 0.64, packet) for k, packet in enumerate(packets)], 10)
    stream, direct = decoder.stream(), []
    from stream.packet import parse

    for packet in packets:
        voice, _ = parse(packet, decoder.meta.decoder_id)
        direct += [stream.decode(codes) for codes in voice.codes]
    assert np.array_equal(heard, np.concatenate(direct))
    assert receiver.stats.concealed_frames == 0
    assert receiver.stats.frames == len(packets) * 8


@pytest.mark.parametrize("pattern", [(1, 1, 0), (1, 0, 0, 1), (0, 1)], ids=str)
def test_lost_packets_are_concealed_in_place(encoder: Encoder, decoder: Decoder, pattern: tuple[int, ...]) -> None:
    packets = packets_of(encoder, speech_like(6.0))
    kept = [(k * 0.64, p) for k, (p, keep) in enumerate(zip(packets, itertools.cycle(pattern), strict=False)) if keep]
    heard, receiver = play(decoder, kept, 20)
    first, last = round(kept[0][0] / 0.64), round(kept[-1][0] / 0.64)
    lost = last - first + 1 - len(kept)
    # The end of a talk spurt is known only if the last packet came; otherwise concealment goes on until the outage.
    tail = 0 if kept[-1][1] == packets[-1] else receiver.stats.frames - (last - first + 1) * 8
    assert receiver.stats.concealed_frames == lost * 8 + tail
    assert np.isfinite(heard).all() and np.abs(heard).max() <= 1


def test_no_click_at_the_seams(encoder: Encoder, decoder: Decoder) -> None:
    """No step between samples at a seam is larger than the largest step inside undamaged speech."""
    packets = packets_of(encoder, speech_like(8.0))
    whole, _ = play(decoder, [(k * 0.64, p) for k, p in enumerate(packets)], 20)
    holed, _ = play(decoder, [(k * 0.64, p) for k, p in enumerate(packets) if k % 4 != 2], 20)
    seams = [k * 8 * 1280 for k in range(1, len(packets)) if k % 4 in (2, 3)]
    steps = [np.abs(np.diff(holed[seam - 3 : seam + 3])).max() for seam in seams if seam + 3 < len(holed)]
    assert max(steps) <= max(np.abs(np.diff(whole)).max(), 0.02)


def test_long_losses_fade_to_silence_and_back_without_a_jump() -> None:
    fade, one = Fade(), np.ones(1280, np.float32)
    gains = np.concatenate([fade.apply(one, lost) for lost in [False] * 2 + [True] * 20 + [False] * 2])
    assert (gains[: 1280 * 8] == 1).all()
    assert (gains[1280 * 16 : 1280 * 22] == 0).all()
    assert gains[-1] == 1
    assert np.abs(np.diff(gains)).max() < 0.004


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
    found = receive_file(receiver, io.BytesIO(air), memory, None, decoder.meta.decoder_id)
    assert found is profile
    assert len(np.concatenate(memory.pcm)) == len(air) // profile.packet_bytes * profile.frames * 1280


def test_a_truncated_or_holed_file_plays_what_is_there(encoder: Encoder, decoder: Decoder) -> None:
    packets = packets_of(encoder, speech_like(6.0))
    air = b"".join([packets[0], *packets[3:]])[:-5]
    receiver = Receiver(decoder, 0.2)
    receive_file(receiver, io.BytesIO(air), NullSink(), None, decoder.meta.decoder_id)
    assert receiver.stats.rejected_packets == 1
    assert receiver.stats.concealed_frames >= 16


def test_garbage_is_no_stream_of_packets(decoder: Decoder) -> None:
    with pytest.raises(LinkError, match="no valid packet"):
        detect_profile(np.random.default_rng(0).bytes(2000), decoder.meta.decoder_id)
