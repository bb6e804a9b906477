"""Reed-Solomon, twice: inside a packet against wrong bytes, across the packets of a block against lost packets.

Both use GF(2^8) with polynomial 0x11D, generator 2 and first root 2^0 (Reed and Solomon, Polynomial codes over certain
finite fields, 1960). Inside a packet P parity bytes repair E wrong bytes at unknown places and U at known ones while
2 E + U <= P. Across packets the code runs through the same byte of every packet of a block, systematic, parity last:
R parity packets bring back any R lost ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import reedsolo


@dataclass(frozen=True)
class Correction:
    """A repaired codeword without its parity, and how many of all its bytes and bits were wrong."""

    data: bytes
    corrected_bytes: int
    corrected_bits: int


@lru_cache
def _code(parity_bytes: int) -> reedsolo.RSCodec:
    return reedsolo.RSCodec(parity_bytes)


@lru_cache
def _parities(size: int, parity_bytes: int) -> list[list[int]]:
    """The parity of each of the 256 values of each of `size` bytes, the others zero.

    Parity is linear over bits: that of any data is the exclusive or of one entry per byte. The library makes the entries of
    single bits; campaigns send millions of packets.
    """
    tables = []
    for place in range(size):
        values = [0]
        for bit in range(8):
            unit = bytearray(size)
            unit[place] = 1 << bit
            one = int.from_bytes(_code(parity_bytes).encode(unit)[size:], "big")
            values += [value ^ one for value in values]
        tables.append(values)
    return tables


def parity(data: bytes, parity_bytes: int) -> bytes:
    """Parity bytes of `data`; the codeword is `data + parity`."""
    word = 0
    for values, byte in zip(_parities(len(data), parity_bytes), data, strict=True):
        word ^= values[byte]
    return word.to_bytes(parity_bytes, "big")


def correct(codeword: bytes, parity_bytes: int, erased: Sequence[int] = ()) -> Correction | None:
    """Repair a codeword whose bytes at the places `erased` are not to be trusted, or None when more is wrong."""
    if parity(codeword[:-parity_bytes], parity_bytes) == codeword[-parity_bytes:]:
        return Correction(codeword[:-parity_bytes], 0, 0)
    try:
        data, whole, _ = _code(parity_bytes).decode(codeword, erase_pos=list(erased))
    except reedsolo.ReedSolomonError:
        return None
    wrong = [repaired ^ received for repaired, received in zip(whole, codeword, strict=True)]
    return Correction(bytes(data), sum(each > 0 for each in wrong), sum(each.bit_count() for each in wrong))


def repair_parts(parts: Sequence[bytes], repairs: int) -> list[bytes]:
    """`repairs` further parts, from which and from the others any `repairs` lost ones can be restored.

    parts: of equal size, in the order of their sequence.
    """
    columns = [parity(bytes(column), repairs) for column in zip(*parts, strict=True)]
    return [bytes(row) for row in zip(*columns, strict=True)]


def restore_parts(received: Mapping[int, bytes], count: int, repairs: int) -> dict[int, bytes] | None:
    """The lost ones of `count` parts, by their place, or None when too few have arrived or they contradict each other.

    received: parts of equal size by place; 0..count-1 are parts, count..count+repairs-1 what `repair_parts` made of them.
    """
    missing = [place for place in range(count + repairs) if place not in received]
    if len(missing) > repairs:
        return None
    size = len(next(iter(received.values())))
    parts = [received.get(place, bytes(size)) for place in range(count + repairs)]
    columns = []
    try:
        for column in zip(*parts, strict=True):
            columns.append(_code(repairs).decode(bytes(column), erase_pos=missing, only_erasures=True)[0])
    except reedsolo.ReedSolomonError:
        return None
    return {place: bytes(column[place] for column in columns) for place in missing if place < count}
