"""Sequence numbers of one stream: extended beyond their few bits, and which of the newest were received."""

from __future__ import annotations

from stream.content import Voice, pack_codes
from stream.protection import SEQUENCE_COUNT

REMEMBERED_PACKETS = 64  # to tell a duplicate from a late packet


def sequence_difference(newer: int, older: int, count: int = SEQUENCE_COUNT) -> int:
    """How many packets `newer` lies after `older`, in -count/2..count/2-1 across the wrap at `count`; 0: there is no wrap."""
    return (newer - older + count // 2) % count - count // 2 if count else newer - older


class Numbering:
    """The numbers of the stream that a receiver follows."""

    def __init__(self, count: int):
        """Numbers begin again at `count`; 0: never."""
        self._count = count
        self.newest = 0  # extended
        self._received: dict[int, bytes] = {}  # codes by extended number

    @property
    def wraps(self) -> bool:
        """Whether numbers come again."""
        return self._count > 0

    def start(self, sequence: int) -> None:
        """Follow another stream, or the same one anew, from a packet of this number on."""
        self.newest = sequence
        self._received.clear()

    def extend(self, sequence: int) -> int:
        """The number nearest to the newest, without the wrap."""
        return self.newest + sequence_difference(sequence, self.newest, self._count)

    def received(self, number: int) -> bool:
        """Whether the packet of an extended number was received lately."""
        return number in self._received

    def contradicts(self, number: int, voice: Voice) -> bool:
        """Whether another packet was received lately under this number: then they are of two transmissions."""
        return self._received.get(number, pack_codes(voice.codes)) != pack_codes(voice.codes)

    def begins_anew(self, voice: Voice, silent: bool) -> bool:
        """Whether a packet with an old number may be of a sender that was started anew and drew the same stream number.

        silent: whether nothing was accepted for the time of a packet.
        """
        number = self.extend(voice.sequence)
        if number > self.newest or not self.wraps:  # without a wrap no number comes again
            return False
        return silent or self.contradicts(number, voice)

    def note(self, number: int, voice: Voice) -> None:
        """A packet was received."""
        self.newest = max(self.newest, number)
        for old in [old for old in self._received if old <= self.newest - REMEMBERED_PACKETS]:
            del self._received[old]
        self._received[number] = pack_codes(voice.codes)
