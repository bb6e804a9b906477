"""A link in virtual time: packets and times in, arrivals out, the same for the same seed.

    simulator = Simulator(preset("satellite-geo").config, seed=1)
    arrivals = simulator.offer(now_s=0.0, packet=b"...")  # [(arrival in seconds, bytes)]: 0, 1 or 2 of them
    print(simulator.report())

A packet waits for the transmitter, leaves at the bit rate, is lost if the link is bad when its first bit leaves, suffers
bit errors, travels, is delayed by jitter and may be delivered twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from channel.impairments import BitErrors, BurstLoss, Duplication, Jitter, Serializer


@dataclass(frozen=True)
class ChannelConfig:
    """A link. The default is a perfect one.

    Raises:
        ValueError: a value is out of range; the message names the range.
    """

    bit_rate_bps: float | None = None  # None: packets leave at once
    delay_s: float = 0.0  # propagation, one way
    jitter_s: float = 0.0  # mean of the extra delay, which is at most 4.3 times as much
    loss_rate: float = 0.0  # share of packets lost, 0 to 1
    mean_burst_s: float = 0.0  # mean duration of a bad period; 0: every packet is lost or not on its own
    ber: float = 0.0  # bit errors per bit of a packet that arrives, 0 to 0.5
    duplicate_rate: float = 0.0  # share of arriving packets that arrive twice, 0 to 1
    queue_s: float = 4.0  # a packet that would wait longer for the transmitter is dropped

    def __post_init__(self) -> None:
        rate = self.bit_rate_bps
        if rate is not None and not (math.isfinite(rate) and rate > 0.0):
            raise ValueError(f"bit_rate_bps is {rate}; give bits per second above 0, or None for no limit")
        for name in ("delay_s", "jitter_s", "mean_burst_s", "queue_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"{name} is {value}; give seconds, 0 or more")
        for name, largest in (("loss_rate", 1), ("duplicate_rate", 1), ("ber", 0.5)):
            value = getattr(self, name)
            if not 0.0 <= value <= largest:
                raise ValueError(f"{name} is {value}; give a share between 0 and {largest}")


@dataclass(frozen=True)
class ChannelReport:
    """What happened to the packets offered so far: offered = lost + queue_dropped + delivered - duplicated."""

    offered: int = 0
    queue_dropped: int = 0  # the transmitter's queue was full
    lost: int = 0  # the link was bad
    delivered: int = 0  # second copies included
    duplicated: int = 0
    damaged: int = 0  # packets that arrive with at least one wrong bit; second copies not counted again
    bit_errors: int = 0  # in those packets
    bytes_offered: int = 0
    bytes_delivered: int = 0  # second copies included


class Simulator:
    """One direction of one link."""

    def __init__(self, config: ChannelConfig, seed: int) -> None:
        """Every impairment draws from its own stream of the seed, so that changing one leaves the others as they were.

        Raises:
            ValueError: `seed` is negative.
        """
        if seed < 0:
            raise ValueError(f"seed is {seed}; give 0 or more")
        # The order is part of what a seed means: append, never reorder.
        loss, errors, jitter, duplication = np.random.default_rng(seed).spawn(4)
        self._delay_s = config.delay_s
        self._serializer = Serializer(config.bit_rate_bps, config.queue_s)
        self._loss = BurstLoss(config.loss_rate, config.mean_burst_s, loss)
        self._errors = BitErrors(config.ber, errors)
        self._jitter = Jitter(config.jitter_s, jitter)
        self._duplication = Duplication(config.duplicate_rate, duplication)
        self._now_s = -math.inf
        self._report = ChannelReport()

    def offer(self, now_s: float, packet: bytes) -> list[tuple[float, bytes]]:
        """Hand a packet to the link at `now_s`.

        Returns:
            (arrival in seconds, bytes) of every copy that arrives, earliest first; no arrival is before `now_s`.

        Raises:
            ValueError: `now_s` is before the former packet's.
        """
        if not (math.isfinite(now_s) and now_s >= self._now_s):
            raise ValueError(f"now_s is {now_s} after {self._now_s}; offer packets in the order of their times")
        self._now_s = now_s
        self._add(offered=1, bytes_offered=len(packet))
        on_air = self._serializer.send(now_s, len(packet))
        if on_air is None:
            self._add(queue_dropped=1)
            return []
        start_s, end_s = on_air
        if self._loss.is_lost(start_s):
            self._add(lost=1)
            return []
        received, errors = self._errors.damage(packet)
        copies = self._duplication.copies()
        self._add(
            delivered=copies,
            duplicated=copies - 1,
            damaged=int(errors > 0),
            bit_errors=errors,
            bytes_delivered=copies * len(packet),
        )
        return sorted((end_s + self._delay_s + self._jitter.extra_s(), received) for _ in range(copies))

    def report(self) -> ChannelReport:
        """The counters so far."""
        return self._report

    def _add(self, **more: int) -> None:
        self._report = replace(self._report, **{name: getattr(self._report, name) + count for name, count in more.items()})
