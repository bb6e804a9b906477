"""Cutting a stream of bytes into packets that find themselves again: bytes may be lost, inserted, or come before the first one.

Packets lie back to back and nothing marks where one begins, so that one byte too few would shift all that follow. Each has a
check of its own, though: where the next one is not, it is looked for, first at the places that a damaged packet would leave
it at, then beside them, then wherever the parity is right. Pure: bytes in, packets out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stream.fec import clean_places
from stream.packet import Framing, PacketError, ReplayedPacketError
from stream.profile import Profile

SLACK_BYTES = 4  # a packet may begin so much before its place: bytes missing from the end of the last one were repaired there
AHEAD_PACKETS = 3  # so many have to be there before one is given up that cannot be repaired where it should be
MOST_TRIES = 2000  # to repair at an unlikely place, until a packet is found; parity that is right costs none
MOST_MENDED_BYTES = 2  # inserted into one packet, that are taken out again one by one


@dataclass
class Tries:
    """How much may still be tried before the search is left to clean packets alone."""

    left: int = MOST_TRIES

    def spend(self) -> bool:
        """Take one; False if there is none."""
        self.left -= 1
        return self.left >= 0


def holds_packet(framing: Framing, data: bytes) -> bool:
    """Whether these bytes are a packet of the link, whole or repairable, new or not."""
    try:
        framing.parse(data, heard=False)
    except ReplayedPacketError:
        return True
    except PacketError:
        return False
    return True


def first_clean(framing: Framing, profile: Profile, data: bytes) -> int | None:
    """Where the first packet without a wrong byte begins, at any byte of `data`; None without any."""
    size, former = framing.packet_bytes(profile), b""
    for place in clean_places(data, size, profile.parity_bytes):
        packet = data[place : place + size]
        if packet != former and holds_packet(framing, packet):
            return place
        former = packet  # a megabyte of zeros has the right parity at each of its bytes
    return None


class PacketCutter:
    """One stream of packets of one profile."""

    def __init__(self, framing: Framing, profile: Profile):
        self._framing, self._profile = framing, profile
        self._size = framing.packet_bytes(profile)
        self._data = b""
        self._past = 0  # bytes of it that belong to the packet before
        self._tries = Tries()
        self.found = 0  # packets

    def feed(self, data: bytes, last: bool = False) -> Iterator[bytes]:
        """Take more bytes; gives packets, and in pieces of at most their size what is none.

        last: nothing follows, so that nothing is waited for.
        """
        self._data += data
        while self._left >= self._size:
            packet = self._data[self._past : self._past + self._size]
            if self._holds(self._past):
                yield self._accept(packet)
                continue
            # A packet that is only damaged has its successor where it belongs.
            if self._left >= 2 * self._size and self._tries.spend() and self._holds(self._past + self._size):
                self._advance(self._size)
                yield packet
                continue
            if self._left < AHEAD_PACKETS * self._size and not last:
                return
            yield from self._search(last)
        if last and self._left:
            yield self._advance(self._left)

    @property
    def _left(self) -> int:
        return len(self._data) - self._past

    def _holds(self, place: int) -> bool:
        data = self._data[place : place + self._size] if place >= 0 else b""
        return len(data) == self._size and holds_packet(self._framing, data)

    def _accept(self, packet: bytes) -> bytes:
        self._tries = Tries()
        self.found += 1
        self._advance(self._size)
        return packet

    def _advance(self, count: int) -> bytes:
        """Leave bytes behind; returns them."""
        gone = self._data[self._past : self._past + count]
        start = max(0, self._past + count - SLACK_BYTES)
        self._data, self._past = self._data[start:], self._past + count - start
        return gone

    def _search(self, last: bool) -> Iterator[bytes]:
        """Go on to the next packet, or past what holds none."""
        begin, size = max(0, self._past - SLACK_BYTES), self._size
        clean = first_clean(self._framing, self._profile, self._data[begin:])
        end = len(self._data) - size + 1 if clean is None else begin + clean
        found = self._near(begin, end)
        if found is None and clean is not None:
            found = end
        if found is None:
            # What is left may be the beginning of a packet that ends in the next bytes.
            whole = self._left if last else self._left - (AHEAD_PACKETS - 1) * size
            yield from self._pieces(whole)
            return
        while found - size >= begin and self._tries.spend() and self._holds(found - size):
            found -= size
        if found <= self._past:
            self._past = found  # it begins within the packet before
            return
        lost = self._advance(found - self._past)
        mended = self._mend(lost)
        text = lost.replace(b"\r\n", b"\n")  # several packets in a row of which each has a line feed
        if mended is not None:
            self.found += 1
            yield mended
        elif len(text) < len(lost) and len(text) % size == 0 and holds_packet(self._framing, text[:size]):
            yield from (text[start : start + size] for start in range(0, len(text), size))
        elif 2 * len(lost) >= size:  # fewer bytes were inserted between two packets
            yield from (lost[start : start + size] for start in range(0, len(lost), size))

    def _near(self, begin: int, end: int) -> int | None:
        """The first place before `end`, near where a packet should be, at which one is that can be repaired."""
        grid = range(self._past + self._size, end, self._size)
        for places in (grid[:AHEAD_PACKETS], range(begin, min(end, self._past + 2 * self._size))):
            for place in places:
                if not self._tries.spend():
                    return None
                if self._holds(place):
                    return place
        return None

    def _pieces(self, count: int) -> Iterator[bytes]:
        for start in range(0, max(1, count), self._size):
            piece = self._advance(min(self._size, count - start))
            if piece:
                yield piece

    def _mend(self, piece: bytes) -> bytes | None:
        """The packet of which some bytes were lost or inserted, if it can be told."""
        surplus = len(piece) - self._size
        candidates: Iterator[bytes] = iter(())
        if 0 < surplus <= self._size:
            candidates = _without(piece, surplus)
        elif surplus == -1:  # a wrong byte in its place is repaired like any other
            candidates = (piece[:place] + b"\0" + piece[place:] for place in range(len(piece) + 1))
        for candidate in candidates:
            if len(candidate) == self._size and self._tries.spend() and holds_packet(self._framing, candidate):
                return candidate
        return None


def _without(piece: bytes, surplus: int) -> Iterator[bytes]:
    """A packet without what may have been inserted: a carriage return before each line feed, or any byte or two in a row."""
    text = piece.replace(b"\r\n", b"\n")
    size = len(piece) - surplus
    yield text[-size:]  # bytes of the packet before may be in front: what was inserted near its end was repaired there
    yield text[:size]
    if surplus <= MOST_MENDED_BYTES:
        for place in range(len(piece) - surplus + 1):
            yield piece[:place] + piece[place + surplus :]


def cut(framing: Framing, profile: Profile, head: bytes, read: Callable[[], bytes]) -> Iterator[bytes]:
    """Cut `head` and what `read` gives, which is empty at the end, into packets; see `PacketCutter.feed`."""
    cutter = PacketCutter(framing, profile)
    yield from cutter.feed(head)
    while more := read():
        yield from cutter.feed(more)
    yield from cutter.feed(b"", last=True)
