"""The clock of playout: when the next slot is heard, how much too late that is, and how far it may be moved. Pure."""

from __future__ import annotations

from stream.frame import FRAME_S, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from stream.jitter import DelayEstimate
from stream.pursuit import Pursuit
from stream.slot import Slot

SHORTEST_DELAY_S = 0.1  # of a receiver that was told nothing: jitter that needs more is learnt within a few packets
LONGEST_DELAY_S = 3.0  # late packets add no more than this to the delay
TOLERANCE_S = 1e-6  # a slot is due this much early: sums of times are not exact


class PlayoutClock:
    """When which frame is due."""

    def __init__(self, delay_s: float, ceiling_s: float):
        """`delay_s` is the shortest delay, `ceiling_s` the longest that jitter can ask for; equal, they never change it."""
        self.delay_s = delay_s
        self.ceiling_s = ceiling_s
        self.added_delay_s = 0.0  # by late packets, in this talk spurt, and not taken back yet
        self.next_due_s = 0.0  # when the next slot is heard; meaningful while playing
        self._playing = False
        self._next = 0  # frame of the next slot
        self._slots = 0  # of the talk spurt, given out
        self._estimate = DelayEstimate()
        self._pursuit = Pursuit()

    @property
    def playing(self) -> bool:
        """Whether a talk spurt is being heard or concealed."""
        return self._playing

    @property
    def playout_delay_s(self) -> float:
        """How long a packet that nothing holds up would wait now; meaningful while playing."""
        return self._base_s - self._estimate.fastest_s

    def took(self, slot: Slot, samples: int) -> None:
        """Learn that a slot took another number of samples than it should have: faster speech is cut where it can be."""
        self._shift(slot.samples - samples)

    @property
    def _base_s(self) -> float:
        """When frame 0 of the stream would have been heard, had it been heard as frames are now."""
        return self.next_due_s - self._next * FRAME_S

    @property
    def _adaptive(self) -> bool:
        return self.ceiling_s > self.delay_s

    @property
    def _longest_s(self) -> float:
        return max(self.ceiling_s, self.delay_s)

    def _begin(self, now_s: float, arrived_s: float, first: int) -> None:
        """Start with a packet of this first frame."""
        # Without jitter to follow, simply after the delay; but never before what was given out already.
        asked_s = self._estimate.target_s(self.delay_s, self.ceiling_s) + first * FRAME_S
        start_s = max(asked_s, self.next_due_s) if self._adaptive else arrived_s + self.delay_s
        self.next_due_s, self._slots = max(now_s, start_s), 0
        self._next = first
        self.added_delay_s = 0.0

    def _begin_earlier(self, now_s: float, first: int) -> None:
        """Begin with this frame, if nothing was given out yet and there is time to."""
        earlier_s = (self._next - first) * FRAME_S
        if self._playing and not self._slots and 0 < earlier_s <= self.next_due_s - now_s + TOLERANCE_S:
            self.next_due_s -= earlier_s
            self._next = first

    def _advance(self, samples: int) -> None:
        """The next slot is given out, and takes so long."""
        self._next += 1
        self._slots += 1
        self.next_due_s += SAMPLES_PER_FRAME / SAMPLE_RATE_HZ
        self._shift(SAMPLES_PER_FRAME - samples)

    def _shift(self, samples: int) -> None:
        """Hear everything from now on so many samples earlier."""
        self.next_due_s -= samples / SAMPLE_RATE_HZ
        self.added_delay_s = max(0.0, self.added_delay_s - max(0, samples) / SAMPLE_RATE_HZ)

    def _error_s(self) -> float:
        """How much later playout is than it should be; below 0: earlier."""
        return self._base_s - self._estimate.target_s(self.delay_s, self.ceiling_s)

    def _too_late(self, packet_s: float) -> int:
        """How many frames playout has to leave out, because they are too old to be heard; 0 while faster speech will do."""
        asked_s = self._estimate.target_s(self.delay_s, self.ceiling_s) - self._estimate.fastest_s
        room_s = self._longest_s - asked_s if self._adaptive else LONGEST_DELAY_S
        error_s = self._error_s()
        return int(error_s / FRAME_S) if error_s > self._pursuit.allowed_s(self._slots, packet_s, room_s, self._adaptive) else 0

    def _leap(self, following: int) -> None:
        """Go on with a later frame at once."""
        self.added_delay_s = max(0.0, self.added_delay_s - (following - self._next) * FRAME_S)
        self._next = following

    def _may_move(self, late_s: float) -> bool:
        """Whether the clock may go back by so much: not beyond what jitter may ask for, nor for ever."""
        below = not self._adaptive or self.playout_delay_s + late_s <= self._longest_s
        return below and self.added_delay_s + late_s <= LONGEST_DELAY_S
