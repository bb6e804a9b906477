"""Packets: what one looks like on air, to the bit. PROTOCOL.md specifies the same for other implementations.

    byte 0     type (2 bits) | end of talk spurt (1) | stream id (3) | sequence number, high 2 bits
    byte 1     sequence number, low 8 bits
    then       codes, 2 bytes a frame: dimension 0 in the highest 2 bits, each level as a Gray code
    then       with --repeat the codes of an earlier packet, as many bytes again
    then       CRC-16 of (protocol, profile, decoder id, protection, everything before); on a sealed link a tag
    then       Reed-Solomon parity over everything before

A packet's profile follows from its size; what both ends agreed on (`Framing`) is not sent
but enters the CRC, so that a receiver with another decoder rejects the packet instead of speaking nonsense.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream.errors import UsageError
from stream.fec import correct, parity
from stream.frame import CODE_DIMENSIONS, FRAME_S
from stream.protection import SEQUENCE_COUNT, Protection
from stream.seal import ForgedError, Opener, ReplayedError, Sealer

PROTOCOL_VERSION = 1
HEADER_BYTES, CRC_BYTES, FRAME_BYTES = 2, 2, 2
TYPE_VOICE, TYPE_REPAIR, TYPE_CONTROL, TYPE_EPOCH = 0, 1, 2, 3
EPOCH_BYTES = 8
STREAM_COUNT = 8
GRAY = np.array([0, 1, 3, 2], np.uint8)  # neighbouring levels differ in one bit; the table is its own inverse


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


@dataclass(frozen=True)
class Voice:
    """The content of a voice packet: codes uint8 [frames, 8] with values 0..3.

    On a sealed link a received `sequence` counts on through all epochs and never wraps, and `stream` is always 0.
    """

    stream: int
    sequence: int
    codes: NDArray[np.uint8]
    end: bool = False
    repeated: NDArray[np.uint8] | None = None  # with --repeat D: the codes of packet `sequence` - D, if it had any


@dataclass(frozen=True)
class Repair:
    """The content of a repair packet: parity of the codes of a block of voice packets."""

    stream: int
    last: int  # sequence number of the last voice packet in the block
    index: int  # which of the R repair packets
    end: bool  # of that last packet: its talk spurt ends
    part: bytes


@dataclass(frozen=True)
class Control:
    """The content of a control packet: an identity, or a piece of text; `stream/control.py` reads its body."""

    stream: int
    text: bool
    body: bytes


@dataclass(frozen=True)
class Epoch:
    """The content of a packet that tells the key epoch of a sealed link in the clear, for who has lost it."""

    stream: int = 0


Content = Voice | Repair | Control | Epoch


class PacketError(ValueError):
    """Bytes that are no packet of this link: too many errors, another decoder, or not ours at all."""


class ForgedPacketError(PacketError):
    """A packet of a sealed link whose tag is wrong."""


class ReplayedPacketError(PacketError):
    """An authentic packet of a sealed link that was heard before."""


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


def packet_type(packet: bytes) -> int:
    """The type of a packet that `Framing.build` made."""
    return packet[0] >> 6


def _checksum(data: bytes) -> bytes:
    """CRC-16: polynomial 0x1021, initial 0xFFFF, not reflected."""
    return struct.pack(">H", binascii.crc_hqx(data, 0xFFFF))


def packet_bytes(profile: Profile, protection: Protection, check_bytes: int = CRC_BYTES) -> int:
    """Size of every packet; `check_bytes` is that of the CRC or tag."""
    return HEADER_BYTES + profile.code_bytes * (2 if protection.repeat else 1) + check_bytes + profile.parity_bytes


def on_air_bps(profile: Profile, protection: Protection, check_bytes: int = CRC_BYTES) -> float:
    """Bits per second of speech on air, every byte of every packet counted, in full blocks."""
    return packet_bytes(profile, protection, check_bytes) * 8 * protection.packets_per_voice / profile.packet_s


@dataclass(frozen=True)
class Parsed:
    """What a packet holds, of which profile it is, and how many of its bytes and bits were wrong."""

    content: Content
    profile: Profile
    corrected_bytes: int
    corrected_bits: int


@dataclass(frozen=True)
class Framing:
    """What the two ends of a link agreed on, and the bytes that follow from it."""

    decoder_id: int
    protection: Protection = field(default_factory=Protection)
    seal: Sealer | Opener | None = None  # of a sender, or of a receiver

    @property
    def check_bytes(self) -> int:
        return self.seal.tag_bytes if self.seal else CRC_BYTES

    @property
    def sequence_count(self) -> int:
        """Received sequence numbers begin again at this; 0: never."""
        return 0 if self.seal else self.protection.sequence_count

    def body_bytes(self, profile: Profile) -> int:
        """Bytes between header and CRC or tag."""
        return profile.code_bytes * (2 if self.protection.repeat else 1)

    def packet_bytes(self, profile: Profile) -> int:
        return packet_bytes(profile, self.protection, self.check_bytes)

    def on_air_bps(self, profile: Profile) -> float:
        return on_air_bps(profile, self.protection, self.check_bytes)

    def profile_of(self, size: int) -> Profile | None:
        """The profile whose packets have that many bytes, or None."""
        return next((profile for profile in PROFILES.values() if self.packet_bytes(profile) == size), None)

    def build(self, content: Content, profile: Profile) -> bytes:
        """The bytes of one packet. On a sealed link the stream is that of the key epoch, and packets are built in their order."""
        kind, end, number, body = self._write(content, profile)
        stream = epoch = self.seal.epoch_for(kind, number) if isinstance(self.seal, Sealer) else content.stream
        header = struct.pack(">H", kind << 14 | end << 13 | stream % STREAM_COUNT << 10 | number)
        context = self._context(profile, kind) + header
        if not isinstance(self.seal, Sealer):
            data = header + body + _checksum(context + body)
        elif kind == TYPE_EPOCH:
            clear = struct.pack(">Q", epoch).ljust(len(body), b"\0")
            data = header + clear + self.seal.seal(kind, epoch, number, b"", context + clear)
        else:
            data = header + self.seal.seal(kind, epoch, number, body, context)
        return data + parity(data, profile.parity_bytes)

    def parse(self, packet: bytes, unsure: Sequence[int] = (), heard: bool = True) -> Parsed:
        """Repair and read one packet.

        unsure: places of bytes that the modem does not vouch for; they count as erased, and half as much as others.
        heard: whether a packet of a sealed link counts as heard now, so that it is a replay from then on.

        Raises:
            PacketError: not a packet of this link, or damaged beyond repair; ForgedPacketError and ReplayedPacketError
                on a sealed link.
        """
        profile = self.profile_of(len(packet))
        if profile is None:
            raise PacketError(f"{len(packet)} bytes fit no profile")
        places = sorted({place for place in unsure if 0 <= place < len(packet)})
        # A modem may mark what is right and miss what is wrong: if its marks lead nowhere, they are forgotten.
        attempts: list[Sequence[int]] = [places, ()] if 0 < len(places) <= profile.parity_bytes else [()]
        failure = PacketError("more errors than the parity repairs")
        for erased in attempts:
            correction = correct(packet, profile.parity_bytes, erased)
            if correction is None:
                continue
            # Reed-Solomon alone accepts some words that are none (libraries differ in how many): the check has the last word.
            try:
                header, body, epoch = self._check(correction.data, profile, heard)
            except PacketError as error:
                failure = error
                continue
            content = self._read(header, body, profile, epoch)
            return Parsed(content, profile, correction.corrected_bytes, correction.corrected_bits)
        raise failure

    def _check(self, data: bytes, profile: Profile, heard: bool) -> tuple[int, bytes, int]:
        """Header, body and key epoch (0 without a seal) of what the sender sent and nobody else."""
        (header,) = struct.unpack(">H", data[:HEADER_BYTES])
        kind, stream, number = header >> 14, header >> 10 & 7, header & (SEQUENCE_COUNT - 1)
        body, check = data[HEADER_BYTES : -self.check_bytes], data[-self.check_bytes :]
        context = self._context(profile, kind) + data[:HEADER_BYTES]
        if not isinstance(self.seal, Opener):
            if check != _checksum(context + body):
                raise PacketError("wrong checksum: damaged, or sent for another decoder or protection")
            return header, body, 0
        try:
            if kind == TYPE_EPOCH:
                epoch = int.from_bytes(body[:EPOCH_BYTES], "big")
                self.seal.learn(kind, epoch, number, check, context + body, heard)
            else:
                body, epoch = self.seal.open(kind, stream, number, body + check, context, heard)
        except ForgedError as error:
            raise ForgedPacketError(str(error)) from None
        except ReplayedError as error:
            raise ReplayedPacketError(str(error)) from None
        return header, body, epoch

    def _context(self, profile: Profile, kind: int) -> bytes:
        """What both ends know and what is not sent, but checked with every packet."""
        if kind >= TYPE_CONTROL:  # these are for receivers of another model, too: they hear why they hear nothing
            return struct.pack(">BBH", PROTOCOL_VERSION, profile.number, 0)
        return struct.pack(">BBH", PROTOCOL_VERSION, profile.number, self.decoder_id) + self.protection.context()

    def _write(self, content: Content, profile: Profile) -> tuple[int, bool, int, bytes]:
        """Type, end, sequence field and body of a packet."""
        if isinstance(content, Repair):
            return TYPE_REPAIR, content.end, content.last * self.protection.repairs + content.index, content.part
        if not isinstance(content, Voice):
            kind = TYPE_CONTROL if isinstance(content, Control) else TYPE_EPOCH
            number = self.seal.free_number(kind) if isinstance(self.seal, Sealer) else 0
            body = content.body if isinstance(content, Control) else b""
            return kind, isinstance(content, Control) and content.text, number, body.ljust(self.body_bytes(profile), b"\0")
        if content.codes.shape != (profile.frames, CODE_DIMENSIONS):
            raise ValueError(f"{profile.name} carries codes [{profile.frames}, {CODE_DIMENSIONS}], not {content.codes.shape}")
        body = pack_codes(content.codes)
        if self.protection.repeat:
            body += bytes(profile.code_bytes) if content.repeated is None else pack_codes(content.repeated)
        return TYPE_VOICE, content.end, content.sequence % self.protection.sequence_count, body

    def _read(self, header: int, body: bytes, profile: Profile, epoch: int) -> Content:
        kind, end, stream, number = header >> 14, bool(header >> 13 & 1), header >> 10 & 7, header & (SEQUENCE_COUNT - 1)
        agreed = self.protection
        stream, past = (0, epoch * agreed.sequence_count) if self.seal else (stream, 0)
        if kind == TYPE_REPAIR and agreed.repairs and number // agreed.repairs < agreed.sequence_count:
            return Repair(stream, past + number // agreed.repairs, number % agreed.repairs, end, body)
        if kind == TYPE_CONTROL:
            return Control(stream, end, body)
        if kind == TYPE_EPOCH and self.seal:
            return Epoch(stream)
        if kind != TYPE_VOICE or number >= agreed.sequence_count:
            raise PacketError(f"packet type {kind} with number {number} is not known to this version")
        codes, repeated = body[: profile.code_bytes], body[profile.code_bytes :]
        return Voice(stream, past + number, unpack_codes(codes), end, unpack_codes(repeated) if any(repeated) else None)


def sequence_difference(newer: int, older: int, count: int = SEQUENCE_COUNT) -> int:
    """How many packets `newer` lies after `older`, in -count/2..count/2-1 across the wrap at `count`; 0: there is no wrap."""
    return (newer - older + count // 2) % count - count // 2 if count else newer - older
