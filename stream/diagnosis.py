"""What bytes hold that a receiver could not take: packets of another profile, protection, seal or model, or none at all. Pure.

Reed-Solomon parity does not depend on what both ends agreed on, so that packets without a wrong byte show themselves by it.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream.content import Control
from stream.control import IDENTITY_BYTES
from stream.errors import UsageError
from stream.fec import clean_places
from stream.packet import TYPE_CONTROL, Framing, PacketError
from stream.profile import CRC_BYTES, PROFILES, Profile, packet_bytes
from stream.protection import LARGEST_BLOCK, LARGEST_REPEAT, MOST_REPAIRS, Protection
from stream.seal import TAG_BYTES, Opener

WITNESSES = 8  # packets that have to agree on a protection; one alone fits some of them by chance
REPEATED = Protection(repeat=1)  # any distance has the same size


@dataclass(frozen=True)
class Seen:
    """What lies in some bytes at best."""

    profile: Profile
    protection: Protection | None  # None: not to be told
    check_bytes: int
    packets: list[bytes]
    decoder_id: int | None = None  # of the sender, if one of the packets tells


def look(data: bytes, decoder_id: int) -> Seen | None:
    """The kind of packets of which most lie in `data` at any byte, or None where there are none."""
    best: tuple[Profile, bool, int, list[bytes]] | None = None
    best_score = (0, 0, 0, False)
    for profile in PROFILES.values():
        for repeated in (False, True):
            for check_bytes in (CRC_BYTES, *TAG_BYTES):
                packets = _clean(data, packet_bytes(profile, REPEATED if repeated else Protection(), check_bytes), profile)
                # What has six bytes of parity has four as well; and the plainest explanation is the likeliest.
                score = (len(packets), profile.parity_bytes, -check_bytes, not repeated)
                if packets and score > best_score:
                    best, best_score = (profile, repeated, check_bytes, packets), score
    if best is None:
        return None
    profile, repeated, check_bytes, packets = best
    protection, told = None, None
    if check_bytes == CRC_BYTES:
        identified = _identity(packets, repeated)
        told = identified[0] if identified else None
        protection = _protection(packets, repeated, decoder_id if told is None else told) or (identified[1] if identified else None)
    return Seen(profile, protection, check_bytes, packets, told)


def explain(data: bytes, framing: Framing, more: bool = False) -> str:
    """One line: what was seen in bytes of which a receiver took no voice, and what would help. more: others came after them."""
    size = f"{'the first ' if more else ''}{len(data)} bytes"
    seen = look(data, framing.decoder_id)
    if seen is None:
        return (
            f"no valid packet in {size}, and nothing that looks like one of any profile, protection or model: "
            "no packets, or all of them damaged; give what clari-tx --out wrote"
        )
    ours = framing.seal.tag_bytes if isinstance(framing.seal, Opener) else 0
    what, cure = _differences(seen, framing, ours)
    return f"no valid packet for this model in {size}; {len(seen.packets)} of profile {seen.profile.name}{what} are there: {cure}"


def _differences(seen: Seen, framing: Framing, tag_bytes: int) -> tuple[str, str]:
    """What is told of the packets besides their profile, and the cure."""
    if seen.check_bytes != CRC_BYTES:
        sealed = f", sealed with a tag of {seen.check_bytes} bytes,"
        if not tag_bytes:
            tag = "" if seen.check_bytes == TAG_BYTES[0] else f" and --tag-bytes {seen.check_bytes}"
            return sealed, f"add the sender's --key-file{tag}"
        if tag_bytes != seen.check_bytes:
            return sealed, f"add --tag-bytes {seen.check_bytes}"
        return sealed, "check --key-file, --model, and --repair or --repeat as the sender has them, or name the --profile"
    protected = f", protection {seen.protection}," if seen.protection else ""
    if tag_bytes:
        return f"{protected or ','} not sealed,", "leave out --key-file"
    if seen.decoder_id is not None and seen.decoder_id != framing.decoder_id:
        return f"{protected or ','} for decoder {seen.decoder_id:04x},", "give the sender's --model"
    if seen.protection and seen.protection != framing.protection:
        options = seen.protection
        return protected, f"add --{options}" if options.block or options.repeat else "leave out --repair and --repeat"
    if seen.protection:
        return protected, f"give --profile {seen.profile.name}"
    return "", "check --model, and --repair or --repeat as the sender has it"


def _clean(data: bytes, size: int, profile: Profile) -> list[bytes]:
    """Packets without a wrong byte, one after the other."""
    packets, end = [], 0
    for place in clean_places(data, size, profile.parity_bytes):
        packet = data[place : place + size]
        if place >= end and packet.strip(b"\0"):  # zeros have the right parity, and mean nothing
            packets.append(packet)
            end = place + size
    return packets


def _protection(packets: list[bytes], repeated: bool, decoder_id: int) -> Protection | None:
    """The protection for which the CRC of the voice and repair packets is right."""
    voices = [packet for packet in packets if packet[0] >> 6 < TYPE_CONTROL][:WITNESSES]
    if not voices:
        return None
    candidates = [Protection(repeat=each) for each in range(1, LARGEST_REPEAT + 1)] if repeated else [Protection()]
    if not repeated:
        blocks = range(1, LARGEST_BLOCK + 1)
        candidates += [Protection(block, more) for block in blocks for more in range(1, min(block, MOST_REPAIRS) + 1)]
    for protection in candidates:
        framing = Framing(decoder_id, protection)
        if all(_fits(framing, packet) for packet in voices):
            return protection
    return None


def _fits(framing: Framing, packet: bytes) -> bool:
    try:
        framing.parse(packet)
    except PacketError:
        return False
    return True


def _identity(packets: list[bytes], repeated: bool) -> tuple[int, Protection | None] | None:
    """The decoder, and where there is room the protection, that a control packet names."""
    framing = Framing(0, REPEATED if repeated else Protection())  # control packets are for every receiver
    for packet in packets:
        try:
            content = framing.parse(packet).content if packet[0] >> 6 == TYPE_CONTROL else None
        except PacketError:
            continue
        if isinstance(content, Control) and not content.text:
            agreed = content.body[IDENTITY_BYTES : IDENTITY_BYTES + 3]
            try:
                protection = Protection(*agreed) if len(agreed) == 3 else None
            except UsageError:
                protection = None
            return int.from_bytes(content.body[IDENTITY_BYTES - 2 : IDENTITY_BYTES], "big"), protection
    return None
