"""Jitter buffer with a playout clock: which frame is heard in which 80 ms.

A pure data structure: packets come in with their arrival time, frames come out when the clock passes their slot. No
clock, socket or thread is in here, so a whole reception can be replayed in an instant, or tested to the slot.

The first packet of a talk spurt starts the clock `delay_s` after its arrival, or when the packets before it say that
more is needed; from then on one slot follows the other every 80 ms. An earlier packet that comes before the first slot
starts the clock earlier. A slot whose frame has not arrived is concealed.

The delay follows the jitter of the newest packets, between `delay_s` and `ceiling_s`, in steps that nobody hears: slots
a few samples longer or shorter than their frames. The same steps follow a sender whose clock runs faster or slower.
Where frames are missing anyway, a delay that is too long is cut at once. A packet that comes too late, with nothing newer heard
since, moves the clock back to it: the pause grows, its speech is kept, and later packets have more time. If that would
take too long, its frames are not heard, but go to the decoder before the next one that is, so that it knows what it missed.

A stream is followed until it ends, falls silent, or another one takes its place: then the buffer starts anew with
whatever comes, so that no restart, outage or stray packet leaves a receiver deaf.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from stream.frame import FRAME_S, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Codes
from stream.jitter import DelayEstimate
from stream.packet import Profile, Voice, sequence_difference
from stream.protection import SEQUENCE_COUNT

LONGEST_DELAY_S = 3.0  # the clock is never moved further back than this in a talk spurt
OUTAGE_S = 5.0  # after so long without a packet the talk spurt counts as over
STRAGGLER_S = 2.0  # so long after a talk spurt its repeated and late packets are known as such
FURTHEST_AHEAD_S = 30.0  # a packet further ahead than this belongs to another talk spurt
REMEMBERED_PACKETS = 64  # to tell a duplicate from a late packet
LATE_IN_A_ROW = 3  # so many late packets in a row mean that the clock is wrong, not the packets
RIVALS = 2  # packets in a row of another stream before it takes the place of one that is being heard
DEAD_ZONE_S = 0.02  # a delay this far from what is asked for is left as it is
SMALL_STEP_SAMPLES = 4  # per slot, 0.3 %: nobody hears it
LARGE_STEP_SAMPLES = 16  # per slot, when the delay is off by more than the next
LARGE_ERROR_S = 0.5
LONGEST_MISSED_FRAMES = 25  # beyond 2 s the decoder has forgotten anyway
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
    samples: int = SAMPLES_PER_FRAME  # that it takes to play
    pause: bool = False  # silence between talk spurts: nothing was lost
    missed: tuple[Codes | None, ...] = ()  # all frames since the last one heard, if some came too late to be heard


class Playout:
    """The jitter buffer of one receiver."""

    def __init__(self, delay_s: float = 0.2, sequence_count: int = SEQUENCE_COUNT, ceiling_s: float = LONGEST_DELAY_S):
        """`delay_s` is the shortest delay, `ceiling_s` the longest that jitter can ask for; equal, they never change it."""
        self.delay_s = delay_s
        self.ceiling_s = ceiling_s
        self._estimate = DelayEstimate()
        self._belated: dict[int, Codes] = {}  # frames that came too late to be heard
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
        self._due_s = 0.0  # when the next slot is heard
        self._slots = 0  # of the talk spurt, given out
        self._next = 0  # frame of the next slot
        self._heard = -1  # newest frame that was heard, not concealed
        self._last = -1  # last frame of the talk spurt, once its end is known
        self._ends: set[int] = set()  # last frames of the talk spurts that are buffered
        self._pausing = False  # whether the frames that are missing now are silence
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
        return self._due_s

    @property
    def playout_delay_s(self) -> float:
        """How long the fastest of the newest packets waits now; meaningful while playing."""
        return self._base_s - self._estimate.fastest_s

    @property
    def _base_s(self) -> float:
        """When frame 0 of the stream would have been heard, had it been heard as frames are now."""
        return self._due_s - self._next * FRAME_S

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
            self._keep_belated(voice, first)
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
            pause = codes is None and (self._pausing or self._next - 1 in self._ends)
            self._pausing = pause
            error_s = self._error_s()
            if codes is None and self._frames and error_s > FRAME_S and (pause or self._estimate.settled):
                self._next += 1  # nothing is there to be heard, and what comes after it has waited too long
                continue
            self._missing = 0 if codes is not None or pause else self._missing + 1
            missed: tuple[Codes | None, ...] = ()
            if codes is not None:
                missed, self._heard = self._missed(), self._next
            samples = SAMPLES_PER_FRAME - self._step_samples(error_s)
            slots.append(Slot(self._next, self._due_s, codes, samples, pause, missed))
            self._due_s += samples / SAMPLE_RATE_HZ
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
            step = sequence_difference(last, self._sequence, self._sequence_count)
            self._end((self._sequence + step + 1) * self._profile.frames - 1)

    def _may_move(self, late_s: float) -> bool:
        """Whether the clock may go back by so much: not beyond what jitter may ask for, nor for ever."""
        below = not self._adaptive or self.playout_delay_s + late_s <= max(self.ceiling_s, self.delay_s)
        return below and self.added_delay_s + late_s <= LONGEST_DELAY_S

    def _end(self, last: int) -> None:
        """Note the last frame of a talk spurt."""
        self._last = max(self._last, last)
        self._ends = {end for end in self._ends if end >= self._next - 1} | {last}

    def _missed(self) -> tuple[Codes | None, ...]:
        """The frames between the last one heard and the next, if there is more to know of them than that they were lost."""
        numbers = range(self._heard + 1, self._next)
        known = (
            0 < len(numbers) <= LONGEST_MISSED_FRAMES and self._heard >= 0 and any(number in self._belated for number in numbers)
        )
        missed = tuple(self._belated.get(number) for number in numbers) if known else ()
        self._belated.clear()
        return missed

    def _error_s(self) -> float:
        """By how much playout is later than it should be; negative: earlier."""
        return self._base_s - self._estimate.target_s(self.delay_s, self.ceiling_s) if self._adaptive else 0.0

    @property
    def _adaptive(self) -> bool:
        return self.ceiling_s > self.delay_s

    @staticmethod
    def _step_samples(error_s: float) -> int:
        """Samples to leave out of the next slot; negative: to add."""
        if abs(error_s) <= DEAD_ZONE_S:
            return 0
        step = LARGE_STEP_SAMPLES if abs(error_s) > LARGE_ERROR_S else SMALL_STEP_SAMPLES
        return step if error_s > 0 else -step

    def _take(self, now_s: float, voice: Voice, profile: Profile) -> Arrival:
        first, last = self._span(voice, profile)
        if first // profile.frames in self._received:
            return Arrival.DUPLICATE
        if self._playing and (first - self._next) * FRAME_S > FURTHEST_AHEAD_S:
            self._frames.clear()
            self._playing = False
        if not self._playing and first <= self._heard:
            return Arrival.LATE
        offset_s = now_s - first * FRAME_S
        if not self._playing and not self._estimate.fits(offset_s):
            self._estimate.clear()
        self._estimate.add(offset_s)
        self._start_earlier(now_s, first)
        if self._playing and first < self._next:
            late_s = (self._next - first) * FRAME_S
            if first > self._heard and self._may_move(late_s):
                self._next = first
                self.added_delay_s += late_s
            elif last < self._next:
                self._late += 1
                self._keep_belated(voice, first)
                if self._late < LATE_IN_A_ROW:
                    return Arrival.LATE
                self._estimate.clear()
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
        if self._playing and not self._slots and 0 < earlier_s <= self._due_s - now_s + TOLERANCE_S:
            self._due_s -= earlier_s
            self._next = first

    def _fill(self, now_s: float, voice: Voice, first: int, last: int) -> Arrival:
        """Put the frames of a packet in their places."""
        self._accept(now_s, first // len(voice.codes))
        self._keep_belated(voice, first)
        for number, codes in enumerate(voice.codes, start=first):
            if number >= self._next:
                self._frames[number] = codes
        if voice.end:
            self._end(last)
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

    def _keep_belated(self, voice: Voice, first: int) -> None:
        """Keep frames whose time has passed for the decoder, while nothing newer was heard."""
        for number, codes in enumerate(voice.codes, start=first):
            if self._heard < number < self._next and self._next - number <= LONGEST_MISSED_FRAMES:
                self._belated[number] = codes

    def _over(self) -> bool:
        ended = 0 <= self._last < self._next
        return not self._frames and (ended or self._missing * FRAME_S >= OUTAGE_S)

    def _follow(self, voice: Voice, profile: Profile) -> None:
        """Start anew with the stream of this packet."""
        if voice.stream != self._stream or profile is not self._profile:
            self._estimate.clear()
        self._stream, self._profile = voice.stream, profile
        self._frames.clear()
        self._belated.clear()
        self._received.clear()
        self._rivals.clear()
        self._sequence = voice.sequence
        self._playing, self._heard, self._late = False, -1, 0

    def _start(self, now_s: float, first: int) -> None:
        self._playing = True
        asked_s = self._estimate.target_s(self.delay_s, self.ceiling_s) + first * FRAME_S
        # Never before what was given out already; without jitter to follow, simply after the delay.
        self._due_s, self._slots = max(now_s, asked_s, self._due_s) if self._adaptive else now_s + self.delay_s, 0
        self._next = first
        self._belated.clear()
        self._last, self._missing, self.added_delay_s = -1, 0, 0.0
        self._ends, self._pausing = set(), False
