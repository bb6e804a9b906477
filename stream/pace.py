"""The pace of a sound card, whose clock is never quite ours.

Blocks come at the pace of one clock and are played at the pace of another, 300 ppm apart perhaps: what waits between the
two grows by a second an hour, or runs dry. So blocks are made a few samples longer or shorter, which nobody hears, to keep
waiting what waited when the talk spurt began.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol, runtime_checkable

from stream.concealment import stretch
from stream.frame import Pcm

WINDOW_BLOCKS = 16  # whose mean is looked at: a card takes samples in gulps, and blocks come a little late
SHORTEST_S = 0.02  # that should wait when the next block comes
DEAD_ZONE_S = 0.005
STEP_SHARE = 1 / 320  # of a block: 0.3 %, ten times what clocks differ by


@runtime_checkable
class Card(Protocol):
    """A sink that plays on a clock of its own."""

    @property
    def queued_s(self) -> float:
        """Seconds of sound that it has not played yet."""

    def write(self, pcm: Pcm) -> None: ...


class Pace:
    """How long blocks should last, from what waited before each of the newest. Pure."""

    def __init__(self) -> None:
        self._waited_s: deque[float] = deque(maxlen=WINDOW_BLOCKS)
        self._wanted_s: float | None = None

    def block_samples(self, waiting_s: float, samples: int) -> int:
        """How many samples the next block should have instead of `samples`, when so much waits before it."""
        if waiting_s <= 0.0:  # another beginning: what will wait from now on is to be seen
            self._waited_s.clear()
            self._wanted_s = None
            return samples
        self._waited_s.append(waiting_s)
        if len(self._waited_s) < WINDOW_BLOCKS:
            return samples
        mean_s = sum(self._waited_s) / WINDOW_BLOCKS
        if self._wanted_s is None:
            self._wanted_s = max(mean_s, SHORTEST_S)
        error_s = mean_s - self._wanted_s
        if abs(error_s) <= DEAD_ZONE_S:
            return samples
        step = max(1, round(samples * STEP_SHARE))
        return samples - step if error_s > 0 else samples + step


class Paced:
    """A sink before a card: blocks as long as the card's clock needs them."""

    def __init__(self, card: Card):
        self._card = card
        self._pace = Pace()

    def write(self, pcm: Pcm) -> None:
        samples = self._pace.block_samples(self._card.queued_s, len(pcm))
        self._card.write(stretch(pcm, samples) if len(pcm) > 1 else pcm)
