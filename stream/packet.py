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
from functools import cached_property

from stream.content import Content, Control, Epoch, Repair, Voice, pack_codes, unpack_codes
from stream.fec import correct, parity
from stream.frame import CODE_DIMENSIONS
from stream.profile import CRC_BYTES, HEADER_BYTES, PROFILES, Profile, on_air_bps, packet_bytes
from stream.protection import SEQUENCE_COUNT, Protection
from stream.seal import ForgedError, Opener, ReplayedError, Sealer

PROTOCOL_VERSION = 1
TYPE_VOICE, TYPE_REPAIR, TYPE_CONTROL, TYPE_EPOCH = 0, 1, 2, 3
EPOCH_BYTES = 8
STREAM_COUNT = 8


class PacketError(ValueError):
    """Bytes that are no packet of this link: too many errors, another decoder, or not ours at all."""


class ForgedPacketError(PacketError):
    """A packet of a sealed link whose tag is wrong."""


class ReplayedPacketError(PacketError):
    """An authentic packet of a sealed link that was heard before."""


def packet_type(packet: bytes) -> int:
    """The type of a packet that `Framing.build` made."""
    return packet[0] >> 6


def _checksum(data: bytes) -> bytes:
    """CRC-16: polynomial 0x1021, initial 0xFFFF, not reflected."""
    return struct.pack(">H", binascii.crc_hqx(data, 0xFFFF))


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
        return self._profiles.get(size)

    @cached_property
    def _profiles(self) -> dict[int, Profile]:
        """Profiles by the size of their packets; asked for with every packet."""
        return {self.packet_bytes(profile): profile for profile in PROFILES.values()}

    def build(self, content: Content, profile: Profile) -> bytes:
        """The bytes of one packet. On a sealed link the stream is that of the key epoch, and packets are built in their order.

        Raises:
            ValueError: the codes are not those of the profile.
            FileError: on a sealed link, a new key epoch cannot be kept.
        """
        kind, end, number, body = self._write(content, profile)
        stream = epoch = self.seal.epoch_for(kind, number) if isinstance(self.seal, Sealer) else content.stream
        return self.assemble(kind << 14 | end << 13 | stream % STREAM_COUNT << 10 | number, body, profile, epoch)

    def assemble(self, header: int, body: bytes, profile: Profile, epoch: int = 0) -> bytes:
        """Header, body, check and parity, whatever header and body say; `build` is for those that mean something."""
        kind, number = header >> 14, header & (SEQUENCE_COUNT - 1)
        start = struct.pack(">H", header)
        context = self._context(profile, kind) + start
        if not isinstance(self.seal, Sealer):
            data = start + body + _checksum(context + body)
        elif kind == TYPE_EPOCH:
            clear = struct.pack(">Q", epoch).ljust(len(body), b"\0")
            data = start + clear + self.seal.seal(kind, epoch, number, b"", context + clear)
        else:
            data = start + self.seal.seal(kind, epoch, number, body, context)
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
