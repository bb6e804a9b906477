"""Receiver: packets with their arrival times in, samples out. Nothing that arrives can stop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from stream.clock import Clock
from stream.concealment import FADE_IN_S, Fade, stretch
from stream.content import Control, Repair, Voice
from stream.control import Mailbox
from stream.deaf import Deafness
from stream.engine import Decoder, DecoderState
from stream.frame import FRAME_S, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm
from stream.history import Fate, PacketHistory
from stream.link import ZmqLink
from stream.packet import ForgedPacketError, Framing, PacketError, Parsed, ReplayedPacketError
from stream.playout import Playout
from stream.playout_clock import LONGEST_DELAY_S
from stream.repair import BlockRepair
from stream.slot import Arrival, Slot
from stream.stats import ReceiverStats
from stream.timescale import Tempo
from stream.trace import Trace

POLL_S = 0.1  # between two looks at whether to end; a packet or a slot that is due wakes the loop at once
LONGEST_PAUSE_S = 30.0  # between talk spurts, kept where pauses are
LARGEST_BACKLOG = 64  # packets taken from the link before playout has its turn


class PcmSink(Protocol):
    """Where a receiver puts samples."""

    def write(self, pcm: Pcm) -> None: ...


class Receiver:
    """One incoming stream, a pure function of (arrival time, bytes) and of the times at which it is asked to play."""

    def __init__(
        self,
        decoder: Decoder,
        delay_s: float,
        framing: Framing | None = None,
        notify: Callable[[str], None] = lambda line: None,
        ceiling_s: float = LONGEST_DELAY_S,
        trace: Trace | None = None,
    ):
        """`delay_s` is the playout delay without protection; what the framing's needs comes on top, packet by packet size.

        notify: gets one line for every news from control packets: a station, a text; and one that says why nothing is heard.
        ceiling_s: the longest playout delay that jitter can ask for, without protection too; 0: the delay never changes.
        trace: is told of every packet.
        """
        self.framing = framing or Framing(decoder.meta.decoder_id)
        self.stats = ReceiverStats()
        self.history = PacketHistory(self.framing)
        self._delay_s, self._notify = delay_s, notify
        self._deafness = Deafness(self.framing, decoder.meta.name)
        self.tells_refusals = True  # while it listens; of a file that is read whole, who reads it says what was in it
        self.mailbox = Mailbox(self.framing.decoder_id, notify)
        self._protection = self.framing.protection
        self.ceiling_s, self._trace = ceiling_s, trace
        self.playout = Playout(delay_s, self.framing.sequence_count, ceiling_s)
        self.playout.numbers_skip = bool(self._protection.block)
        self._frames_per_wrap = 1  # frames after which sequence numbers begin again
        self._blocks = BlockRepair(self._protection) if self._protection.block else None
        self._decoder = decoder.stream()
        self._fade = Fade()
        self._tempo = Tempo()
        self._heard_state: DecoderState | None = None  # after the last frame that was heard and not concealed
        self._played_until_s = 0.0
        self.keep_pauses = False  # a file has to hold them; a speaker is silent by itself

    def open(self, packet: bytes, unsure: Sequence[int] = ()) -> Parsed | None:
        """Repair and read a packet; None, and a count, for whatever is none.

        unsure: places of bytes that the modem does not vouch for.
        """
        self.stats.received_packets += 1
        self.stats.received_bytes += len(packet)
        try:
            parsed = self.framing.parse(packet, unsure)
        except ForgedPacketError:
            self.stats.forged_packets += 1
            self._refuse(Fate.FORGED, packet)
            return None
        except ReplayedPacketError:
            self.stats.replayed_packets += 1
            self.history.refused(Fate.REPLAYED, packet)
            return None
        except PacketError:
            self.stats.rejected_packets += 1
            self._refuse(Fate.DAMAGED, packet)
            return None
        self._deafness.heard()
        self.stats.corrected_bytes += parsed.corrected_bytes
        self.stats.repaired_packets += parsed.corrected_bytes > 0
        return parsed

    def _refuse(self, fate: Fate, packet: bytes) -> None:
        self.history.refused(fate, packet)
        if (line := self._deafness.refused(packet, forged=fate is Fate.FORGED)) and self.tells_refusals:
            self._notify(line)

    def add(self, now_s: float, parsed: Parsed) -> None:
        """Take a packet that `open` read: what it says, and what it restores of others."""
        content, profile, stats = parsed.content, parsed.profile, self.stats
        self._frames_per_wrap = self._protection.sequence_count * profile.frames
        needed_s = self._protection.delay_s(profile.packet_s)
        self.playout.delay_s, self.playout.ceiling_s = self._delay_s + needed_s, self.ceiling_s + needed_s
        if self._trace:
            self._trace.add(now_s, parsed)
        if isinstance(content, Voice):
            arrival = self.playout.add(now_s, content, profile)
            self.history.arrived(parsed, arrival)
            stats.duplicate_packets += arrival is Arrival.DUPLICATE
            stats.late_packets += arrival is Arrival.LATE
            stats.other_packets += arrival is Arrival.OTHER
            if content.repeated is not None:
                earlier = content.sequence - self._protection.repeat
                self._restore(now_s, [Voice(content.stream, earlier, content.repeated)])
        elif isinstance(content, Repair):
            stats.repair_packets += 1
            if content.end:
                self.playout.ends(content.stream, content.last)
        else:
            stats.control_packets += 1
            if isinstance(content, Control):
                self._control(now_s, content)
            return
        if self._blocks:
            self._restore(now_s, self._blocks.add(now_s, content, profile))
        stats.added_delay_s = max(stats.added_delay_s, self.playout.added_delay_s)

    def arrive(self, now_s: float, packet: bytes, unsure: Sequence[int] = ()) -> None:
        """Take any bytes that arrived at `now_s`; `unsure` are the places of those that the modem does not vouch for."""
        parsed = self.open(packet, unsure)
        if parsed is not None:
            self.add(now_s, parsed)

    def _control(self, now_s: float, control: Control) -> None:
        if control.text:
            self.mailbox.text(now_s, control.stream, control.body)
        else:
            self.mailbox.identity(control.body)

    def _restore(self, now_s: float, voices: list[Voice]) -> None:
        # The newest first: while nothing is heard yet, each older one may still begin the talk spurt before it.
        for voice in reversed(voices):
            if self.playout.restore(now_s, voice) is Arrival.ACCEPTED:
                self.stats.restored_packets += 1
                self.history.restored(voice)

    def play(self, now_s: float) -> Iterator[Pcm]:
        """The samples of every slot whose time has come, about 1280 each, and of the pause before it if pauses are kept.

        Fewer where playout is too late: speech is faster then, and pauses are nearly left out.
        """
        for slot in self.playout.slots(now_s):
            self.history.slot(slot)
            self.stats.skipped_frames += len(slot.skipped)
            pause_s = slot.due_s - self._played_until_s
            if self.keep_pauses and self.stats.first_frame >= 0 and FRAME_S / 2 < pause_s <= LONGEST_PAUSE_S:
                yield np.zeros(round(pause_s * SAMPLE_RATE_HZ), np.float32)
            pcm = self.sound(slot)
            if not slot.pause:
                self._count(slot, now_s)
            self._tempo.hear(pcm)
            pcm = self._tempo.hurry(pcm) if slot.hurried else stretch(pcm, slot.samples)
            self.playout.took(slot, len(pcm))
            self._played_until_s = slot.due_s + len(pcm) / SAMPLE_RATE_HZ
            yield pcm

    def sound(self, slot: Slot) -> Pcm:
        """The samples [1280] of a slot that playout gave out, before they are stretched to the time it takes."""
        if slot.pause:
            return np.zeros(SAMPLES_PER_FRAME, np.float32)
        began = time.perf_counter()
        pcm = self._fade.apply(self._decode(slot), slot.codes is None)
        self.stats.decode_s += time.perf_counter() - began
        return pcm

    def _decode(self, slot: Slot) -> Pcm:
        """Decode a slot; frames that came too late to be heard are decoded before it, from where they were missing on."""
        heard = slot.codes is not None
        if slot.missed and self._heard_state is not None:
            expected = self._decoder.decode(slot.codes)
            self._decoder.restore(self._heard_state)
            for codes in slot.missed:
                self._decoder.decode(codes)
            self.stats.late_frames_used += sum(codes is not None for codes in slot.missed)
            known = self._decoder.decode(slot.codes)
            ramp = np.minimum(np.arange(1, SAMPLES_PER_FRAME + 1) / (FADE_IN_S * SAMPLE_RATE_HZ), 1.0).astype(np.float32)
            pcm: Pcm = expected + ramp * (known - expected)
        else:
            pcm = self._decoder.decode(slot.codes)
        if heard:
            self._heard_state = self._decoder.save()
        return pcm

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
            stats.first_frame = slot.number % self._frames_per_wrap
            stats.first_frame_s = now_s  # when it was played, not when it was due
        stats.concealed_frames += stats.trailing_frames
        stats.frames += stats.trailing_frames + 1
        stats.trailing_frames = 0
        stats.playout_delay_s = self.playout.playout_delay_s


def receive(
    receiver: Receiver, link: ZmqLink, sink: PcmSink, clock: Clock, idle_exit_s: float, stopped: Callable[[], bool]
) -> None:
    """Receive until `stopped`, or until nothing came and nothing was heard for `idle_exit_s` (0: never)."""
    active_s: float | None = None

    def take(packet: tuple[bytes, list[int]] | None, now_s: float) -> None:
        taken = 0
        while packet is not None:
            receiver.arrive(now_s, *packet)
            taken += 1
            packet = link.receive_marked(0) if taken < LARGEST_BACKLOG else None

    while not stopped():
        wait_s = POLL_S
        if receiver.playout.playing:
            wait_s = min(POLL_S, max(0.0, receiver.playout.next_due_s - clock.now_s()) / clock.speed)
        packet = link.receive_marked(wait_s)
        now_s = clock.now_s()
        if packet is not None or receiver.playout.playing:
            active_s = now_s
        elif idle_exit_s and active_s is not None and now_s - active_s > idle_exit_s:
            return
        # Everything that lies in the socket comes before playout: a receiver that was held up conceals nothing it has.
        take(packet, now_s)
        for pcm in receiver.play(now_s):
            sink.write(pcm)
    take(link.receive_marked(0), clock.now_s())  # it has arrived, whether or not there was time to read it
