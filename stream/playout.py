"""Jitter buffer with a playout clock: which frame is heard in which 80 ms.

A pure data structure: packets come in with their arrival time, frames come out when the clock passes their slot. No
clock, socket or thread is in here, so a whole reception can be replayed in an instant, or tested to the slot.

The first packet of a talk spurt starts the clock; from then on one slot follows the other every 80 ms. An earlier packet
that comes before the first slot starts the clock earlier. A slot whose frame has not arrived is concealed.

The delay follows the jitter of the newest packets, and the sender's clock, in steps that nobody hears (`stream/jitter.py`).
After a stall it comes back to live by faster speech, and by a jump where too much has piled up (`stream/pursuit.py`). Where
frames are missing anyway, a delay that is too long is cut at once. A packet that comes too late, with nothing newer
heard since, moves the clock back to it: its speech is kept, and later packets have more time. If that would take too long,
its frames are not heard, but go to the decoder before the next one that is (`stream/belated.py`).

A stream is followed until it ends, falls silent, or another one takes its place: then the buffer starts anew with
whatever comes, so that no restart, outage or stray packet leaves a receiver deaf.
"""

from __future__ import annotations

from collections.abc import Iterator

from stream.belated import Belated
from stream.content import Voice
from stream.frame import FRAME_S, Codes
from stream.numbering import Numbering
from stream.playout_clock import LONGEST_DELAY_S, TOLERANCE_S, PlayoutClock
from stream.profile import Profile
from stream.protection import SEQUENCE_COUNT
from stream.rivals import Rival, Rivals
from stream.slot import Arrival, Slot
from stream.spurt import OUTAGE_S, Spurt

STRAGGLER_S = 2.0  # so long after a talk spurt its repeated and late packets are known as such
FURTHEST_AHEAD_S = 30.0  # a packet further ahead than this belongs to another talk spurt
LATE_IN_A_ROW = 3  # so many late packets in a row mean that the clock is wrong, not the packets
BACKWARD_S = 1.0  # a time that goes back by this much is another count of time


class Playout(PlayoutClock):
    """The jitter buffer of one receiver."""

    def __init__(self, delay_s: float = 0.2, sequence_count: int = SEQUENCE_COUNT, ceiling_s: float = LONGEST_DELAY_S):
        """`delay_s` is the shortest delay, `ceiling_s` the longest that jitter can ask for; equal, they never change it."""
        super().__init__(delay_s, ceiling_s)
        self.catches_up = True  # off where packets come by their numbers: none can come late
        self.numbers_skip = False  # whether numbers may leap where a talk spurt begins, as blocks of repair packets make them
        self._belated = Belated()
        self._numbering = Numbering(sequence_count)
        self._frames: dict[int, Codes] = {}
        self._profile: Profile | None = None
        self._stream: int | None = None
        self._rivals = Rivals()
        self._now_s = self._accepted_s = 0.0  # when the newest packet came, and the newest that was accepted
        self._late = 0  # late packets in a row
        self._heard = -1  # newest frame that was heard, not concealed
        self._spurt = Spurt()

    @property
    def waiting(self) -> int:
        """How many frames that arrived have not been heard yet."""
        return len(self._frames)

    @property
    def backlog(self) -> int:
        """How many frames wait besides those of the newest packet, which came all at once."""
        newest = self._numbering.newest * (self._profile.frames if self._profile else 1)
        return sum(place < newest for place in tuple(self._frames))

    def add(self, now_s: float, voice: Voice, profile: Profile) -> Arrival:
        """Take a packet that arrived at `now_s`."""
        if now_s < self._now_s - BACKWARD_S:
            self._time_went_back(now_s)
        self._now_s = now_s
        silent_s = now_s - self._accepted_s
        if voice.stream != self._stream or profile is not self._profile:
            if self._playing and silent_s < OUTAGE_S:
                return self._rival(now_s, voice, profile) or Arrival.OTHER
            self._follow(voice, profile)
        elif silent_s >= (OUTAGE_S if self._playing else STRAGGLER_S):
            self._follow(voice, profile)
        elif self._numbering.begins_anew(voice, silent_s >= profile.packet_s - TOLERANCE_S) and (
            arrival := self._rival(now_s, voice, profile, following=True)
        ):
            return arrival
        return self._take(now_s, voice, profile, now_s)

    def restore(self, now_s: float, voice: Voice) -> Arrival:
        """Take a packet that was lost and restored from others: it fills its place and moves nothing."""
        if voice.stream != self._stream or self._profile is None:
            return Arrival.OTHER
        number = self._numbering.extend(voice.sequence)
        if self._numbering.received(number):
            return Arrival.DUPLICATE
        first = number * self._profile.frames
        self._begin_earlier(now_s, first)
        if not self._playing or first + len(voice.codes) <= self._next or (first - self._next) * FRAME_S > FURTHEST_AHEAD_S:
            self._belated.keep(first, voice.codes, self._heard, self._next)
            return Arrival.LATE
        return self._fill(now_s, voice, number)

    def due(self, now_s: float) -> list[Slot]:
        """The slots whose time has come, oldest first."""
        return list(self.slots(now_s))

    def slots(self, now_s: float) -> Iterator[Slot]:
        """The slots whose time has come, oldest first; `took` may say of each, before the next, how long it really was."""
        skipped: tuple[int, ...] = ()
        while self._playing and self.next_due_s <= now_s + TOLERANCE_S:
            skipped += self._catch_up()
            codes = self._frames.pop(self._next, None)
            if codes is None and not self._frames and self._spurt.over(self._next):
                self._playing = False
                break
            pause = self._spurt.pause(self._next, codes is not None)
            error_s = self._error_s() if self._adaptive and not self._leap_ahead else 0.0
            if codes is None and self._frames and error_s > FRAME_S and (pause or self._estimate.settled):
                self._next += 1  # nothing is there to be heard, and what comes after it has waited too long
                continue
            self._spurt.count(lost=codes is None and not pause)
            missed: tuple[Codes | None, ...] = ()
            if codes is not None:
                missed, self._heard = self._belated.take(self._heard, self._next), self._next
            samples = self._pursuit.samples(error_s)
            slot = Slot(self._next, self.next_due_s, codes, samples, pause, skipped, missed)
            self._advance(samples)
            skipped = ()
            yield slot

    @property
    def _leap_ahead(self) -> bool:
        """Whether numbers may have leapt behind the end of what is heard now: how late it is cannot be told then."""
        return self.numbers_skip and bool(self._frames) and self._spurt.ends_before(max(self._frames), self._next)

    def _catch_up(self) -> tuple[int, ...]:
        """Leave out what is too old to be heard; returns those of its frames that had arrived."""
        late = 0
        if self.catches_up and self._frames and self._profile is not None and not self._leap_ahead:
            late = self._too_late(self._profile.packet_s)
        following = min(self._next + late, max(self._frames, default=self._next))
        skipped = []
        for place in range(self._next, following):
            codes = self._frames.pop(place, None)
            self._spurt.pause(place, codes is not None)
            if codes is not None:
                skipped.append(place)
                self._belated.keep(place, codes[None], self._heard, following)
        self._leap(max(following, self._next))
        return tuple(skipped)

    def _time_went_back(self, now_s: float) -> None:
        """Begin with the next packet: what was planned lies in a future that does not come."""
        self.forget()
        self._estimate.clear()
        self.next_due_s = self._accepted_s = now_s

    def forget(self) -> None:
        """Forget the stream: what comes next starts anew, whatever its numbers."""
        self._stream = None
        self._playing = False
        self._frames.clear()

    def ends(self, stream: int, last: int) -> None:
        """Learn, from something else than the packet itself, that a talk spurt ends with packet `last`."""
        if self._profile is not None and stream == self._stream and self._playing:
            self._spurt.end((self._numbering.extend(last) + 1) * self._profile.frames - 1, self._next)

    def _rival(self, now_s: float, voice: Voice, profile: Profile, following: bool = False) -> Arrival | None:
        """Keep a packet of another transmission; once they are enough, they are heard, the first as if it came in time."""
        enough = self._rivals.add(Rival(now_s, voice, profile), following)
        if not enough:
            return None
        self._follow(enough[0].voice, profile)
        self._estimate.clear()  # its numbers count from another moment, also under the same stream number
        for rival in enough[:-1]:
            self._take(now_s, rival.voice, profile, rival.arrived_s)
        arrival = self._take(now_s, voice, profile, now_s)
        self._pursuit.begin(joining=False)  # all of them are heard, although the first has waited
        return arrival

    def _take(self, now_s: float, voice: Voice, profile: Profile, arrived_s: float) -> Arrival:
        """Take a packet of the stream that is followed."""
        number = self._numbering.extend(voice.sequence)
        if self._numbering.received(number):
            return Arrival.DUPLICATE
        first = number * profile.frames
        newest = self._numbering.newest
        leapt = not self._playing or (number > newest and self._spurt.ended((newest + 1) * profile.frames - 1))
        if self.numbers_skip and leapt:
            self._estimate.clear()
        if self._playing and (first - self._next) * FRAME_S > FURTHEST_AHEAD_S:
            self._frames.clear()
            self._playing = False
        if not self._playing and first <= self._heard:
            return Arrival.LATE
        offset_s = arrived_s - first * FRAME_S
        joining = False
        if not self._playing and not self._estimate.fits(offset_s):
            # What is no later than the ceiling belongs to a talk spurt that was held up: nothing of it was heard yet.
            joining = self._estimate.empty or offset_s - self._estimate.fastest_s > self._longest_s
            self._estimate.clear()
        self._estimate.add(offset_s, arrived_s, profile.packet_s)
        self._begin_earlier(now_s, first)
        if self._playing and first < self._next:
            late_s = (self._next - first) * FRAME_S
            if first > self._heard and self._may_move(late_s):
                self._next = first
                self.added_delay_s += late_s
            elif first + profile.frames <= self._next:
                self._late += 1
                self._belated.keep(first, voice.codes, self._heard, self._next)
                if self._late < LATE_IN_A_ROW:
                    return Arrival.LATE
                self._estimate.clear()
                self._follow(voice, profile)
                return self._take(now_s, voice, profile, arrived_s)
        if not self._playing:
            self._start(now_s, arrived_s, first)
            self._pursuit.begin(joining)
        return self._fill(now_s, voice, number)

    def _fill(self, now_s: float, voice: Voice, number: int) -> Arrival:
        """Put the frames of a packet in their places."""
        first = number * len(voice.codes)
        self._numbering.note(number, voice)
        self._accepted_s, self._late = now_s, 0
        self._rivals.clear()
        self._belated.keep(first, voice.codes, self._heard, self._next)
        self._frames |= {place: codes for place, codes in enumerate(voice.codes, start=first) if place >= self._next}
        if voice.end:
            self._spurt.end(first + len(voice.codes) - 1, self._next)
        return Arrival.ACCEPTED

    def _follow(self, voice: Voice, profile: Profile) -> None:
        """Start anew with the stream of this packet."""
        if voice.stream != self._stream or profile is not self._profile:
            self._estimate.clear()
        self._stream, self._profile = voice.stream, profile
        self._frames.clear()
        self._belated.clear()
        self._numbering.start(voice.sequence)
        self._playing, self._heard, self._late = False, -1, 0

    def _start(self, now_s: float, arrived_s: float, first: int) -> None:
        """Start the clock with the packet of this first frame."""
        self._playing = True
        self._begin(now_s, arrived_s, first)
        self._belated.clear()
        self._spurt = Spurt()
