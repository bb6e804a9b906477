"""Receiver: packets with their arrival times in, samples out. Nothing that arrives can stop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from stream.clock import Clock
from stream.concealment import Fade
from stream.engine import Decoder
from stream.errors import LinkError
from stream.frame import Pcm
from stream.link import LARGEST_PACKET_BYTES, ZmqLink
from stream.packet import BY_SIZE, PROFILES, PacketError, Profile, Voice, parse, sequence_difference
from stream.playout import Arrival, Playout
from stream.stats import ReceiverStats

POLL_S = 0.02
DETECTION_PACKETS = 16


class PcmSink(Protocol):
    """Where a receiver puts samples."""

    def write(self, pcm: Pcm) -> None: ...


class Receiver:
    """One incoming stream, a pure function of (arrival time, bytes) and of the times at which it is asked to play."""

    def __init__(self, decoder: Decoder, delay_s: float):
        self.stats = ReceiverStats()
        self.playout = Playout(delay_s)
        self._decoder_id = decoder.meta.decoder_id
        self._decoder = decoder.stream()
        self._fade = Fade()

    def open(self, packet: bytes) -> Voice | None:
        """Repair and read a packet; None, and a count, for whatever is none."""
        self.stats.received_packets += 1
        self.stats.received_bytes += len(packet)
        try:
            voice, correction = parse(packet, self._decoder_id)
        except PacketError:
            self.stats.rejected_packets += 1
            return None
        self.stats.corrected_bytes += correction.corrected_bytes
        self.stats.repaired_packets += correction.corrected_bytes > 0
        return voice

    def add(self, now_s: float, voice: Voice, profile: Profile) -> None:
        """Hand a packet that `open` read to the jitter buffer."""
        arrival = self.playout.add(now_s, voice, profile)
        self.stats.duplicate_packets += arrival is Arrival.DUPLICATE
        self.stats.late_packets += arrival is Arrival.LATE
        self.stats.added_delay_s = max(self.stats.added_delay_s, self.playout.added_delay_s)

    def arrive(self, now_s: float, packet: bytes) -> None:
        """Take any bytes that arrived at `now_s`."""
        voice = self.open(packet)
        if voice is not None:
            self.add(now_s, voice, BY_SIZE[len(packet)])

    def play(self, now_s: float) -> Iterator[Pcm]:
        """The samples [1280] of every slot whose time has come."""
        for slot in self.playout.due(now_s):
            began = time.perf_counter()
            pcm = self._fade.apply(self._decoder.decode(slot.codes), slot.codes is None)
            self.stats.decode_s += time.perf_counter() - began
            if self.stats.first_frame < 0:
                self.stats.first_frame, self.stats.first_frame_s = slot.number, slot.due_s
            self.stats.frames += 1
            self.stats.concealed_frames += slot.codes is None
            self.stats.last_frame_s = slot.due_s
            yield pcm


def receive(
    receiver: Receiver, link: ZmqLink, sink: PcmSink, clock: Clock, idle_exit_s: float, stopped: Callable[[], bool]
) -> None:
    """Receive until `stopped`, or until nothing came and nothing was heard for `idle_exit_s` (0: never)."""
    active_s: float | None = None
    while not stopped():
        now_s = clock.now_s()
        wait_s = (
            min(POLL_S * clock.speed, max(0.0, receiver.playout.next_due_s - now_s))
            if receiver.playout.playing
            else POLL_S * clock.speed
        )
        packet = link.receive(wait_s / clock.speed)
        now_s = clock.now_s()
        if packet is not None:
            receiver.arrive(now_s, packet)
        for pcm in receiver.play(now_s):
            sink.write(pcm)
        if packet is not None or receiver.playout.playing:
            active_s = now_s
        elif idle_exit_s and active_s is not None and now_s - active_s > idle_exit_s:
            return


def detect_profile(head: bytes, decoder_id: int) -> Profile:
    """The profile whose packet size cuts `head`, the beginning of a stream of packets, into valid packets.

    Raises:
        LinkError: no size does.
    """

    def valid(profile: Profile) -> int:
        size, found = profile.packet_bytes, 0
        for start in range(0, min(len(head), DETECTION_PACKETS * size) - size + 1, size):
            try:
                parse(head[start : start + size], decoder_id)
                found += 1
            except PacketError:
                pass
        return found

    counts = {profile.name: valid(profile) for profile in PROFILES.values()}
    best = max(counts, key=lambda name: counts[name])
    if not counts[best]:
        raise LinkError("no valid packet for this model; check --model, or name the --profile if the link damaged the beginning")
    return PROFILES[best]


def receive_file(receiver: Receiver, file: BinaryIO, sink: PcmSink, profile: Profile | None, decoder_id: int) -> Profile:
    """Play packets from a file or pipe in the time of their own sequence numbers, as fast as they can be read.

    Raises:
        LinkError: the profile was not given and cannot be told from the packets.
    """
    head = b""
    if profile is None:
        # A pipe delivers one packet at a time; one is enough to tell the profile unless the link damaged it.
        while len(head) < DETECTION_PACKETS * LARGEST_PACKET_BYTES:
            more = file.read1(4096) if hasattr(file, "read1") else file.read(4096)
            head += more
            try:
                profile = detect_profile(head, decoder_id)
                break
            except LinkError:
                if not more:
                    raise
    assert profile is not None
    size, extended, newest = profile.packet_bytes, 0, None
    while True:
        while len(head) < size and (more := file.read(size - len(head))):
            head += more
        if len(head) < size:
            break
        packet, head = head[:size], head[size:]
        voice = receiver.open(packet)
        if voice is None:
            continue
        if newest is not None:
            extended = max(extended, extended + sequence_difference(voice.sequence, newest))
        newest = voice.sequence
        now_s = extended * profile.packet_s
        for pcm in receiver.play(now_s):
            sink.write(pcm)
        receiver.add(now_s, voice, profile)
    if head:
        receiver.stats.rejected_packets += 1  # a truncated packet at the end
    while receiver.playout.playing:
        for pcm in receiver.play(receiver.playout.next_due_s):
            sink.write(pcm)
    return profile
