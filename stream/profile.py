"""Profiles: the sizes of packets, and what they cost on air with each protection."""

from __future__ import annotations

from dataclasses import dataclass

from stream.errors import UsageError
from stream.frame import FRAME_S
from stream.protection import Protection

HEADER_BYTES, CRC_BYTES, FRAME_BYTES = 2, 2, 2


@dataclass(frozen=True)
class Profile:
    """A packet size: how much speech it holds and how many bytes protect it."""

    name: str
    number: int
    frames: int
    parity_bytes: int

    @property
    def code_bytes(self) -> int:
        return self.frames * FRAME_BYTES

    @property
    def packet_s(self) -> float:
        """Seconds of speech in one packet."""
        return self.frames * FRAME_S


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("fast", 1, frames=4, parity_bytes=4),
        Profile("standard", 2, frames=8, parity_bytes=6),
        Profile("narrow", 3, frames=12, parity_bytes=4),
    )
}


def find_profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PROFILES:
        raise UsageError(f"unknown profile {name!r}; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]


def packet_bytes(profile: Profile, protection: Protection, check_bytes: int = CRC_BYTES) -> int:
    """Size of every packet; `check_bytes` is that of the CRC or tag."""
    return HEADER_BYTES + profile.code_bytes * (2 if protection.repeat else 1) + check_bytes + profile.parity_bytes


def on_air_bps(profile: Profile, protection: Protection, check_bytes: int = CRC_BYTES) -> float:
    """Bits per second of speech on air, every byte of every packet counted, in full blocks."""
    return packet_bytes(profile, protection, check_bytes) * 8 * protection.packets_per_voice / profile.packet_s
