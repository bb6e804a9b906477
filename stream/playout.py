"""Jitter buffer with a playout clock: which frame is heard in which 80 ms.

A pure data structure: packets come in with their arrival time, frames come out when the clock passes their slot. No
clock, socket or thread is in here, so a whole reception can be replayed in an instant, or tested to the slot.

The first packet of a talk spurt starts the clock `delay_s` after its arrival; from then on one slot follows the other
every 80 ms. A slot whose frame has not arrived is concealed. A packet that comes too late, with nothing newer heard
since, moves the clock back to it: the pause grows, no speech is lost, and later packets have more time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from stream.frame import FRAME_S, Codes
from stream.packet import Profile, Voice, sequence_difference

LONGEST_DELAY_S = 3.0  # the clock is never moved further back than this in a talk spurt
OUTAGE_S = 5.0  # after so long without a packet the talk spurt counts as over
FURTHEST_AHEAD_S = 30.0  # a packet further ahead than this belongs to another talk spurt
REMEMBERED_PACKETS = 64  # to tell a duplicate from a late packet


class Arrival(Enum):
    """What became of a packet."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    LATE = "late"


@dataclass(frozen=True)
class Slot:
    """80 ms of playout: a frame's codes, or None where it has to be concealed."""

    number: int  # of the frame since the stream's packet 0
    due_s: float
    codes: Codes | None


class Playout:
    """The jitter buffer of one receiver."""

    def __init__(self, delay_s: float = 0.2):
        self.delay_s = delay_s
        self.added_delay_s = 0.0  # by late packets, in this talk spurt
        self._frames: dict[int, Codes] = {}
        self._profile: Profile | None = None
        self._stream: int | None = None
        self._received: set[int] = set()  # extended sequence numbers of the newest packets
        self._sequence = 0  # newest, extended beyond its 10 bits
        self._playing = False
        self._next = 0  # frame of the next slot
        self._due_s = 0.0  # when the next slot is heard
        self._heard = -1  # newest frame that was heard, not concealed
        self._last = -1  # last frame of the talk spurt, once its end is known
        self._missing = 0  # slots concealed in a row

    @property
    def playing(self) -> bool:
        """Whether a talk spurt is being heard or concealed."""
        return self._playing

    @property
    def next_due_s(self) -> float:
        """When the next slot is due; meaningful while playing."""
        return self._due_s

    @property
    def buffered_s(self) -> float:
        """Seconds of speech that wait for their slot."""
        return len(self._frames) * FRAME_S

    def add(self, now_s: float, voice: Voice, profile: Profile) -> Arrival:
        """Take a packet that arrived at `now_s`."""
        if voice.stream != self._stream or profile is not self._profile:
            self._restart(voice, profile)
        sequence = self._sequence + sequence_difference(voice.sequence, self._sequence % 1024)
        first = sequence * profile.frames
        last = first + profile.frames - 1
        if sequence in self._received:
            return Arrival.DUPLICATE
        if self._playing and (first - self._next) * FRAME_S > FURTHEST_AHEAD_S:
            self._frames.clear()
            self._playing = False
        self._sequence = max(self._sequence, sequence)
        if not self._playing:
            if first <= self._heard:
                return Arrival.LATE
            self._start(now_s, first)
        elif first < self._next:
            late_s = (self._next - first) * FRAME_S
            if first > self._heard and self.added_delay_s + late_s <= LONGEST_DELAY_S:
                self._next = first
                self.added_delay_s += late_s
            elif last < self._next:
                return Arrival.LATE
        self._received = {kept for kept in self._received if kept > self._sequence - REMEMBERED_PACKETS} | {sequence}
        for number, codes in enumerate(voice.codes, start=first):
            if number >= self._next:
                self._frames[number] = codes
        if voice.end:
            self._last = max(self._last, last)
        return Arrival.ACCEPTED

    def due(self, now_s: float) -> list[Slot]:
        """The slots whose time has come, oldest first."""
        slots = []
        while self._playing and self._due_s <= now_s:
            codes = self._frames.pop(self._next, None)
            if codes is None and self._over():
                self._playing = False
                break
            self._missing = 0 if codes is not None else self._missing + 1
            if codes is not None:
                self._heard = self._next
            slots.append(Slot(self._next, self._due_s, codes))
            self._next += 1
            self._due_s += FRAME_S
        return slots

    def _over(self) -> bool:
        ended = 0 <= self._last < self._next and not self._frames
        return ended or (self._missing * FRAME_S >= OUTAGE_S and not self._frames)

    def _restart(self, voice: Voice, profile: Profile) -> None:
        """Another stream or profile: the sender was started anew."""
        self._frames.clear()
        self._received.clear()
        self._stream, self._profile = voice.stream, profile
        self._sequence = voice.sequence
        self._playing, self._heard, self._last = False, -1, -1

    def _start(self, now_s: float, first: int) -> None:
        self._playing = True
        self._next, self._due_s = first, now_s + self.delay_s
        self._missing, self.added_delay_s = 0, 0.0
