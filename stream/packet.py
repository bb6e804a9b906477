"""Packets: what one looks like on air, to the bit. PROTOCOL.md specifies the same for other implementations.

    byte 0     type (2 bits) | end of talk spurt (1) | stream id (3) | sequence number, high 2 bits
    byte 1     sequence number, low 8 bits
    then       codes, 2 bytes a frame: dimension 0 in the highest 2 bits, each level as a Gray code
    then       CRC-16 of (protocol, profile, decoder id, everything before)
    then       Reed-Solomon parity over everything before

All functions here are pure. A packet's profile follows from its size; protocol version, profile and decoder id are
not sent but enter the CRC, so that a receiver with another decoder rejects the packet instead of speaking nonsense.
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.errors import UsageError
from stream.fec import Correction, correct, parity
from stream.frame import CODE_DIMENSIONS, FRAME_S

PROTOCOL_VERSION = 1
HEADER_BYTES, CRC_BYTES, FRAME_BYTES = 2, 2, 2
TYPE_VOICE = 0
SEQUENCE_COUNT, STREAM_COUNT = 1024, 8
GRAY = np.array([0, 1, 3, 2], np.uint8)  # neighbouring levels differ in one bit; the table is its own inverse


@dataclass(frozen=True)
class Profile:
    """A packet size: how much speech it holds and how many bytes protect it."""

    name: str
    number: int
    frames: int
    parity_bytes: int

    @property
    def data_bytes(self) -> int:
        return HEADER_BYTES + self.frames * FRAME_BYTES + CRC_BYTES

    @property
    def packet_bytes(self) -> int:
        return self.data_bytes + self.parity_bytes

    @property
    def packet_s(self) -> float:
        """Seconds of speech in one packet."""
        return self.frames * FRAME_S

    @property
    def on_air_bps(self) -> float:
        """Bits per second on air, everything counted."""
        return self.packet_bytes * 8 / self.packet_s


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("fast", 1, frames=4, parity_bytes=4),
        Profile("standard", 2, frames=8, parity_bytes=6),
        Profile("narrow", 3, frames=12, parity_bytes=4),
    )
}
BY_SIZE = {profile.packet_bytes: profile for profile in PROFILES.values()}


def find_profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PROFILES:
        raise UsageError(f"unknown profile {name!r}; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]


@dataclass(frozen=True)
class Voice:
    """The content of a voice packet: codes uint8 [frames, 8] with values 0..3."""

    stream: int
    sequence: int
    codes: NDArray[np.uint8]
    end: bool = False


class PacketError(ValueError):
    """Bytes that are no packet of this link: too many errors, another decoder, or not ours at all."""


def pack_codes(codes: NDArray[np.uint8]) -> bytes:
    """Codes [frames, 8] -> 2 bytes a frame."""
    bits = GRAY[codes].astype(np.uint16)
    shifts = np.arange(2 * CODE_DIMENSIONS - 2, -1, -2, dtype=np.uint16)
    words: bytes = (bits << shifts).sum(axis=1).astype(">u2").tobytes()
    return words


def unpack_codes(data: bytes) -> NDArray[np.uint8]:
    """Inverse of `pack_codes`."""
    words = np.frombuffer(data, ">u2").astype(np.uint16)
    shifts = np.arange(2 * CODE_DIMENSIONS - 2, -1, -2, dtype=np.uint16)
    codes: NDArray[np.uint8] = GRAY[(words[:, None] >> shifts) & 3]
    return codes


def checksum(profile: Profile, decoder_id: int, data: bytes) -> bytes:
    """CRC-16 (polynomial 0x1021, initial 0xFFFF) of the unsent context and `data`."""
    context = struct.pack(">BBH", PROTOCOL_VERSION, profile.number, decoder_id)
    return struct.pack(">H", binascii.crc_hqx(context + data, 0xFFFF))


def build(voice: Voice, profile: Profile, decoder_id: int) -> bytes:
    """The bytes of one voice packet."""
    if voice.codes.shape != (profile.frames, CODE_DIMENSIONS):
        raise ValueError(f"{profile.name} carries codes [{profile.frames}, {CODE_DIMENSIONS}], not {voice.codes.shape}")
    header = TYPE_VOICE << 14 | voice.end << 13 | voice.stream % STREAM_COUNT << 10 | voice.sequence % SEQUENCE_COUNT
    data = struct.pack(">H", header) + pack_codes(voice.codes)
    data += checksum(profile, decoder_id, data)
    return data + parity(data, profile.parity_bytes)


def parse(packet: bytes, decoder_id: int) -> tuple[Voice, Correction]:
    """Repair and read one packet.

    Raises:
        PacketError: not a voice packet for this decoder, or damaged beyond repair.
    """
    profile = BY_SIZE.get(len(packet))
    if profile is None:
        raise PacketError(f"{len(packet)} bytes fit no profile")
    correction = correct(packet, profile.parity_bytes)
    if correction is None:
        raise PacketError("more errors than the parity repairs")
    data, received = correction.data[:-CRC_BYTES], correction.data[-CRC_BYTES:]
    # Reed-Solomon alone accepts some words that are none (libraries differ in how many): the CRC has the last word.
    if received != checksum(profile, decoder_id, data):
        raise PacketError("wrong checksum: damaged, or sent for another decoder")
    (header,) = struct.unpack(">H", data[:HEADER_BYTES])
    if header >> 14 != TYPE_VOICE:
        raise PacketError(f"packet type {header >> 14} is not known to this version")
    codes = unpack_codes(data[HEADER_BYTES:])
    return Voice(header >> 10 & 7, header & (SEQUENCE_COUNT - 1), codes, bool(header >> 13 & 1)), correction


def sequence_difference(newer: int, older: int) -> int:
    """How many packets `newer` lies after `older`, in -512..511, across the wrap."""
    return (newer - older + SEQUENCE_COUNT // 2) % SEQUENCE_COUNT - SEQUENCE_COUNT // 2
