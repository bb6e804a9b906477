"""Jitter buffer with a playout clock: which frame is heard in which 80 ms.

A pure data structure: packets come in with their arrival time, frames come out when the clock passes their slot. No
clock, socket or thread is in here, so a whole reception can be replayed in an instant, or tested to the slot.

The first packet of a talk spurt starts the clock; from then on one slot follows the other every 80 ms. An earlier packet
that comes before the first slot starts the clock earlier. A slot whose frame has not arrived is concealed.

The delay follows the jitter of the newest packets, and the sender's clock, in steps that nobody hears (`stream/jitter.py`).
Where frames are missing anyway, a delay that is too long is cut at once. A packet that comes too late, with nothing newer
heard since, moves the clock back to it: its speech is kept, and later packets have more time. If that would take too long,
its frames are not heard, but go to the decoder before the next one that is (`stream/belated.py`).

A stream is followed until it ends, falls silent, or another one takes its place: then the buffer starts anew with
whatever comes, so that no restart, outage or stray packet leaves a receiver deaf.
"""

from __future__ import annotations

from stream.belated import Belated
from stream.content import Voice
from stream.frame import FRAME_S, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Codes
from stream.jitter import DelayEstimate, step_samples
from stream.numbering import Numbering
from stream.profile import Profile
from stream.protection import SEQUENCE_COUNT
from stream.rivals import Rival, Rivals
from stream.slot import Arrival, Slot
from stream.spurt import OUTAGE_S, Spurt

SHORTEST_DELAY_S = 0.1  # of a receiver that was told nothing: jitter that needs more is learnt within a few packets
LONGEST_DELAY_S = 3.0  # the clock is never moved further back than this in a talk spurt
STRAGGLER_S = 2.0  # so long after a talk spurt its repeated and late packets are known as such
FURTHEST_AHEAD_S = 30.0  # a packet further ahead than this belongs to another talk spurt
LATE_IN_A_ROW = 3  # so many late packets in a row mean that the clock is wrong, not the packets
TOLERANCE_S = 1e-6  # a slot is due this much early: sums of times are not exact


class Playout:
    """The jitter buffer of one receiver."""

    def __init__(self, delay_s: float = 0.2, sequence_count: int = SEQUENCE_COUNT, ceiling_s: float = LONGEST_DELAY_S):
        """`delay_s` is the shortest delay, `ceiling_s` the longest that jitter can ask for; equal, they never change it."""
        self.delay_s = delay_s
        self.ceiling_s = ceiling_s
        self._estimate = DelayEstimate()
        self._belated = Belated()
        self._numbering = Numbering(sequence_count)
        self.added_delay_s = 0.0  # by late packets, in this talk spurt
        self._frames: dict[int, Codes] = {}
        self._profile: Profile | None = None
        self._stream: int | None = None
        self._rivals = Rivals()
        self._accepted_s = 0.0  # when the newest packet was accepted
        self._late = 0  # late packets in a row
        self._playing = False
        self.next_due_s = 0.0  # when the next slot is heard; meaningful while playing
        self._slots = 0  # of the talk spurt, given out
        self._next = 0  # frame of the next slot
        self._heard = -1  # newest frame that was heard, not concealed
        self._spurt = Spurt()

    @property
    def playing(self) -> bool:
        """Whether a talk spurt is being heard or concealed."""
        return self._playing

    @property
    def waiting(self) -> int:
        """How many frames that arrived have not been heard yet."""
        return len(self._frames)

    @property
    def playout_delay_s(self) -> float:
        """How long the fastest of the newest packets waits now; meaningful while playing."""
        return self._base_s - self._estimate.fastest_s

    @property
    def _base_s(self) -> float:
        """When frame 0 of the stream would have been heard, had it been heard as frames are now."""
        return self.next_due_s - self._next * FRAME_S

    def add(self, now_s: float, voice: Voice, profile: Profile) -> Arrival:
        """Take a packet that arrived at `now_s`."""
        silent_s = now_s - self._accepted_s
        if voice.stream != self._stream or profile is not self._profile:
            if self._playing and silent_s < OUTAGE_S:
                return self._rival(now_s, voice, profile) or Arrival.OTHER
            self._follow(voice, profile)
        elif silent_s >= (OUTAGE_S if self._playing else STRAGGLER_S):
            self._follow(voice, profile)
        elif self._restarted(silent_s, voice, profile):
            arrival = self._rival(now_s, voice, profile, following=True)
            if arrival:
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
        self._start_earlier(now_s, first)
        if not self._playing or first + len(voice.codes) <= self._next or (first - self._next) * FRAME_S > FURTHEST_AHEAD_S:
            self._belated.keep(first, voice.codes, self._heard, self._next)
            return Arrival.LATE
        return self._fill(now_s, voice, number)

    def due(self, now_s: float) -> list[Slot]:
        """The slots whose time has come, oldest first."""
        slots: list[Slot] = []
        if not self._playing or self.next_due_s > now_s + TOLERANCE_S:
            return slots
        target_s = self._estimate.target_s(self.delay_s, self.ceiling_s)
        while self._playing and self.next_due_s <= now_s + TOLERANCE_S:
            codes = self._frames.pop(self._next, None)
            if codes is None and not self._frames and self._spurt.over(self._next):
                self._playing = False
                break
            pause = self._spurt.pause(self._next, codes is not None)
            error_s = self._base_s - target_s if self._adaptive else 0.0  # above 0: playout is later than it should be
            if codes is None and self._frames and error_s > FRAME_S and (pause or self._estimate.settled):
                self._next += 1  # nothing is there to be heard, and what comes after it has waited too long
                continue
            self._spurt.count(lost=codes is None and not pause)
            missed: tuple[Codes | None, ...] = ()
            if codes is not None:
                missed, self._heard = self._belated.take(self._heard, self._next), self._next
            samples = SAMPLES_PER_FRAME - step_samples(error_s)
            slots.append(Slot(self._next, self.next_due_s, codes, samples, pause, missed))
            self.next_due_s += samples / SAMPLE_RATE_HZ
            self._next += 1
            self._slots += 1
        return slots

    def forget(self) -> None:
        """Forget the stream: what comes next starts anew, whatever its numbers."""
        self._stream = None
        self._playing = False
        self._frames.clear()

    def ends(self, stream: int, last: int) -> None:
        """Learn, from something else than the packet itself, that a talk spurt ends with packet `last`."""
        if self._profile is not None and stream == self._stream and self._playing:
            self._spurt.end((self._numbering.extend(last) + 1) * self._profile.frames - 1, self._next)

    def _may_move(self, late_s: float) -> bool:
        """Whether the clock may go back by so much: not beyond what jitter may ask for, nor for ever."""
        below = not self._adaptive or self.playout_delay_s + late_s <= max(self.ceiling_s, self.delay_s)
        return below and self.added_delay_s + late_s <= LONGEST_DELAY_S

    @property
    def _adaptive(self) -> bool:
        return self.ceiling_s > self.delay_s

    def _restarted(self, silent_s: float, voice: Voice, profile: Profile) -> bool:
        """Whether a packet with an old number may be of a sender that was started anew and drew the same stream number."""
        number = self._numbering.extend(voice.sequence)
        if number > self._numbering.newest or not self._numbering.wraps:  # without a wrap no number comes again
            return False
        return silent_s >= profile.packet_s - TOLERANCE_S or self._numbering.contradicts(number, voice)

    def _rival(self, now_s: float, voice: Voice, profile: Profile, following: bool = False) -> Arrival | None:
        """Keep a packet of another transmission; once they are enough, they are heard, the first as if it came in time."""
        enough = self._rivals.add(Rival(now_s, voice, profile), following)
        if not enough:
            return None
        self._follow(enough[0].voice, profile)
        for rival in enough[:-1]:
            self._take(now_s, rival.voice, profile, rival.arrived_s)
        return self._take(now_s, voice, profile, now_s)

    def _take(self, now_s: float, voice: Voice, profile: Profile, arrived_s: float) -> Arrival:
        """Take a packet of the stream that is followed."""
        number = self._numbering.extend(voice.sequence)
        if self._numbering.received(number):
            return Arrival.DUPLICATE
        first = number * profile.frames
        if self._playing and (first - self._next) * FRAME_S > FURTHEST_AHEAD_S:
            self._frames.clear()
            self._playing = False
        if not self._playing and first <= self._heard:
            return Arrival.LATE
        offset_s = arrived_s - first * FRAME_S
        if not self._playing and not self._estimate.fits(offset_s):
            self._estimate.clear()
        self._estimate.add(offset_s)
        self._start_earlier(now_s, first)
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
        return self._fill(now_s, voice, number)

    def _start_earlier(self, now_s: float, first: int) -> None:
        """Let the talk spurt begin with this frame, if nothing was given out yet and there is time to."""
        earlier_s = (self._next - first) * FRAME_S
        if self._playing and not self._slots and 0 < earlier_s <= self.next_due_s - now_s + TOLERANCE_S:
            self.next_due_s -= earlier_s
            self._next = first

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
        # Without jitter to follow, simply after the delay; but never before what was given out already.
        asked_s = self._estimate.target_s(self.delay_s, self.ceiling_s) + first * FRAME_S
        start_s = max(asked_s, self.next_due_s) if self._adaptive else arrived_s + self.delay_s
        self.next_due_s, self._slots = max(now_s, start_s), 0
        self._next = first
        self._belated.clear()
        self._spurt, self.added_delay_s = Spurt(), 0.0
