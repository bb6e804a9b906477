"""Sender: samples of any block size in, packets out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from stream.clock import Clock
from stream.content import Content, Control, Epoch, Voice
from stream.control import identity_body, text_bodies
from stream.engine import Encoder
from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm
from stream.front import Front
from stream.link import PacketSink
from stream.packet import STREAM_COUNT, TYPE_CONTROL, TYPE_VOICE, Framing, packet_type
from stream.profile import Profile
from stream.repair import BlockBuilder
from stream.resting import RestingEncoder
from stream.stats import SenderStats

CONTROL_SPACING = 8  # voice packets for one control packet at most, while speech is sent
IDENTITY_SPACING = 64  # voice packets from one identity to the next
TEXT_COPIES = 2  # of every message: no repair packet covers it
DRAIN_S = 2.0  # at the end, a receiver that reads slowly gets so long for what is queued


class Sender:
    """One outgoing stream. Pure but for the processor time it counts: samples in, bytes out."""

    def __init__(
        self,
        encoder: Encoder,
        profile: Profile,
        stream: int,
        framing: Framing | None = None,
        station: str = "",
        front: Front | None = None,
        sent: Callable[[Pcm], None] | None = None,
    ):
        """`station`: up to 8 characters that tell receivers now and then who speaks; empty for nobody.

        front: what is done to the samples first, and which of them go on air: all unless given. A packet without any is
        left out, but for one after each talk spurt.
        sent: gets the samples of each packet that goes on air.
        """
        self.profile = profile
        self.framing = framing or Framing(encoder.meta.decoder_id)
        self.stats = SenderStats()
        self._meta = encoder.meta
        self._encoder = RestingEncoder(encoder.stream(), profile.frames)
        self._stream = stream % STREAM_COUNT
        self._sequence = 0
        self._samples = np.zeros(0, np.float32)
        protection = self.framing.protection
        self._blocks = BlockBuilder(protection) if protection.block else None
        self.station = station
        self._controls: deque[Content] = deque()
        self._messages = self._voice_packets = 0
        self._ahead = 0  # packets by which numbers are ahead of the time, after blocks that ended early
        self._since_control, self._since_identity = CONTROL_SPACING, IDENTITY_SPACING
        self._sent: dict[int, NDArray[np.uint8]] = {}  # codes of the newest packets, for repetition
        self._front = front or Front()
        self._sent_samples, self._waiting_samples = sent, list[Pcm]()
        self._active = False  # whether any of the frames that wait goes on air
        self._speaking = False  # whether the last packet was sent and had no end

    @property
    def speaking(self) -> bool:
        """Whether speech is on air: the newest packet was sent and does not end a talk spurt."""
        return self._speaking

    @property
    def talk_state(self) -> str:
        """What decides about going on air, in words; see `Keying.state`."""
        return self._front.keying.state

    def say(self, text: str) -> None:
        """Queue a text message; it leaves between voice packets and after them.

        Raises:
            UsageError: no text, or too long.
        """
        pieces = text_bodies(text, self._messages, self.framing.body_bytes(self.profile))
        self._controls += [Control(self._stream, True, piece) for piece in pieces] * TEXT_COPIES
        self._messages += 1

    def push(self, pcm: Pcm) -> list[bytes]:
        """Take samples [N]; returns the packets they complete.

        Raises:
            FileError: on a sealed link, a new key epoch cannot be kept.
        """
        self.stats.speech_samples += len(pcm)
        return self._encode(pcm)

    def finish(self) -> list[bytes]:
        """End the talk spurt: what the decoder still owes and the last packet are filled with silence; then what is left of texts.

        Raises:
            FileError: as `push`.
        """
        if not self.stats.speech_samples:
            return self._remaining_controls()
        # The decoder still owes the last `shift_samples`; frames that carry them follow, then the packet is filled.
        frames = math.ceil((self.stats.speech_samples + self._front.delay_samples + self._meta.shift_samples) / SAMPLES_PER_FRAME)
        frames += -frames % self.profile.frames
        silence = frames * SAMPLES_PER_FRAME - self.stats.frames * SAMPLES_PER_FRAME - len(self._samples)
        return self._encode(np.zeros(silence, np.float32), last_frame=frames) + self._remaining_controls()

    def _encode(self, pcm: Pcm, last_frame: int = -1) -> list[bytes]:
        waiting = np.concatenate([self._samples, pcm])
        packets = []
        for start in range(0, len(waiting) - SAMPLES_PER_FRAME + 1, SAMPLES_PER_FRAME):
            frame, on_air = self._front(waiting[start : start + SAMPLES_PER_FRAME])
            self._active |= on_air
            if self._sent_samples:
                self._waiting_samples.append(frame)
            self._encoder.push(frame, on_air)
            self.stats.frames += 1
            if self.stats.frames % self.profile.frames == 0:
                packets += self._packets(self.stats.frames == last_frame)
            self.stats.encode_s, self.stats.encoded_frames = self._encoder.encode_s, self._encoder.encoded_frames
        self._samples = waiting[len(waiting) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME :]
        return packets

    def _packets(self, last: bool) -> list[bytes]:
        """The voice packet of the frames that wait, and the repair packets of the block that it completes.

        None for silence, except for one packet that ends a talk spurt. Numbers count on meanwhile: they are the time.
        """
        protection, active = self.framing.protection, self._active
        samples, self._waiting_samples = self._waiting_samples, []
        self._active = False
        if not active and not self._speaking:
            self.stats.silent_packets += 1
            self._encoder.leave_out()
            # Numbers come again: codes that nothing repeated now would be repeated as news then.
            self._sent.pop((self._sequence - protection.repeat) % protection.sequence_count, None)
            self._advance(sent=False)
            return self._next_control(idle=True)
        if protection.block and not self._speaking:  # a talk spurt begins with a block
            skipped = -self._sequence % protection.block
            self._sequence = (self._sequence + skipped) % protection.sequence_count
            self._ahead += skipped
        if self._sent_samples:
            self._sent_samples(np.concatenate(samples))
        end = last or not active
        self._speaking = not end
        repeated = self._sent.get((self._sequence - protection.repeat) % protection.sequence_count) if protection.repeat else None
        codes = self._encoder.take()
        voice = Voice(self._stream, self._sequence, codes, end, repeated)
        repairs = self._blocks.add(voice) if self._blocks else []
        if protection.repeat:
            self._sent[self._sequence] = codes
            self._sent.pop((self._sequence - protection.repeat) % protection.sequence_count, None)
        self._advance(sent=True)
        self.stats.repair_packets += len(repairs)
        self._since_control += 1
        self._since_identity += 1
        # A receiver that has lost the key epoch needs it before the first packet; everything else can wait for speech.
        early = self._next_control() if self.framing.seal and not self._voice_packets else []
        self._voice_packets += 1
        packets = [self.framing.build(voice, self.profile), *(self.framing.build(repair, self.profile) for repair in repairs)]
        return early + packets + self._next_control()

    def _advance(self, sent: bool) -> None:
        """Number the next packet."""
        protection = self.framing.protection
        if not sent and self._ahead:
            self._ahead -= 1  # silence takes the time by which numbers are ahead
        else:
            self._sequence = (self._sequence + 1) % protection.sequence_count

    def _next_control(self, idle: bool = False) -> list[bytes]:
        """A control packet, if one waits and its turn has come; at once in silence."""
        if self._since_identity >= IDENTITY_SPACING:
            self._since_identity = 0
            self._identify()
        if not self._controls or (self._since_control < CONTROL_SPACING and not idle):
            return []
        self._since_control = 0
        return [self._build_control(self._controls.popleft())]

    def _remaining_controls(self) -> list[bytes]:
        """All control packets that wait: no speech follows that they could delay."""
        if self._controls and not self._voice_packets:
            self._identify()  # a message without speech says from whom it is
        waiting, self._controls = list(self._controls), deque()
        return [self._build_control(content) for content in waiting]

    def _identify(self) -> None:
        """Queue who speaks and, on a sealed link, the key epoch, before any text."""
        if self.station:
            body = identity_body(
                self.station, self.framing.decoder_id, self.framing.protection, self.framing.body_bytes(self.profile)
            )
            self._controls.appendleft(Control(self._stream, False, body))
        if self.framing.seal:
            self._controls.appendleft(Epoch())

    def _build_control(self, content: Content) -> bytes:
        self.stats.control_packets += 1
        return self.framing.build(content, self.profile)


def send(sender: Sender, source: Iterable[Pcm], link: PacketSink, clock: Clock | None) -> None:
    """Send a source to its end. With a clock, no sample is encoded before the moment it would be heard.

    Raises:
        FileError: as `Sender.push`.
    """
    started_s = clock.now_s() if clock else 0.0
    sender.stats.first_sample_s = started_s
    voice_packets = 0  # on their way

    def put(packets: list[bytes]) -> None:
        nonlocal voice_packets
        for packet in packets:
            sender.stats.packets += 1
            voice_packets += packet_type(packet) == TYPE_VOICE
            sender.stats.on_air_bytes += len(packet)
            forget(link.send(packet))

    def forget(dropped: int) -> None:
        sender.stats.dropped_packets += dropped
        sender.stats.on_air_bytes -= dropped * sender.framing.packet_bytes(sender.profile)  # they never left

    for pcm in source:
        if clock:
            clock.sleep_until(started_s + (sender.stats.speech_samples + len(pcm)) / SAMPLE_RATE_HZ)
        put(sender.push(pcm))
    passed = voice_packets + sender.stats.silent_packets
    due_s = started_s + passed * sender.profile.packet_s
    for packet in sender.finish():
        if packet_type(packet) == TYPE_VOICE:  # the padding takes its time on air as speech does
            passed += 1
            due_s = started_s + passed * sender.profile.packet_s
        elif packet_type(packet) >= TYPE_CONTROL:
            due_s += sender.profile.packet_s
        if clock:
            clock.sleep_until(due_s)
        put([packet])
    forget(link.drain(DRAIN_S))
