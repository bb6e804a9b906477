"""A ring of samples between an audio callback and the loop: allocated once, one writer and one reader, no lock.

Positions count samples from the beginning and only grow; each is written by one side alone, so that neither waits for
the other. What does not fit is refused and counted by the writer.
"""

from __future__ import annotations

import numpy as np

from stream.frame import Pcm


class Ring:
    """Up to `capacity` mono samples on their way from one thread to another."""

    def __init__(self, capacity: int):
        self._samples = np.zeros(capacity, np.float32)
        self._written = self._read = 0
        self._skip_to = 0  # the writer's wish; the reader fulfils it with its next read
        self.refused = 0  # writes of which not all samples fitted

    @property
    def level(self) -> int:
        """Samples that wait."""
        return self._written - max(self._read, self._skip_to)

    def write(self, samples: Pcm) -> None:
        """Copy samples [N] in; what does not fit is refused from the end."""
        capacity = len(self._samples)
        fits = min(len(samples), capacity - (self._written - self._read))
        start = self._written % capacity
        first = min(fits, capacity - start)
        self._samples[start : start + first] = samples[:first]
        self._samples[: fits - first] = samples[first:fits]
        self._written += fits
        self.refused += fits < len(samples)

    def read_into(self, out: Pcm) -> int:
        """Fill `out` [N] from its beginning; returns how many samples there were. The rest of `out` is left as it is."""
        begin = max(self._read, self._skip_to)
        there = min(len(out), self._written - begin)
        start = begin % len(self._samples)
        first = min(there, len(self._samples) - start)
        out[:first] = self._samples[start : start + first]
        out[first:there] = self._samples[: there - first]
        self._read = begin + there
        return there

    def read(self) -> Pcm:
        """All samples that wait, in an array of their own."""
        out = np.empty(self.level, np.float32)
        return out[: self.read_into(out)]

    def skip(self, count: int) -> None:
        """For the writer: the reader shall leave out the oldest `count` samples that wait."""
        self._skip_to = min(max(self._read, self._skip_to) + count, self._written)
