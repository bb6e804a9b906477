"""The wall clock of a process, which may run faster than the wall.

Every part that must know the time gets it as an argument; only the loops own a clock. With speed 8 a sender, a
channel and a receiver on one machine do in one second what takes eight on air: pacing, delays and playout keep their
relation, because all three scale the same monotonic clock.
"""

from __future__ import annotations

import time


class Clock:
    """Seconds since an arbitrary moment that all processes of one machine share."""

    def __init__(self, speed: float = 1.0):
        self.speed = speed

    def now_s(self) -> float:
        return time.monotonic() * self.speed

    def sleep_until(self, when_s: float) -> None:
        """Return at `when_s`, at once if that has passed."""
        remaining_s = (when_s - self.now_s()) / self.speed
        if remaining_s > 0:
            time.sleep(remaining_s)
