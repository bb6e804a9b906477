"""How playout comes back to live: small steps that nobody hears, faster speech, and where that would take too long a jump.

What is older than the ceiling is left out at once. What is below it is caught up with by leaving out 7 to 15 % of speech,
and nearly all of its pauses (`stream/timescale.py`). A receiver that joins in begins with what is live: it has heard nothing
that would break off.
"""

from __future__ import annotations

from stream.frame import FRAME_S, SAMPLES_PER_FRAME
from stream.jitter import step_samples
from stream.timescale import USUAL_SAMPLES

HURRY_S, HURRIED_S = 0.24, 0.06  # too late by so much, speech is played faster, until it is too late by no more than that
JOINING_S = 2.0  # of playout, in which what waits in queues of the link has shown itself


class Pursuit:
    """What is done about a delay that is too long."""

    def __init__(self) -> None:
        self._joining = self._hurrying = False

    def begin(self, joining: bool) -> None:
        """A talk spurt begins; `joining`: of a stream that was not heard before, or not lately."""
        self._joining, self._hurrying = joining, False

    def allowed_s(self, slots: int, packet_s: float, room_s: float, adaptive: bool) -> float:
        """How much too late playout may be after so many slots of the talk spurt: beyond that it jumps.

        room_s: from the delay that is asked for to the longest. adaptive: whether the delay may change.
        """
        if self._joining and slots * FRAME_S < (JOINING_S if adaptive else FRAME_S):
            return min(packet_s, room_s + FRAME_S)
        return room_s + FRAME_S

    def samples(self, error_s: float) -> int:
        """How many samples the next slot should have, when playout is so much too late; negative: too early."""
        self._hurrying = error_s > (HURRIED_S if self._hurrying else HURRY_S)
        return SAMPLES_PER_FRAME - (USUAL_SAMPLES if self._hurrying else step_samples(error_s))
