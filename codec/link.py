"""What a narrow link does to codes in training: packets lost in bursts, and bits that stay wrong.

The runtime's channel simulator works on bytes in continuous time and belongs to no codec. This is the same two-state
channel seen from the codec: frames come in packets of the profile's size, and a packet arrives or does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codec.config import ConfigError
from stream.errors import UsageError
from stream.frame import CODE_DIMENSIONS
from stream.profile import find_profile


@dataclass(frozen=True)
class Received:
    """lost: bool [T], frames whose packet did not arrive; flips: int64 [T, 8] of 0..3, the wrong bits of each code."""

    lost: np.ndarray
    flips: np.ndarray


def frames_per_packet(profile: str) -> int:
    """Frames in a packet of the named profile.

    Raises:
        ConfigError: there is no such profile.
    """
    try:
        return find_profile(profile).frames
    except UsageError as error:
        raise ConfigError(f"rl.link_profile: {error}") from None


def lost_packets(rng: np.random.Generator, packets: int, loss_rate: float, mean_burst_packets: float) -> np.ndarray:
    """Whether each of `packets` is lost, bool [packets], from the stationary start of the chain.

    Gilbert's two states (BSTJ 39, 1960), given by what a user measures: a burst lasts `mean_burst_packets` on average
    and in the long run `loss_rate` of the packets are lost. A burst no longer than 1 / (1 - loss_rate) is that of
    independent losses, and shorter ones are not made.
    """
    stays = max(1 - 1 / mean_burst_packets, loss_rate)
    starts = loss_rate * (1 - stays) / (1 - loss_rate)
    lost = np.zeros(packets, dtype=bool)
    chance = loss_rate
    for packet, draw in enumerate(rng.random(packets)):
        lost[packet] = draw < chance
        chance = stays if lost[packet] else starts
    return lost


def received(
    rng: np.random.Generator,
    frames: int,
    packet_frames: int,
    loss_rate: float,
    mean_burst_packets: float,
    bit_error_rate: float,
) -> Received:
    """Draw what happens to `frames` frames in packets of `packet_frames`, whose first may have begun before them."""
    begun = int(rng.integers(packet_frames))
    packets = lost_packets(rng, -(-(frames + begun) // packet_frames), loss_rate, mean_burst_packets)
    wrong = rng.random((frames, CODE_DIMENSIONS, 2)) < bit_error_rate
    return Received(np.repeat(packets, packet_frames)[begun : begun + frames], wrong @ np.array([2, 1]))


def untouched(frames: int) -> Received:
    """A perfect link."""
    return Received(np.zeros(frames, dtype=bool), np.zeros((frames, CODE_DIMENSIONS), dtype=np.int64))
