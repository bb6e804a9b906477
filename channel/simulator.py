"""A link in virtual time: packets and times in, arrivals out, the same for the same seed.

    simulator = Simulator(preset("satellite-geo").config, seed=1)
    arrivals = simulator.offer(now_s=0.0, packet=b"...")  # [(arrival in seconds, bytes)]: 0, 1 or 2 of them
    print(simulator.report())

A packet waits for the transmitter, leaves at the bit rate, is lost if the link is bad when its first bit leaves, if an
outage covers any part of it or if the receiver does not notice it, suffers bit errors, travels, is delayed by motion and
jitter and may be delivered twice.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from channel.checks import above_zero, at_least, between
from channel.impairments import BitErrors, BurstLoss, Duplication, HalfDuplex, Jitter, Motion, Serializer
from channel.markov import OutageConfig, Outages
from channel.reception import Reception, ReceptionConfig
from channel.trace import Replay, Trace


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
    frame_bytes: int = 1  # a packet is filled up to whole frames of the modem
    preamble_s: float = 0.0  # before every packet: what the modem sends to be found
    turn_round_s: float | None = None  # half duplex: from receiving to sending; None: each direction has its own medium
    delay_swing_s: float = 0.0  # the delay swings by so much to both sides, as the ends come and go
    delay_period_s: float = 600.0  # of that swing
    outage: OutageConfig | None = None
    reception: ReceptionConfig | None = None

    def __post_init__(self) -> None:
        if self.bit_rate_bps is not None:  # at less than 1 bps a packet would outlast the states of the link by far
            at_least(1.0, "bits per second, or None for no limit", bit_rate_bps=self.bit_rate_bps)
        for name in ("delay_s", "jitter_s", "mean_burst_s", "queue_s", "preamble_s", "delay_swing_s"):
            at_least(0.0, "seconds", **{name: getattr(self, name)})
        if self.turn_round_s is not None:
            at_least(0.0, "seconds, or None for full duplex", turn_round_s=self.turn_round_s)
        for name, largest in (("loss_rate", 1.0), ("duplicate_rate", 1.0), ("ber", 0.5)):
            between(0.0, largest, "a share", **{name: getattr(self, name)})
        if not 1 <= self.frame_bytes <= 65536:
            raise ValueError(f"frame_bytes is {self.frame_bytes}; give 1 to 65536")
        above_zero("seconds", delay_period_s=self.delay_period_s)
        if self.delay_swing_s > self.delay_s:
            raise ValueError(
                f"delay_swing_s is {self.delay_swing_s} with a delay of {self.delay_s} s; give a longer delay or less swing"
            )
        if 2.0 * math.pi * self.delay_swing_s >= self.delay_period_s:
            raise ValueError(f"delay_swing_s {self.delay_swing_s} is too fast; give less, or a longer delay_period_s")

    def air_s(self, packet_bytes: int) -> float:
        """How long a packet of that size occupies the transmitter, in seconds; 0 without a bit rate."""
        return Serializer(self.bit_rate_bps, self.queue_s, self.frame_bytes, self.preamble_s).air_s(packet_bytes)


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

    def __init__(
        self, config: ChannelConfig, seed: int, trace: Trace | None = None, medium: HalfDuplex | None = None, side: int = 0
    ) -> None:
        """Every impairment draws from its own stream of the seed, so that changing one leaves the others as they were.

        `trace` adds the losses, bit errors and delays of a recording. `medium` and `side` are for `two_way`.

        Raises:
            ValueError: `seed` is negative.
        """
        if seed < 0:
            raise ValueError(f"seed is {seed}; give 0 or more")
        # The order is part of what a seed means: append, never reorder.
        streams = np.random.default_rng(seed if side == 0 else [seed, side]).spawn(8)
        loss, errors, jitter, duplication, outage, reception, motion, replay = streams
        self._config = config
        self._serializer = Serializer(config.bit_rate_bps, config.queue_s, config.frame_bytes, config.preamble_s, medium, side)
        self._loss = BurstLoss(config.loss_rate, config.mean_burst_s, loss)
        self._outages = Outages(config.outage, outage) if config.outage else None
        self._reception = Reception(config.reception, reception) if config.reception else None
        self._replay = Replay(trace, replay) if trace else None
        self._errors = BitErrors(config.ber, errors)
        self._motion = Motion(config.delay_swing_s, config.delay_period_s, motion)
        self._jitter = Jitter(config.jitter_s, jitter)
        self._duplication = Duplication(config.duplicate_rate, duplication)
        self._now_s = -math.inf
        self._counts = asdict(ChannelReport())

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
        received, extra_s = self._receive(packet, *on_air)
        if received is None:
            self._add(lost=1)
            return []
        errors = (int.from_bytes(packet) ^ int.from_bytes(received)).bit_count()
        copies = self._duplication.copies()
        self._add(
            delivered=copies,
            duplicated=copies - 1,
            damaged=int(errors > 0),
            bit_errors=errors,
            bytes_delivered=copies * len(packet),
        )
        arrival_s = on_air[1] + self._config.delay_s + self._motion.extra_s(on_air[1]) + extra_s
        return sorted((arrival_s + self._jitter.extra_s(), received) for _ in range(copies))

    def report(self) -> ChannelReport:
        """The counters so far."""
        return ChannelReport(**self._counts)

    def _receive(self, packet: bytes, start_s: float, end_s: float) -> tuple[bytes | None, float]:
        """(the bytes as they arrive or None for a lost packet, extra delay in seconds) of what is on air for that time."""
        # All are asked for every packet: what one of them does must not change when the others look at the link.
        lost = self._loss.is_lost(start_s)
        if self._outages:
            lost |= self._outages.cover(start_s, end_s)
        if self._reception:
            first_s = start_s + self._config.preamble_s
            rate = self._config.bit_rate_bps
            lost |= not self._reception.open(first_s, first_s + (8 * len(packet) / rate if rate else 0.0), 8 * len(packet))
        row = self._replay.row(start_s) if self._replay else None
        if lost or (row and row.lost):
            return None, 0.0
        received, _ = self._errors.damage(packet)
        if self._reception:
            received = self._reception.damage(received)
        if self._replay and row:
            received = self._replay.damage(received, row)
        return received, row.extra_delay_s if row else 0.0

    def _add(self, **more: int) -> None:
        for name, count in more.items():
            self._counts[name] += count


def two_way(config: ChannelConfig, seed: int, trace: Trace | None = None) -> tuple[Simulator, Simulator]:
    """Both directions of a link, the first as `Simulator` alone would have it, the second with chances of its own.

    If the link is half duplex they share the medium: offer to both in the order of time.

    Raises:
        ValueError: `seed` is negative.
    """
    medium = None if config.turn_round_s is None else HalfDuplex(config.delay_s + config.delay_swing_s, config.turn_round_s)
    return Simulator(config, seed, trace, medium, side=0), Simulator(config, seed, trace, medium, side=1)
