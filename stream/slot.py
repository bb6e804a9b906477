"""What playout answers: what became of a packet, and what is to be heard in the next 80 ms."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from stream.frame import SAMPLES_PER_FRAME, Codes
from stream.timescale import LEAST_SAMPLES


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
    samples: int = SAMPLES_PER_FRAME  # that it should take to play
    pause: bool = False  # silence between talk spurts: nothing was lost
    skipped: tuple[int, ...] = ()  # frames before it that had arrived, and were too old to be heard
    missed: tuple[Codes | None, ...] = ()  # all frames since the last one heard, if some came too late to be heard

    @property
    def hurried(self) -> bool:
        """Whether it is to be played faster, and not only a little shorter."""
        return self.samples <= SAMPLES_PER_FRAME - LEAST_SAMPLES
