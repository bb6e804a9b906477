"""Packets are encoded once they are complete, silent ones not at all, and what is said after a pause is defined."""

from __future__ import annotations

import numpy as np
import pytest

from stream.content import Voice
from stream.engine import Encoder, EncoderStream
from stream.frame import SAMPLES_PER_FRAME, Codes, Pcm
from stream.front import Front
from stream.keying import Keying
from stream.profile import PROFILES, Profile
from stream.resting import LEAD_FRAMES, RestingEncoder
from stream.sender import Sender
from tests.conftest import speech_like


class Noting:
    """Takes the place of an encoder's stream: notes the frames of each packet, and how many it was told to skip."""

    def __init__(self) -> None:
        self.got: list[list[int]] = []
        self.skipped = 0

    def encode(self, pcm: Pcm) -> Codes:
        self.got.append([int(each) for each in pcm[::SAMPLES_PER_FRAME]])
        return np.repeat(pcm[::SAMPLES_PER_FRAME, None], 8, axis=1).astype(np.uint8)

    def skip(self, frames: int) -> None:
        self.skipped += frames


def push(encoder: RestingEncoder, numbers: range, on_air: bool) -> None:
    for number in numbers:
        encoder.push(np.full(SAMPLES_PER_FRAME, number, np.float32), on_air)


def be_silent(encoder: RestingEncoder, first: int, packets: int, frames: int) -> None:
    for packet in range(packets):
        push(encoder, range(first + packet * frames, first + (packet + 1) * frames), False)
        encoder.leave_out()


@pytest.mark.parametrize("frames", [4, 8, 12])
def test_a_packet_is_encoded_once_when_it_is_complete(frames: int) -> None:
    stream = Noting()
    encoder = RestingEncoder(stream, frames)  # type: ignore[arg-type]
    for first in (0, frames):
        push(encoder, range(first, first + frames), True)
        assert encoder.encoded_frames == first
        assert np.array_equal(encoder.take()[:, 0], range(first, first + frames))
    assert stream.got == [list(range(frames)), list(range(frames, 2 * frames))]


@pytest.mark.parametrize("frames", [4, 8, 12])
def test_silence_is_not_encoded_but_for_the_lead_of_what_follows(frames: int) -> None:
    stream = Noting()
    encoder = RestingEncoder(stream, frames)  # type: ignore[arg-type]
    be_silent(encoder, 0, 7, frames)
    lead = -(-LEAD_FRAMES // frames)
    assert stream.got == [] and stream.skipped == (7 - lead) * frames
    push(encoder, range(7 * frames, 8 * frames), True)
    codes = encoder.take()
    packets = [list(range(k * frames, (k + 1) * frames)) for k in range(7 - lead, 8)]
    assert stream.got == packets and codes[:, 0].tolist() == packets[-1]
    assert encoder.encoded_frames == (lead + 1) * frames


def test_the_lead_is_encoded_while_the_packet_is_still_spoken() -> None:
    stream = Noting()
    encoder = RestingEncoder(stream, 8)  # type: ignore[arg-type]
    be_silent(encoder, 0, 3, 8)
    push(encoder, range(24, 26), False)
    assert not stream.got
    push(encoder, range(26, 27), True)
    assert stream.got == [list(range(16, 24))]
    push(encoder, range(27, 32), False)
    assert encoder.take()[:, 0].tolist() == list(range(24, 32)) and len(stream.got) == 2


def test_a_short_pause_is_heard_whole() -> None:
    stream = Noting()
    encoder = RestingEncoder(stream, 8)  # type: ignore[arg-type]
    push(encoder, range(8), True)
    encoder.take()
    be_silent(encoder, 8, 1, 8)
    push(encoder, range(16, 24), True)
    encoder.take()
    assert stream.got == [list(range(first, first + 8)) for first in (0, 8, 16)] and not stream.skipped


def voices(encoder: Encoder, pcm: np.ndarray, profile: Profile) -> list[Voice]:
    """What a sender that saves silence sends."""
    sender = Sender(encoder, profile, 1, front=Front(keying=Keying()))
    contents = [sender.framing.parse(packet).content for packet in sender.push(pcm) + sender.finish()]
    return [content for content in contents if isinstance(content, Voice)]


def encode(stream: EncoderStream, pcm: np.ndarray, numbers: range, profile: Profile) -> np.ndarray:
    """Codes of these packets of the samples."""
    packets = pcm.reshape(-1, profile.frames * SAMPLES_PER_FRAME)
    return np.concatenate([stream.encode(packets[number]) for number in numbers])


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
@pytest.mark.parametrize("pause_packets", [6, 40])
def test_after_a_pause_the_codes_are_those_of_speech_with_its_silence_cut_out(
    encoder: Encoder, profile: Profile, pause_packets: int
) -> None:
    """Until the encoder remembers nothing from before the pause: then they are those of a new stream."""
    packet = profile.frames * SAMPLES_PER_FRAME
    said = [speech_like(4 * packet / 16_000, seed, level=0.3) for seed in (0, 1)]
    pause = 10 ** (-70 / 20) * np.random.default_rng(1).standard_normal(pause_packets * packet)
    sound = np.concatenate([said[0], pause, said[1]]).astype(np.float32)
    sent = voices(encoder, sound, profile)
    first = [voice.sequence for voice in sent].index(4 + pause_packets)  # of the second talk spurt
    assert sent[first - 1].end and sent[first - 1].sequence == sent[first - 2].sequence + 1
    lead = -(-LEAD_FRAMES // profile.frames)
    stream = encoder.stream()
    before = encode(stream, sound, range(sent[first - 1].sequence + 1), profile)
    assert np.array_equal(np.concatenate([voice.codes for voice in sent[:first]]), before)
    left_out = 4 + pause_packets - lead - (sent[first - 1].sequence + 1)
    if left_out * profile.frames >= encoder.meta.memory_frames:
        stream = encoder.stream()
    again = encode(stream, sound, range(4 + pause_packets - lead, 4 + pause_packets + 4), profile)[lead * profile.frames :]
    assert np.array_equal(np.concatenate([voice.codes for voice in sent[first : first + 4]]), again)
