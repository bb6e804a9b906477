"""Packets under way: what entered a simulated link and has not arrived yet, in virtual time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

from channel.simulator import Simulator


class Transit:
    """A simulator, the packets now under way in it, and who takes them when they arrive."""

    def __init__(self, simulator: Simulator, deliver: Callable[[bytes], int]) -> None:
        """`deliver` takes one packet and returns how many, this one or older ones, it had to drop."""
        self._simulator = simulator
        self._deliver = deliver
        self._pending: list[tuple[float, int, bytes]] = []
        self._accepted = 0  # breaks ties: packets that arrive at the same time leave in the order they came
        self.refused = 0  # packets that arrived and that nobody took

    @property
    def in_flight(self) -> int:
        """How many packets have not arrived yet."""
        return len(self._pending)

    @property
    def next_s(self) -> float:
        """When the next packet arrives; infinity if none is under way."""
        return self._pending[0][0] if self._pending else math.inf

    def accept(self, now_s: float, packet: bytes) -> None:
        """Put one packet on the link."""
        for arrival_s, received in self._simulator.offer(now_s, packet):
            heapq.heappush(self._pending, (arrival_s, self._accepted, received))
            self._accepted += 1

    def forward(self, now_s: float) -> int:
        """Deliver every packet that has arrived by `now_s`, in the order of arrival; how many those are."""
        count = 0
        while self._pending and self._pending[0][0] <= now_s:
            packet = heapq.heappop(self._pending)[2]
            self.refused += self._deliver(packet)
            count += 1
        return count
