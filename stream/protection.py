"""Protection against lost packets: what both ends of a link agreed on, and what it costs.

    --repair K+R    after K voice packets follow R repair packets; any R of the K + R may be lost
    --repeat D      every packet carries, besides its own codes, those of the packet D before it

Neither is announced in a packet: both ends are told, and the checksum of every packet covers it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from stream.errors import UsageError

SEQUENCE_COUNT = 1024  # values of the sequence field
LARGEST_BLOCK = 32
MOST_REPAIRS = 4  # with more, sequence numbers would be used again too soon
LARGEST_REPEAT = 16


@dataclass(frozen=True)
class Protection:
    """Repair packets, or repeated codes, or neither (the default).

    Raises:
        UsageError: values that do not fit.
    """

    block: int = 0  # K, voice packets in a block
    repairs: int = 0  # R, repair packets after them
    repeat: int = 0  # D, packets between codes and their repetition

    def __post_init__(self) -> None:
        if self.block or self.repairs:
            if self.repeat:
                raise UsageError("--repair and --repeat cannot be combined; choose one")
            if not 1 <= self.repairs <= min(self.block, MOST_REPAIRS) or self.block > LARGEST_BLOCK:
                raise UsageError(
                    f"--repair {self.block}+{self.repairs} is not possible; give K+R with K up to {LARGEST_BLOCK} and R from 1 to "
                    f"{MOST_REPAIRS}, not more than K, like 8+2 or 4+1"
                )
        if not 0 <= self.repeat <= LARGEST_REPEAT:
            raise UsageError(f"--repeat {self.repeat} is not possible; give 1 to {LARGEST_REPEAT} packets")

    @classmethod
    def parse(cls, repair: str | None, repeat: int | None) -> Protection:
        """From the options' text.

        Raises:
            UsageError: it is not `K+R`, or the values do not fit.
        """
        if repeat is not None and not 1 <= repeat <= LARGEST_REPEAT:
            raise UsageError(f"--repeat {repeat} is not possible; give 1 to {LARGEST_REPEAT} packets")
        if repair is None:
            return cls(repeat=repeat or 0)
        numbers = re.fullmatch(r"(\d{1,3})\+(\d{1,3})", repair)
        if not numbers:
            raise UsageError(f"--repair {repair!r} is not K+R; write it like 8+2 or 4+1")
        block, repairs = int(numbers[1]), int(numbers[2])
        if not block:
            raise UsageError("--repair needs at least one packet in a block; write it like 8+2 or 4+1")
        return cls(block, repairs, repeat or 0)

    @property
    def sequence_count(self) -> int:
        """Voice packets are numbered modulo this: whole blocks, and R times as many numbers fit into the field."""
        return SEQUENCE_COUNT // self.repairs // self.block * self.block if self.block else SEQUENCE_COUNT

    @property
    def packets_per_voice(self) -> float:
        """Packets sent for each voice packet, in full blocks."""
        return (self.block + self.repairs) / self.block if self.block else 1.0

    def delay_s(self, packet_s: float) -> float:
        """What playout has to wait for the last packet that can help, on a link that carries the rate and no more.

        packet_s: seconds of speech in a packet.
        """
        if self.block:
            return (self.block - 1) * packet_s + self.repairs * packet_s / self.packets_per_voice
        return self.repeat * packet_s

    def context(self) -> bytes:
        """What enters the checksum of every packet; nothing for an unprotected link."""
        return struct.pack(">BBB", self.block, self.repairs, self.repeat) if self.block or self.repeat else b""

    def survives(self) -> str:
        """The losses that cost no speech, in words."""
        if self.block:
            return f"any {self.repairs} of {self.block + self.repairs} packets"
        if self.repeat:
            return f"bursts of {self.repeat}, if the next {self.repeat} arrive"
        return "none"

    def __str__(self) -> str:
        if self.block:
            return f"repair {self.block}+{self.repairs}"
        return f"repeat {self.repeat}" if self.repeat else "none"
