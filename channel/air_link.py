"""The sender's end of a simulated link in virtual time: a clock that is a number, and packets with when and how each arrives."""

from __future__ import annotations

from channel.simulator import Simulator
from stream.clock import Clock
from stream.packet import TYPE_VOICE, packet_type


class VirtualClock(Clock):
    """A clock that whoever waits sets forward."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0

    def now_s(self) -> float:
        return self._now_s

    def sleep_until(self, when_s: float) -> None:
        self._now_s = max(self._now_s, when_s)


class AirLink:
    """The sender's end of a simulated link: packets in, and when and how each arrives."""

    def __init__(self, simulator: Simulator, clock: Clock):
        self._simulator, self._clock = simulator, clock
        self.arrivals: list[tuple[float, int, bytes, int]] = []  # arrival, its number, bytes, number of the voice packet or -1
        self.voice_packets = 0

    def send(self, packet: bytes) -> int:
        voice = self.voice_packets if packet_type(packet) == TYPE_VOICE else -1
        self.voice_packets += voice >= 0
        for arrival_s, received in self._simulator.offer(self._clock.now_s(), packet):
            self.arrivals.append((arrival_s, len(self.arrivals), received, voice))
        return 0

    def drain(self, timeout_s: float) -> int:
        return 0

    def close(self) -> None:
        pass
