"""Receiver: packets with their arrival times in, samples out. Nothing that arrives can stop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from stream.clock import Clock
from stream.concealment import Fade
from stream.engine import Decoder
from stream.frame import Pcm
from stream.link import ZmqLink
from stream.packet import BY_SIZE, PacketError, Profile, Voice, parse
from stream.playout import Arrival, Playout, Slot
from stream.stats import ReceiverStats

POLL_S = 0.02
LARGEST_BACKLOG = 64  # packets taken from the link before playout has its turn


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
        self.stats.other_packets += arrival is Arrival.OTHER
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
            self._count(slot, now_s)
            yield pcm

    def rest(self) -> Iterator[Pcm]:
        """What has arrived and was not heard yet, without waiting for its time."""
        while self.playout.playing and self.playout.waiting:
            yield from self.play(self.playout.next_due_s)

    def _count(self, slot: Slot, now_s: float) -> None:
        stats = self.stats
        if slot.codes is None:
            stats.trailing_frames += 1  # until something is heard again
            return
        if stats.first_frame < 0:
            stats.first_frame, stats.first_frame_s = slot.number, now_s  # when it was played, not when it was due
        stats.concealed_frames += stats.trailing_frames
        stats.frames += stats.trailing_frames + 1
        stats.trailing_frames = 0


def receive(
    receiver: Receiver, link: ZmqLink, sink: PcmSink, clock: Clock, idle_exit_s: float, stopped: Callable[[], bool]
) -> None:
    """Receive until `stopped`, or until nothing came and nothing was heard for `idle_exit_s` (0: never)."""
    active_s: float | None = None
    while not stopped():
        wait_s = POLL_S
        if receiver.playout.playing:
            wait_s = min(POLL_S, max(0.0, receiver.playout.next_due_s - clock.now_s()) / clock.speed)
        packet = link.receive(wait_s)
        now_s = clock.now_s()
        if packet is not None or receiver.playout.playing:
            active_s = now_s
        elif idle_exit_s and active_s is not None and now_s - active_s > idle_exit_s:
            return
        # Everything that lies in the socket comes before playout: a receiver that was held up conceals nothing it has.
        for _ in range(LARGEST_BACKLOG):
            if packet is None:
                break
            receiver.arrive(now_s, packet)
            packet = link.receive(0)
        for pcm in receiver.play(now_s):
            sink.write(pcm)
