"""Why a receiver hears nothing although packets come: what they are, what it expects, and which option cures it. Pure.

Both ends are told protection, model and key, and no packet says them; but undamaged packets betray them. Their size and
Reed-Solomon parity tell profile, repetition and kind of check. A CRC covers the decoder and the protection; being linear it
tells, the same with every packet of a link, which decoder it was made for under a protection that is assumed. The protection
under which that is our own decoder is the sender's; if there is none, the sender has another model.
"""

from __future__ import annotations

import binascii
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

from stream.fec import correct
from stream.packet import PROTOCOL_VERSION, Framing
from stream.profile import CRC_BYTES, HEADER_BYTES, PROFILES, Profile
from stream.protection import LARGEST_BLOCK, LARGEST_REPEAT, MOST_REPAIRS, Protection
from stream.seal import TAG_BYTES

SUSPICIOUS = 3  # packets refused in a row, all of one kind
HOPELESS = 8  # refused before any was heard, whatever they are
VOICE_OR_REPAIR = 2  # packet types below this are for one decoder and protection


@dataclass(frozen=True)
class Kind:
    """What an undamaged packet is by its size and parity."""

    profile: Profile
    repeated: bool
    check_bytes: int  # of CRC or tag

    @property
    def sealed(self) -> bool:
        return self.check_bytes in TAG_BYTES

    @property
    def packet_bytes(self) -> int:
        codes = self.profile.code_bytes * (2 if self.repeated else 1)
        return HEADER_BYTES + codes + self.check_bytes + self.profile.parity_bytes


KINDS = [
    Kind(profile, repeated, check)
    for profile in PROFILES.values()
    for repeated in (False, True)
    for check in (CRC_BYTES, *TAG_BYTES)
]


def kinds_of(packet: bytes) -> list[Kind]:
    """What an undamaged packet can be; nothing for a damaged one."""
    found = []
    for kind in KINDS:
        if kind.packet_bytes == len(packet):
            correction = correct(packet, kind.profile.parity_bytes)
            if correction is not None and not correction.corrected_bytes:
                found.append(kind)
    most = max((kind.profile.parity_bytes for kind in found), default=0)  # its words are words of smaller codes, too
    return [kind for kind in found if kind.profile.parity_bytes == most]


@lru_cache
def _decoders_by_crc(size: int) -> dict[int, int]:
    """Decoder ids by what they change in a CRC that `size` bytes follow."""
    changes = {0: 0}
    nothing = binascii.crc_hqx(bytes(2 + size), 0)
    for bit in range(16):
        change = binascii.crc_hqx((1 << bit).to_bytes(2, "big") + bytes(size), 0) ^ nothing
        changes |= {known ^ change: decoder | 1 << bit for known, decoder in changes.items()}
    return changes


def decoder_of(packet: bytes, kind: Kind, protection: Protection) -> int | None:
    """The decoder that an open packet's CRC was made for, if its link had this protection."""
    data = packet[: -kind.profile.parity_bytes]
    rest = protection.context() + data[:-CRC_BYTES]
    start = bytes([PROTOCOL_VERSION, kind.profile.number, 0, 0])
    change = binascii.crc_hqx(start + rest, 0xFFFF) ^ int.from_bytes(data[-CRC_BYTES:], "big")
    return _decoders_by_crc(len(rest)).get(change)


def protections(repeated: bool) -> list[Protection]:
    """All that a link with packets of that size may have, the plainest first."""
    if repeated:
        return [Protection(repeat=distance) for distance in range(1, LARGEST_REPEAT + 1)]
    blocks = [(block, repairs) for repairs in range(1, MOST_REPAIRS + 1) for block in range(repairs, LARGEST_BLOCK + 1)]
    return [Protection(), *(Protection(*each) for each in blocks)]


class Deafness:
    """Watches what a receiver refuses, and speaks up once when it is deaf to what comes."""

    def __init__(self, framing: Framing, model: str):
        """`framing` and `model`: what the receiver expects."""
        self._framing, self._model = framing, model
        self._refused: deque[bytes] = deque(maxlen=SUSPICIOUS)
        self._in_a_row = 0
        self._heard = self._said = False

    def heard(self) -> None:
        """A packet was read."""
        self._heard, self._said, self._in_a_row = True, False, 0
        self._refused.clear()

    def refused(self, packet: bytes, forged: bool) -> str | None:
        """A packet was refused, `forged` by its tag; returns the line that says why, once."""
        self._in_a_row += 1
        self._refused.append(packet)
        if self._said or self._in_a_row < SUSPICIOUS:
            return None
        line = self._diagnosis(forged)
        if line is None and not self._heard and self._in_a_row >= HOPELESS:
            line = (
                f"{self._in_a_row} packets came, the newest of {len(packet)} bytes, and none is one of this link: damaged beyond "
                "repair, or not from clari-tx; check --repair, --repeat, --key-file and --tag-bytes at both ends"
            )
        self._said = line is not None
        return line

    def _diagnosis(self, forged: bool) -> str | None:
        """What all of the newest packets are, if they are undamaged and of one kind."""
        ours = self._framing
        for kind in kinds_of(self._refused[-1]):
            if any(kind not in kinds_of(packet) for packet in self._refused):
                continue
            what = f"{kind.profile.name} packets of {kind.packet_bytes} bytes arrive"
            if kind.sealed and ours.seal is None:
                tag = f" and --tag-bytes {kind.check_bytes}" if kind.check_bytes != TAG_BYTES[0] else ""
                return f"sealed {what}, and no key is given; add --key-file FILE{tag}, a copy of the sender's"
            if kind.sealed and forged:
                return (
                    f"{what} that are sealed with another key, or for another model or protection; give the sender's --key-file, "
                    "--model, --repair or --repeat"
                )
            if kind.sealed:
                return f"sealed {what}, of another size than is expected; give the --tag-bytes and --repeat of the sender"
            if line := self._open(kind, what):
                return line
        return None

    def _open(self, kind: Kind, what: str) -> str | None:
        """What open packets of one kind are made for, if they agree."""
        ours = self._framing
        packets = [packet for packet in self._refused if packet[0] >> 6 < VOICE_OR_REPAIR]
        possible = protections(kind.repeated)
        assumed = ours.protection if ours.protection in possible else possible[0]
        decoders = {decoder_of(packet, kind, assumed) for packet in packets}
        if len(packets) < 2 or len(decoders) > 1:
            return None
        if ours.seal is not None:
            return f"{what} that are not sealed, and a key hears sealed ones alone; send with --key-file, or leave it out here"
        for protection in possible:
            if decoder_of(packets[0], kind, protection) == ours.decoder_id:
                cure = f"--{protection}" if protection != Protection() else f"no --{str(ours.protection).split()[0]}"
                return f"{what} with protection {protection}, and protection {ours.protection} is expected; give {cure}"
        return (
            f"{what} for decoder {decoders.pop() or 0:04x} if protection {assumed} is theirs, and {self._model} has decoder "
            f"{ours.decoder_id:04x}; give the sender's --model, and --repair or --repeat as there"
        )
