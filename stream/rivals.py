"""Packets that cannot belong to the talk spurt that is being heard, and when they take its place.

One alone may be a stray; two in a row are a sender: another one, or the same one started anew. What they say is not lost:
they are handed over when they take over.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream.content import Voice
from stream.profile import Profile

IN_A_ROW = 2


@dataclass(frozen=True)
class Rival:
    """A packet that was not accepted, and when it arrived."""

    arrived_s: float
    voice: Voice
    profile: Profile


class Rivals:
    """The newest packets that were not accepted, with no accepted one between them."""

    def __init__(self) -> None:
        self._packets: list[Rival] = []

    def add(self, rival: Rival, following: bool) -> list[Rival]:
        """Take a packet; returns all of them, oldest first, once they are enough to take over.

        following: only a packet with the next number continues the former; else any of its stream does.
        """
        if self._packets:
            former = self._packets[-1]
            same = (former.voice.stream, former.profile) == (rival.voice.stream, rival.profile)
            if not same or (following and rival.voice.sequence != former.voice.sequence + 1):
                self._packets.clear()
        self._packets.append(rival)
        if len(self._packets) < IN_A_ROW:
            return []
        enough, self._packets = self._packets, []
        return enough

    def clear(self) -> None:
        self._packets.clear()
