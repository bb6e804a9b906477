"""Repair across packets: blocks of voice packets at the sender, and what is lost of them at the receiver.

Pure: a receiver's blocks learn the time as an argument, because sequence numbers come again and what is left of an old
block must not be mixed with a new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.content import Repair, Voice, pack_codes, unpack_codes
from stream.fec import repair_parts, restore_parts
from stream.profile import Profile
from stream.protection import Protection

KEPT_BLOCKS = 4  # the newest; older ones have had their turn
LONGEST_BLOCK_S = 30.0  # beyond its own duration, that packets of one block may lie apart


class BlockBuilder:
    """The sender's side: repair packets for the voice packets that were sent."""

    def __init__(self, protection: Protection):
        self._protection = protection
        self._parts: list[bytes] = []

    def add(self, voice: Voice) -> list[Repair]:
        """Take the next voice packet; returns the repair packets to send after it, once its block is complete."""
        self._parts.append(pack_codes(voice.codes))
        if len(self._parts) < self._protection.block and not voice.end:
            return []
        parts, self._parts = repair_parts(self._parts, self._protection.repairs), []
        return [Repair(voice.stream, voice.sequence, index, voice.end, part) for index, part in enumerate(parts)]


@dataclass
class _Block:
    stream: int
    first: int  # sequence number
    profile: Profile
    changed_s: float
    parts: dict[int, bytes] = field(default_factory=dict)  # of voice packets, by place
    repairs: dict[int, bytes] = field(default_factory=dict)  # by index
    count: int = 0  # voice packets in it, once a repair packet told
    end: bool = False

    def learn(self, held: dict[int, bytes], place: int, part: bytes) -> bool:
        """Keep a part; False if another one is at its place already."""
        return held.setdefault(place, part) == part


class BlockRepair:
    """The receiver's side: voice packets that were lost, once enough of their block has arrived."""

    def __init__(self, protection: Protection):
        self._protection = protection
        self._blocks: list[_Block] = []  # oldest first

    def add(self, now_s: float, content: Voice | Repair, profile: Profile) -> list[Voice]:
        """Take a packet; returns what can be restored now and was not before, oldest first."""
        voice = isinstance(content, Voice)
        last = content.sequence if isinstance(content, Voice) else content.last
        block = self._find(now_s, content.stream, last - last % self._protection.block, profile)
        if isinstance(content, Voice):
            fits = block.learn(block.parts, last - block.first, pack_codes(content.codes))
        else:
            count = last - block.first + 1
            fits = block.count in (0, count) and block.learn(block.repairs, content.index, content.part)
            block.count, block.end = count, content.end
        if not fits:  # two transmissions met in one block: nothing in it can be trusted but what came last
            self._blocks.remove(block)
            return self.add(now_s, content, profile)
        return [] if voice and not block.repairs else self._restore(block)

    def _find(self, now_s: float, stream: int, first: int, profile: Profile) -> _Block:
        lasting_s = self._protection.delay_s(profile.packet_s) + LONGEST_BLOCK_S
        self._blocks = [block for block in self._blocks if now_s - block.changed_s <= lasting_s]
        for block in self._blocks:
            if (block.stream, block.first, block.profile) == (stream, first, profile):
                block.changed_s = now_s
                return block
        self._blocks = [*self._blocks, _Block(stream, first, profile, now_s)][-KEPT_BLOCKS:]
        return self._blocks[-1]

    def _restore(self, block: _Block) -> list[Voice]:
        parts = {place: part for place, part in block.parts.items() if place < block.count}
        if len(parts) < len(block.parts):  # a packet beyond the block's end: the block is of another transmission
            self._blocks.remove(block)
            return []
        if len(parts) == block.count:
            return []
        received = parts | {block.count + index: part for index, part in block.repairs.items()}
        lost = restore_parts(received, block.count, self._protection.repairs)
        if lost is None:
            return []
        block.parts |= lost
        return [
            Voice(block.stream, block.first + place, unpack_codes(part), block.end and place == block.count - 1)
            for place, part in sorted(lost.items())
        ]
