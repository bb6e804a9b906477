"""Frames that came too late to be heard, kept for the decoder: it is told what it missed before the next one that is heard."""

from __future__ import annotations

from stream.frame import Codes

LONGEST_MISSED_FRAMES = 25  # beyond 2 s the decoder has forgotten anyway


class Belated:
    """The frames between the last one heard and the next, as far as they came at all."""

    def __init__(self) -> None:
        self._frames: dict[int, Codes] = {}

    def keep(self, first: int, frames: Codes, heard: int, following: int) -> None:
        """Keep those of some frames [frames, 8] that lie between the last one heard and the `following` slot.

        They are numbered from `first` on.
        """
        for number in range(max(first, heard + 1, following - LONGEST_MISSED_FRAMES), min(first + len(frames), following)):
            self._frames[number] = frames[number - first]

    def take(self, heard: int, following: int) -> tuple[Codes | None, ...]:
        """All frames between the last one heard and the `following` one, and forget them.

        Nothing if nothing is known of them but that they were lost, or if they are too many.
        """
        if not self._frames:
            return ()
        numbers = range(heard + 1, following)
        known = heard >= 0 and 0 < len(numbers) <= LONGEST_MISSED_FRAMES and any(number in self._frames for number in numbers)
        missed = tuple(self._frames.get(number) for number in numbers) if known else ()
        self._frames.clear()
        return missed

    def clear(self) -> None:
        self._frames.clear()
