"""What a narrow link does to packets: one small process per impairment, composed by `channel.simulator`.

Every process runs in virtual time: the time is an argument, in seconds from an arbitrary moment, and never goes
backwards. Nothing here owns a clock, a socket or a thread, and all randomness comes from the generator handed in.

    loss = BurstLoss(loss_rate=0.1, mean_burst_s=0.5, rng=np.random.default_rng(1))
    lost = [loss.is_lost(0.64 * k) for k in range(100)]
"""

from __future__ import annotations

import math

import numpy as np

from channel.markov import TwoState

JITTER_CUT = 4.0  # an exponential delay is cut at this many scales: a packet is late, it does not arrive next week


class HalfDuplex:
    """One medium for two directions: who wants to answer waits until the other's last bit has come and turns round first."""

    def __init__(self, delay_s: float, turn_round_s: float) -> None:
        """`delay_s` of propagation, `turn_round_s` from the end of receiving to the beginning of sending."""
        self._pause_s = delay_s + turn_round_s
        self._side: int | None = None
        self._until_s = -math.inf

    def free_s(self, side: int, now_s: float) -> float:
        """When `side`, 0 or 1, may begin to send at the earliest."""
        return now_s if self._side in (None, side) else max(now_s, self._until_s + self._pause_s)

    def occupy(self, side: int, until_s: float) -> None:
        """`side` sends until `until_s`."""
        self._side = side
        self._until_s = until_s


class Serializer:
    """The transmitter: one packet after another at a fixed bit rate, behind a queue that is bounded in time."""

    def __init__(
        self,
        bit_rate_bps: float | None,
        queue_s: float,
        frame_bytes: int = 1,
        preamble_s: float = 0.0,
        medium: HalfDuplex | None = None,
        side: int = 0,
    ) -> None:
        """`bit_rate_bps` None sends at once; a packet that would wait longer than `queue_s` is dropped.

        Every packet begins with a preamble of `preamble_s` and is filled up to whole frames of `frame_bytes`. `medium` is
        shared with the transmitter of the other direction, which has the other `side`.
        """
        self._bit_rate_bps = bit_rate_bps
        self._queue_s = queue_s
        self._frame_bytes = frame_bytes
        self._preamble_s = preamble_s
        self._medium = medium
        self._side = side
        self._free_s = -math.inf  # when the last bit of the packets so far has left

    def air_s(self, size_bytes: int) -> float:
        """How long a packet occupies the transmitter."""
        frames = -(-size_bytes // self._frame_bytes)
        coded_s = 0.0 if self._bit_rate_bps is None else 8 * frames * self._frame_bytes / self._bit_rate_bps
        return self._preamble_s + coded_s

    def send(self, now_s: float, size_bytes: int) -> tuple[float, float] | None:
        """(when the first bit leaves, when the last bit has left) in seconds, or None for a packet the full queue drops."""
        start_s = max(now_s, self._free_s)
        if self._medium is not None:
            start_s = self._medium.free_s(self._side, start_s)
        if start_s - now_s > self._queue_s:
            return None
        self._free_s = start_s + self.air_s(size_bytes)
        if self._medium is not None:
            self._medium.occupy(self._side, self._free_s)
        return start_s, self._free_s


class Motion:
    """Ends that come and go: the delay swings, and with it the time between packets, which is the Doppler effect."""

    def __init__(self, swing_s: float, period_s: float, rng: np.random.Generator) -> None:
        """The delay changes by `swing_s` to both sides in a sine of `period_s`; its phase is random."""
        self._swing_s = swing_s
        self._turn = 2.0 * math.pi / period_s
        self._phase = 2.0 * math.pi * rng.random()

    def extra_s(self, sent_s: float) -> float:
        """What to add to the mean delay of a bit that leaves at `sent_s`; may be negative."""
        return self._swing_s * math.sin(self._turn * sent_s + self._phase) if self._swing_s else 0.0


class BurstLoss:
    """Gilbert-Elliott loss in continuous time: good and bad periods of exponentially distributed length.

    A packet is lost if and only if the link is bad at the moment its first bit leaves. The chain starts in its
    stationary distribution, so the expected share of lost packets is exactly `loss_rate` for any packet length and
    spacing, and a bad period lasts `mean_burst_s` seconds on average. `mean_burst_s` 0 is the limit of independent losses.

    Parametrised by what a user can measure, after E. N. Gilbert, BSTJ 39 (1960), and E. O. Elliott, BSTJ 42 (1963); in
    time and not per packet, as in the two-state satellite channel of Lutz et al., IEEE Trans. Veh. Technol. 40 (1991).
    """

    def __init__(self, loss_rate: float, mean_burst_s: float, rng: np.random.Generator) -> None:
        self._chain = TwoState(loss_rate, mean_burst_s, rng)

    def is_lost(self, start_s: float) -> bool:
        """Whether a packet that starts at `start_s` is lost."""
        return self._chain.at(start_s)

    def bad_probability(self, was_bad: bool, elapsed_s: float) -> float:
        """Probability that the link is bad `elapsed_s` seconds after it was seen bad or good."""
        return self._chain.bad_probability(was_bad, elapsed_s)


class BitErrors:
    """Independent bit errors at a fixed rate inside the packets that arrive."""

    def __init__(self, ber: float, rng: np.random.Generator) -> None:
        self._ber = ber
        self._rng = rng

    def damage(self, packet: bytes) -> tuple[bytes, int]:
        """The packet of the same length as it arrives, and how many of its bits are wrong."""
        if not self._ber:
            return packet, 0
        # Drawn whatever the rate, so that with one seed a higher rate adds errors to those of a lower one.
        flips = self._rng.random(8 * len(packet)) < self._ber
        errors = int(np.count_nonzero(flips))
        if not errors:
            return packet, 0
        return (np.frombuffer(packet, np.uint8) ^ np.packbits(flips)).tobytes(), errors


class Jitter:
    """Extra delay of an exponential distribution cut at four scales; packets closer than it may change places."""

    def __init__(self, mean_s: float, rng: np.random.Generator) -> None:
        """`mean_s` is the mean of the cut distribution; its maximum is 4.3 times as much."""
        self._scale_s = mean_s / (1.0 - JITTER_CUT / math.expm1(JITTER_CUT))
        self._rng = rng

    def extra_s(self) -> float:
        """One delay in seconds, never negative."""
        return -self._scale_s * math.log1p(self._rng.random() * math.expm1(-JITTER_CUT))


class Duplication:
    """A network behind the narrow link that now and then delivers a packet twice."""

    def __init__(self, rate: float, rng: np.random.Generator) -> None:
        self._rate = rate
        self._rng = rng

    def copies(self) -> int:
        """How many copies of the next packet arrive: 1 or 2."""
        return 2 if self._rng.random() < self._rate else 1
