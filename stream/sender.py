"""Sender: samples of any block size in, packets out."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from stream.clock import Clock
from stream.engine import Encoder
from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Codes, Pcm
from stream.link import PacketSink
from stream.packet import STREAM_COUNT, Framing, Profile, Voice, is_voice
from stream.repair import BlockBuilder
from stream.stats import SenderStats

DRAIN_S = 2.0  # at the end, a receiver that reads slowly gets so long for what is queued


class Sender:
    """One outgoing stream. Pure but for the processor time it counts: samples in, bytes out."""

    def __init__(self, encoder: Encoder, profile: Profile, stream: int, framing: Framing | None = None):
        self.profile = profile
        self.framing = framing or Framing(encoder.meta.decoder_id)
        self.stats = SenderStats()
        self._meta = encoder.meta
        self._encoder = encoder.stream()
        self._stream = stream % STREAM_COUNT
        self._sequence = 0
        self._samples = np.zeros(0, np.float32)
        self._codes: list[Codes] = []
        protection = self.framing.protection
        self._blocks = BlockBuilder(protection) if protection.block else None
        self._sent: deque[NDArray[np.uint8]] = deque(maxlen=protection.repeat)  # codes of the newest packets

    def push(self, pcm: Pcm) -> list[bytes]:
        """Take samples [N]; returns the packets they complete."""
        self.stats.speech_samples += len(pcm)
        return self._encode(pcm)

    def finish(self) -> list[bytes]:
        """End the talk spurt: the codec's look-ahead and the last packet are filled with silence."""
        if not self.stats.speech_samples:
            return []
        # The decoder still owes the last `shift_samples`; frames that carry them follow, then the packet is filled.
        frames = math.ceil((self.stats.speech_samples + self._meta.shift_samples) / SAMPLES_PER_FRAME)
        frames += -frames % self.profile.frames
        silence = frames * SAMPLES_PER_FRAME - self.stats.frames * SAMPLES_PER_FRAME - len(self._samples)
        return self._encode(np.zeros(silence, np.float32), last_frame=frames)

    def _encode(self, pcm: Pcm, last_frame: int = -1) -> list[bytes]:
        waiting = np.concatenate([self._samples, pcm])
        packets = []
        for start in range(0, len(waiting) - SAMPLES_PER_FRAME + 1, SAMPLES_PER_FRAME):
            began = time.perf_counter()
            self._codes.append(self._encoder.encode(waiting[start : start + SAMPLES_PER_FRAME]))
            self.stats.encode_s += time.perf_counter() - began
            self.stats.frames += 1
            if len(self._codes) == self.profile.frames:
                packets += self._packets(end=self.stats.frames == last_frame)
        self._samples = waiting[len(waiting) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME :]
        return packets

    def _packets(self, end: bool) -> list[bytes]:
        """The voice packet of the frames that wait, and the repair packets of the block that it completes."""
        protection, codes = self.framing.protection, np.stack(self._codes)
        repeated = self._sent[0] if protection.repeat and len(self._sent) == protection.repeat else None
        voice = Voice(self._stream, self._sequence, codes, end, repeated)
        repairs = self._blocks.add(voice) if self._blocks else []
        self._codes = []
        self._sent.append(codes)
        self._sequence += 1
        if end and protection.block:
            self._sequence += -self._sequence % protection.block  # what is left of the block is not used
        self._sequence %= protection.sequence_count
        self.stats.repair_packets += len(repairs)
        return [self.framing.build(voice, self.profile), *(self.framing.build(repair, self.profile) for repair in repairs)]


def send(sender: Sender, source: Iterable[Pcm], link: PacketSink, clock: Clock | None) -> None:
    """Send a source to its end. With a clock, no sample is encoded before the moment it would be heard."""
    started_s = clock.now_s() if clock else 0.0
    sender.stats.first_sample_s = started_s
    voice_packets = 0

    def put(packets: list[bytes]) -> None:
        nonlocal voice_packets
        for packet in packets:
            sender.stats.packets += 1
            voice_packets += is_voice(packet)
            sender.stats.on_air_bytes += len(packet)
            forget(link.send(packet))

    def forget(dropped: int) -> None:
        sender.stats.dropped_packets += dropped
        sender.stats.on_air_bytes -= dropped * sender.framing.packet_bytes(sender.profile)  # they never left

    for pcm in source:
        if clock:
            clock.sleep_until(started_s + (sender.stats.speech_samples + len(pcm)) / SAMPLE_RATE_HZ)
        put(sender.push(pcm))
    for packet in sender.finish():
        if clock and is_voice(packet):  # the padding takes its time on air as speech does
            clock.sleep_until(started_s + (voice_packets + 1) * sender.profile.packet_s)
        put([packet])
    forget(link.drain(DRAIN_S))
