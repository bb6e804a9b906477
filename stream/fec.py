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


def parity(data: bytes, parity_bytes: int) -> bytes:
    """Parity bytes of `data`; the codeword is `data + parity`."""
    return bytes(_code(parity_bytes).encode(data)[len(data) :])


def correct(codeword: bytes, parity_bytes: int, erased: Sequence[int] = ()) -> Correction | None:
    """Repair a codeword whose bytes at the places `erased` are not to be trusted, or None when more is wrong."""
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
    columns = [_code(repairs).encode(bytes(column))[len(parts) :] for column in zip(*parts, strict=True)]
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
