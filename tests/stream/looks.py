"""Senders and receivers to look at: real ones but for the codec, which would only take time."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from stream.content import Voice
from stream.frame import SAMPLES_PER_FRAME, Codes, Pcm
from stream.level import LevelMeter
from stream.packet import Framing
from stream.profile import PROFILES
from stream.protection import Protection
from stream.receiver import Receiver
from stream.sender import Sender, send
from stream.snapshot import ReceiverSnapshot, SenderSnapshot
from stream.view import ReceiverView, SenderView
from tests.conftest import speech_like
from tests.stream.test_chain import Memory

FAST = PROFILES["fast"]
DECODER_ID = 0x1234


class NoCodec:
    """Takes a codec's place: its codes are zeros, its speech is a constant."""

    meta = SimpleNamespace(decoder_id=DECODER_ID, shift_samples=1600, memory_frames=37, name="none")

    def stream(self) -> NoCodec:
        return self

    def encode(self, pcm: Pcm) -> Codes:
        return np.zeros((len(pcm) // SAMPLES_PER_FRAME, 8), np.uint8)

    def skip(self, frames: int) -> None:
        return None

    def decode(self, codes: Codes | None) -> Pcm:
        return np.full(SAMPLES_PER_FRAME, 0.1, np.float32)

    def save(self) -> None:
        return None

    def restore(self, state: None) -> None:
        return None


def voice_packets(count: int, protection: Protection | None = None, stream: int = 2, first: int = 0) -> list[bytes]:
    """Packets of profile fast with random codes; the last one ends the talk spurt."""
    framing = Framing(DECODER_ID, protection or Protection())
    rng = np.random.default_rng(first + count)
    return [
        framing.build(Voice(stream, first + k, rng.integers(0, 4, (4, 8)).astype(np.uint8), k == count - 1), FAST)
        for k in range(count)
    ]


def with_wrong_bytes(packet: bytes, count: int) -> bytes:
    """The same packet with one wrong bit in each of `count` bytes."""
    return bytes(byte ^ (1 if place < count else 0) for place, byte in enumerate(packet))


def receiver_with(protection: Protection | None = None) -> Receiver:
    return Receiver(NoCodec(), 0.2, Framing(DECODER_ID, protection or Protection()), ceiling_s=0.0)  # type: ignore[arg-type]


def run(receiver: Receiver, arrivals: list[tuple[float, bytes]], until_s: float) -> Receiver:
    """Let packets arrive at their times, and play whatever is due every 40 ms."""
    waiting = sorted(arrivals, key=lambda arrival: arrival[0])
    for now_s in np.arange(0, until_s, 0.04):
        while waiting and waiting[0][0] <= now_s:
            receiver.arrive(*waiting.pop(0))
        for _ in receiver.play(now_s):
            pass
    return receiver


def look_at_receiver(receiver: Receiver | None = None, final: bool = False) -> ReceiverSnapshot:
    """A snapshot of that receiver; of one that lost a packet of ten and had one repaired unless one is given."""
    if receiver is None:
        packets = voice_packets(10)
        packets[3] = with_wrong_bytes(packets[3], 2)
        arrivals = [(0.32 * place, packet) for place, packet in enumerate(packets) if place != 5]
        receiver = run(receiver_with(), arrivals, 5.0)
    meter = LevelMeter()
    meter.add(speech_like(1.0))
    return ReceiverView(receiver, meter, "none", 0.1).look(1e9, 5.0, final)


def look_at_sender(final: bool = False) -> SenderSnapshot:
    """A snapshot of a sender that sent two seconds."""
    sender, link, meter = Sender(NoCodec(), FAST, 2, station="BASE"), Memory(), LevelMeter()  # type: ignore[arg-type]
    view = SenderView(sender, meter, link, "none")
    view.look(1e9, 0.0, False)
    send(sender, meter.watch([speech_like(2.0)]), link, None)
    return view.look(1e9 + 2, 2.0, final)
