"""How long playout has to wait: an estimate from the arrival times of the newest packets.

Pure. The offset of a packet is its arrival less the time of its first frame in the stream; the smallest is a packet that
nothing held up, and what others are above it is jitter. A clock that runs faster or slower than the sender's shows as
offsets that creep, and the window of the newest packets creeps with them.

A stall is no jitter: what was held up comes in one go. Of packets that come so close together only the slowest and the fastest
count, and the slowest packet of the window does not.
"""

from __future__ import annotations

from collections import deque

WINDOW_PACKETS = 64
SETTLED_PACKETS = 8
JITTER_SHARE = 0.95  # of the packets that should arrive before their time
MARGIN_S = 0.02
LATER_S, EARLIER_S = 1.0, 0.25  # an offset this far outside the window belongs to another count of time

DEAD_ZONE_S = 0.02  # a delay this far from what is asked for is left as it is
BURST_SHARE = 0.5  # of a packet's duration: what comes sooner after the one before was held up with it
SMALL_STEP_SAMPLES = 4  # per slot, 0.3 %: nobody hears it
LARGE_STEP_SAMPLES = 16  # per slot, when the delay is off by more than the next
LARGE_ERROR_S = 0.5


def step_samples(error_s: float) -> int:
    """Samples to leave out of the next slot when playout is so much too late; negative: to add."""
    if abs(error_s) <= DEAD_ZONE_S:
        return 0
    step = LARGE_STEP_SAMPLES if abs(error_s) > LARGE_ERROR_S else SMALL_STEP_SAMPLES
    return step if error_s > 0 else -step


class DelayEstimate:
    """The playout delay that the newest packets ask for."""

    def __init__(self) -> None:
        self._offsets_s: deque[float] = deque(maxlen=WINDOW_PACKETS)
        self._sorted_s: list[float] = []  # the same in order; playout asks for it in every slot
        self._arrived_s = 0.0  # the newest packet
        self._burst = 0  # of the newest offsets, how many are of packets that came together: 1, or 2 for slowest and fastest

    def add(self, offset_s: float, arrived_s: float, packet_s: float) -> None:
        """Take the offset of the next packet, when it arrived, and the duration of its speech."""
        if self._sorted_s and offset_s < self._sorted_s[0] - EARLIER_S:
            self.clear()  # no packet is so much faster than all others: the count of time has changed
        together = self._burst > 0 and arrived_s - self._arrived_s < BURST_SHARE * packet_s
        burst = [offset_s, *(self._offsets_s.pop() for _ in range(self._burst if together else 0))]
        self._offsets_s.extend([max(burst), min(burst)] if together else burst)
        self._arrived_s, self._burst = arrived_s, 2 if together else 1
        self._sorted_s = sorted(self._offsets_s)

    def clear(self) -> None:
        self._offsets_s.clear()
        self._sorted_s = []
        self._burst = 0

    def fits(self, offset_s: float) -> bool:
        """Whether a packet continues the time of those in the window."""
        known = self._sorted_s
        return bool(known) and known[0] - EARLIER_S <= offset_s <= known[-1] + LATER_S

    @property
    def empty(self) -> bool:
        """Whether nothing is known."""
        return not self._sorted_s

    @property
    def settled(self) -> bool:
        """Whether enough packets were seen to trust the estimate with a cut."""
        return len(self._offsets_s) >= SETTLED_PACKETS

    @property
    def fastest_s(self) -> float:
        """The smallest offset; meaningful once a packet was added."""
        return self._sorted_s[0] if self._sorted_s else 0.0

    def target_s(self, floor_s: float, ceiling_s: float) -> float:
        """The offset at which frames should be heard: the fastest packet's, and between floor and ceiling what jitter asks for."""
        offsets = self._sorted_s
        most = offsets[min(len(offsets) - (2 if self.settled else 1), int(JITTER_SHARE * len(offsets)))]
        return offsets[0] + min(max(most - offsets[0] + MARGIN_S, floor_s), max(ceiling_s, floor_s))
