"""What a narrow link does to packets: one small process per impairment, composed by `channel.simulator`.

Every process runs in virtual time: the time is an argument, in seconds from an arbitrary moment, and never goes
backwards. Nothing here owns a clock, a socket or a thread, and all randomness comes from the generator handed in.

    loss = BurstLoss(loss_rate=0.1, mean_burst_s=0.5, rng=np.random.default_rng(1))
    lost = [loss.is_lost(0.64 * k) for k in range(100)]
"""

from __future__ import annotations

import math

import numpy as np

JITTER_CUT = 4.0  # an exponential delay is cut at this many scales: a packet is late, it does not arrive next week


class Serializer:
    """The transmitter: one packet after another at a fixed bit rate, behind a queue that is bounded in time."""

    def __init__(self, bit_rate_bps: float | None, queue_s: float) -> None:
        """`bit_rate_bps` None sends at once; a packet that would wait longer than `queue_s` is dropped."""
        self._bit_rate_bps = bit_rate_bps
        self._queue_s = queue_s
        self._free_s = -math.inf  # when the last bit of the packets so far has left

    def send(self, now_s: float, size_bytes: int) -> tuple[float, float] | None:
        """(when the first bit leaves, when the last bit has left) in seconds, or None for a packet the full queue drops."""
        if self._bit_rate_bps is None:
            return now_s, now_s
        start_s = max(now_s, self._free_s)
        if start_s - now_s > self._queue_s:
            return None
        self._free_s = start_s + 8 * size_bytes / self._bit_rate_bps
        return start_s, self._free_s


class BurstLoss:
    """Gilbert-Elliott loss in continuous time: good and bad periods of exponentially distributed length.

    A packet is lost if and only if the link is bad at the moment its first bit leaves. The chain starts in its
    stationary distribution, so the expected share of lost packets is exactly `loss_rate` for any packet length and
    spacing, and a bad period lasts `mean_burst_s` seconds on average. `mean_burst_s` 0 is the limit of independent losses.

    With L the loss rate and B the mean burst, the chain leaves the bad state at the rate 1/B and the good state at
    L / (B (1 - L)); it forgets its state with the time constant B (1 - L). Parametrised by what a user can measure,
    after E. N. Gilbert, BSTJ 39 (1960), and E. O. Elliott, BSTJ 42 (1963); in time and not per packet, as in the
    two-state satellite channel of Lutz et al., IEEE Trans. Veh. Technol. 40 (1991).
    """

    def __init__(self, loss_rate: float, mean_burst_s: float, rng: np.random.Generator) -> None:
        self._loss_rate = loss_rate
        self._memory_s = mean_burst_s * (1.0 - loss_rate)
        self._rng = rng
        self._bad: bool | None = None
        self._at_s = 0.0

    def is_lost(self, start_s: float) -> bool:
        """Whether a packet that starts at `start_s` is lost."""
        known = self._bad
        probability = self._loss_rate if known is None else self.bad_probability(known, start_s - self._at_s)
        self._at_s = start_s
        self._bad = bool(self._rng.random() < probability)
        return self._bad

    def bad_probability(self, was_bad: bool, elapsed_s: float) -> float:
        """Probability that the link is bad `elapsed_s` seconds after it was seen bad or good."""
        kept = math.exp(-elapsed_s / self._memory_s) if self._memory_s > 0.0 else 0.0
        return self._loss_rate + (float(was_bad) - self._loss_rate) * kept


class BitErrors:
    """Independent bit errors at a fixed rate inside the packets that arrive."""

    def __init__(self, ber: float, rng: np.random.Generator) -> None:
        self._ber = ber
        self._rng = rng

    def damage(self, packet: bytes) -> tuple[bytes, int]:
        """The packet of the same length as it arrives, and how many of its bits are wrong."""
        # Drawn at every rate, so that with one seed a higher rate adds errors to those of a lower one.
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
