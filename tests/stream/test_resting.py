"""The encoder rests in long silence, and what is heard is the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stream.engine import Encoder
from stream.frame import SAMPLES_PER_FRAME, Codes, Pcm
from stream.front import Front
from stream.keying import Keying
from stream.profile import PROFILES
from stream.resting import RestingEncoder
from stream.sender import Sender
from tests.conftest import speech_like

REST_S = 0.16  # two frames
MEMORY_FRAMES = 6


class Noting:
    """Takes the place of an encoder's stream: notes which frames it got; the code is the frame's number."""

    def __init__(self) -> None:
        self.got: list[int] = []

    def encode(self, pcm: Pcm) -> Codes:
        self.got.append(int(pcm[0]))
        return np.full(8, pcm[0], np.uint8)


def frame(number: int) -> Pcm:
    return np.full(SAMPLES_PER_FRAME, number, np.float32)


def push(encoder: RestingEncoder, numbers: range, on_air: bool) -> None:
    for number in numbers:
        encoder.push(frame(number), on_air)


def test_a_packet_of_silence_is_not_encoded_once_the_encoder_rests() -> None:
    stream = Noting()
    encoder = RestingEncoder(stream, MEMORY_FRAMES, REST_S)  # type: ignore[arg-type]
    for first in (0, 4, 8):
        push(encoder, range(first, first + 4), False)
        encoder.leave_out()
    assert stream.got == [0, 1] and encoder.encoded_frames == 2


def test_speech_wakes_it_with_the_frames_before() -> None:
    stream = Noting()
    encoder = RestingEncoder(stream, MEMORY_FRAMES, REST_S)  # type: ignore[arg-type]
    silent = 2 * MEMORY_FRAMES
    for first in range(0, silent, 4):
        push(encoder, range(first, first + 4), False)
        encoder.leave_out()
    push(encoder, range(silent, silent + 2), False)
    push(encoder, range(silent + 2, silent + 4), True)
    assert [int(codes[0]) for codes in encoder.take()] == list(range(silent, silent + 4))
    assert stream.got == [0, 1, *range(silent - MEMORY_FRAMES, silent + 4)]


def test_speech_soon_after_it_fell_asleep_gets_every_frame_once() -> None:
    stream = Noting()
    encoder = RestingEncoder(stream, MEMORY_FRAMES, REST_S)  # type: ignore[arg-type]
    push(encoder, range(0, 4), False)
    encoder.leave_out()
    push(encoder, range(4, 8), True)
    assert stream.got == list(range(8))


def test_a_packet_that_ends_in_rest_is_whole() -> None:
    stream = Noting()
    encoder = RestingEncoder(stream, MEMORY_FRAMES, REST_S)  # type: ignore[arg-type]
    encoder.push(frame(0), True)
    push(encoder, range(1, 8), False)
    assert stream.got == [0, 1, 2]
    assert [int(codes[0]) for codes in encoder.take()] == list(range(8))


@pytest.mark.parametrize("rest_after_s", [math.inf, 0.0])
def test_without_silence_it_never_rests(rest_after_s: float) -> None:
    stream = Noting()
    encoder = RestingEncoder(stream, MEMORY_FRAMES, rest_after_s)  # type: ignore[arg-type]
    push(encoder, range(8), True)
    assert stream.got == list(range(8))


def test_what_goes_on_air_after_a_rest_is_what_would_have(encoder: Encoder) -> None:
    """As many packets, and to the last digit the same codes."""
    pause = 10 ** (-70 / 20) * np.random.default_rng(1).standard_normal(24 * 16_000)
    sound = np.concatenate([speech_like(2.0, level=0.3), pause, speech_like(4.0, seed=1, level=0.3)]).astype(np.float32)
    heard, encoded = [], []
    for rest_after_s in (math.inf, 2.0):
        sender = Sender(encoder, PROFILES["standard"], 1, front=Front(keying=Keying()), rest_after_s=rest_after_s)
        packets = sender.push(sound) + sender.finish()
        voices = [sender.framing.parse(packet).content for packet in packets]
        heard.append((np.stack([voice.codes for voice in voices]), [voice.sequence for voice in voices]))  # type: ignore[union-attr]
        encoded.append(sender.stats.encoded_frames)
        assert sender.stats.frames * SAMPLES_PER_FRAME >= len(sound)
    assert heard[0][1] == heard[1][1]
    assert encoded[1] < 0.75 * encoded[0]
    assert np.array_equal(heard[0][0], heard[1][0])
