"""Where talk spurts end: what is missing after an end is silence, and what is missing elsewhere was lost."""

from __future__ import annotations

from stream.frame import FRAME_S

OUTAGE_S = 5.0  # after so long without a packet the talk spurt counts as over


class Spurt:
    """The talk spurts that are buffered, as far as their ends are known."""

    def __init__(self) -> None:
        self._last = -1  # frame of the newest end
        self._ends: set[int] = set()  # last frames
        self._pausing = False  # whether the frames that are missing now are silence
        self._missing = 0  # slots concealed in a row

    def end(self, last: int, following: int) -> None:
        """A talk spurt ends with this frame; `following` is the next that is due."""
        self._last = max(self._last, last)
        self._ends = {end for end in self._ends if end >= following - 1} | {last}

    def ended(self, frame: int) -> bool:
        """Whether a talk spurt is known to end with this frame, the newest."""
        return frame == self._last

    def ends_before(self, frame: int, following: int) -> bool:
        """Whether a talk spurt ends before this frame that has not ended by the one that is due next."""
        return any(following <= end < frame for end in self._ends)

    def over(self, following: int) -> bool:
        """Whether nothing more is to be expected before another packet comes."""
        return 0 <= self._last < following or self._missing * FRAME_S >= OUTAGE_S

    def pause(self, number: int, arrived: bool) -> bool:
        """Whether the slot of a frame is a pause: asked for every frame in turn."""
        self._pausing = not arrived and (self._pausing or number - 1 in self._ends)
        return self._pausing

    def count(self, lost: bool) -> None:
        """A slot was given out, and concealed if its frame was lost."""
        self._missing = self._missing + 1 if lost else 0
