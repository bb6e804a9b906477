"""Jitter buffer with a playout clock: which frame is heard in which 80 ms.

A pure data structure: packets come in with their arrival time, frames come out when the clock passes their slot. No
clock, socket or thread is in here, so a whole reception can be replayed in an instant, or tested to the slot.

The first packet of a talk spurt starts the clock `delay_s` after its arrival; from then on one slot follows the other
every 80 ms. An earlier packet that comes before the first slot starts the clock earlier. A slot whose frame has not
arrived is concealed. A packet that comes too late, with nothing newer heard
since, moves the clock back to it: the pause grows, its speech is kept, and later packets have more time.

A stream is followed until it ends, falls silent, or another one takes its place: then the buffer starts anew with
whatever comes, so that no restart, outage or stray packet leaves a receiver deaf.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from stream.frame import FRAME_S, Codes
from stream.packet import Profile, Voice, sequence_difference
from stream.protection import SEQUENCE_COUNT

LONGEST_DELAY_S = 3.0  # the clock is never moved further back than this in a talk spurt
OUTAGE_S = 5.0  # after so long without a packet the talk spurt counts as over
STRAGGLER_S = 2.0  # so long after a talk spurt its repeated and late packets are known as such
FURTHEST_AHEAD_S = 30.0  # a packet further ahead than this belongs to another talk spurt
REMEMBERED_PACKETS = 64  # to tell a duplicate from a late packet
LATE_IN_A_ROW = 3  # so many late packets in a row mean that the clock is wrong, not the packets
RIVALS = 2  # packets in a row of another stream before it takes the place of one that is being heard
TOLERANCE_S = 1e-6  # a slot is due this much early: sums of times are not exact


class Arrival(Enum):
    """What became of a packet."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    LATE = "late"
    OTHER = "of another stream"


@dataclass(frozen=True)
class Slot:
    """80 ms of playout: a frame's codes, or None where it has to be concealed."""

    number: int  # of the frame since the stream's packet 0
    due_s: float
    codes: Codes | None


class Playout:
    """The jitter buffer of one receiver."""

    def __init__(self, delay_s: float = 0.2, sequence_count: int = SEQUENCE_COUNT):
        self.delay_s = delay_s
        self._sequence_count = sequence_count
        self.added_delay_s = 0.0  # by late packets, in this talk spurt
        self._frames: dict[int, Codes] = {}
        self._profile: Profile | None = None
        self._stream: int | None = None
        self._rivals: list[Voice] = []  # newest packets of another stream, nothing of ours between them
        self._accepted_s = 0.0  # when the newest packet was accepted
        self._received: set[int] = set()  # extended sequence numbers of the newest packets
        self._sequence = 0  # newest, extended beyond its 10 bits
        self._late = 0  # late packets in a row
        self._playing = False
        self._started_s = 0.0  # when slot 0 of the talk spurt is heard
        self._slots = 0  # of the talk spurt, given out
        self._next = 0  # frame of the next slot
        self._heard = -1  # newest frame that was heard, not concealed
        self._last = -1  # last frame of the talk spurt, once its end is known
        self._missing = 0  # slots concealed in a row

    @property
    def playing(self) -> bool:
        """Whether a talk spurt is being heard or concealed."""
        return self._playing

    @property
    def waiting(self) -> bool:
        """Whether a frame that arrived has not been heard yet."""
        return bool(self._frames)

    @property
    def next_due_s(self) -> float:
        """When the next slot is due; meaningful while playing."""
        return self._started_s + self._slots * FRAME_S

    @property
    def buffered_s(self) -> float:
        """Seconds of speech that wait for their slot."""
        return len(self._frames) * FRAME_S

    def add(self, now_s: float, voice: Voice, profile: Profile) -> Arrival:
        """Take a packet that arrived at `now_s`."""
        silent_s = now_s - self._accepted_s
        if voice.stream != self._stream or profile is not self._profile:
            if self._playing and silent_s < OUTAGE_S and not self._overtaken(voice):
                return Arrival.OTHER
            rivals = self._rivals[:-1]
            self._follow(voice, profile)
            for rival in rivals:
                self.add(now_s, rival, profile)
        elif silent_s >= (OUTAGE_S if self._playing else STRAGGLER_S):
            self._follow(voice, profile)
        return self._take(now_s, voice, profile)

    def restore(self, now_s: float, voice: Voice) -> Arrival:
        """Take a packet that was lost and restored from others: it fills its place and moves nothing."""
        if voice.stream != self._stream or self._profile is None:
            return Arrival.OTHER
        first, last = self._span(voice, self._profile)
        if first // self._profile.frames in self._received:
            return Arrival.DUPLICATE
        self._start_earlier(now_s, first)
        if not self._playing or last < self._next or (first - self._next) * FRAME_S > FURTHEST_AHEAD_S:
            return Arrival.LATE
        return self._fill(now_s, voice, first, last)

    def due(self, now_s: float) -> list[Slot]:
        """The slots whose time has come, oldest first."""
        slots = []
        while self._playing and self.next_due_s <= now_s + TOLERANCE_S:
            codes = self._frames.pop(self._next, None)
            if codes is None and self._over():
                self._playing = False
                break
            self._missing = 0 if codes is not None else self._missing + 1
            if codes is not None:
                self._heard = self._next
            slots.append(Slot(self._next, self.next_due_s, codes))
            self._next += 1
            self._slots += 1
        return slots

    def forget(self) -> None:
        """Forget the stream: what comes next starts anew, whatever its numbers."""
        self._stream = None
        self._playing = False
        self._frames.clear()

    def _take(self, now_s: float, voice: Voice, profile: Profile) -> Arrival:
        first, last = self._span(voice, profile)
        if first // profile.frames in self._received:
            return Arrival.DUPLICATE
        if self._playing and (first - self._next) * FRAME_S > FURTHEST_AHEAD_S:
            self._frames.clear()
            self._playing = False
        if not self._playing and first <= self._heard:
            return Arrival.LATE
        self._start_earlier(now_s, first)
        if self._playing and first < self._next:
            late_s = (self._next - first) * FRAME_S
            if first > self._heard and self.added_delay_s + late_s <= LONGEST_DELAY_S:
                self._next = first
                self.added_delay_s += late_s
            elif last < self._next:
                self._late += 1
                if self._late < LATE_IN_A_ROW:
                    return Arrival.LATE
                self._follow(voice, profile)
                return self._take(now_s, voice, profile)
        if not self._playing:
            self._start(now_s, first)
        return self._fill(now_s, voice, first, last)

    def _span(self, voice: Voice, profile: Profile) -> tuple[int, int]:
        """First and last frame of a packet, numbered beyond the wrap."""
        step = sequence_difference(voice.sequence, self._sequence, self._sequence_count)
        first = (self._sequence + step) * profile.frames
        return first, first + profile.frames - 1

    def _start_earlier(self, now_s: float, first: int) -> None:
        """Let the talk spurt begin with this frame, if nothing was given out yet and there is time to."""
        earlier_s = (self._next - first) * FRAME_S
        if self._playing and not self._slots and 0 < earlier_s <= self._started_s - now_s + TOLERANCE_S:
            self._started_s -= earlier_s
            self._next = first

    def _fill(self, now_s: float, voice: Voice, first: int, last: int) -> Arrival:
        """Put the frames of a packet in their places."""
        self._accept(now_s, first // len(voice.codes))
        for number, codes in enumerate(voice.codes, start=first):
            if number >= self._next:
                self._frames[number] = codes
        if voice.end:
            self._last = max(self._last, last)
        return Arrival.ACCEPTED

    def _accept(self, now_s: float, sequence: int) -> None:
        self._sequence = max(self._sequence, sequence)
        self._received = {kept for kept in self._received if kept > self._sequence - REMEMBERED_PACKETS} | {sequence}
        self._accepted_s = now_s
        self._late = 0
        self._rivals.clear()

    def _overtaken(self, voice: Voice) -> bool:
        """Whether another stream has sent enough in a row to take over; the packet is kept for that."""
        if self._rivals and self._rivals[-1].stream != voice.stream:
            self._rivals.clear()
        self._rivals.append(voice)
        return len(self._rivals) >= RIVALS

    def _over(self) -> bool:
        ended = 0 <= self._last < self._next
        return not self._frames and (ended or self._missing * FRAME_S >= OUTAGE_S)

    def _follow(self, voice: Voice, profile: Profile) -> None:
        """Start anew with the stream of this packet."""
        self._stream, self._profile = voice.stream, profile
        self._frames.clear()
        self._received.clear()
        self._rivals.clear()
        self._sequence = voice.sequence
        self._playing, self._heard, self._late = False, -1, 0

    def _start(self, now_s: float, first: int) -> None:
        self._playing = True
        self._started_s, self._slots = now_s + self.delay_s, 0
        self._next = first
        self._last, self._missing, self.added_delay_s = -1, 0, 0.0
