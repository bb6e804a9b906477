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

import numpy as np
import reedsolo
from numpy.typing import NDArray


@dataclass(frozen=True)
class Correction:
    """A repaired codeword without its parity, and how many of all its bytes and bits were wrong."""

    data: bytes
    corrected_bytes: int
    corrected_bits: int


@lru_cache
def _code(parity_bytes: int) -> reedsolo.RSCodec:
    return reedsolo.RSCodec(parity_bytes)


@lru_cache(maxsize=2048)
def _values(followers: int, parity_bytes: int) -> list[int]:
    """The parity of each of the 256 values of a byte that `followers` bytes follow, the others zero.

    Parity is linear over bits: that of any data is the exclusive or of one entry per byte. The library makes the entries of
    single bits; campaigns send millions of packets.
    """
    values = [0]
    for bit in range(8):
        one = int.from_bytes(_code(parity_bytes).encode(bytes([1 << bit]) + bytes(followers))[followers + 1 :], "big")
        values += [value ^ one for value in values]
    return values


@lru_cache
def _parities(size: int, parity_bytes: int) -> list[list[int]]:
    """`_values` of each of `size` bytes. Zeros in front change nothing, so that all sizes share them: whoever sends packets
    of every size costs a receiver a few megabytes, not one table for each."""
    return [_values(followers, parity_bytes) for followers in reversed(range(size))]


def parity(data: bytes, parity_bytes: int) -> bytes:
    """Parity bytes of `data`; the codeword is `data + parity`."""
    word = 0
    for values, byte in zip(_parities(len(data), parity_bytes), data, strict=True):
        word ^= values[byte]
    return word.to_bytes(parity_bytes, "big")


@lru_cache(maxsize=16)
def _lookup(size: int, parity_bytes: int) -> NDArray[np.uint64]:
    """`_parities` [size, 256] as numbers; of more than eight bytes the last eight."""
    mask = (1 << 64) - 1
    return np.array([[value & mask for value in values] for values in _parities(size, parity_bytes)], np.uint64)


def clean_places(data: bytes, size: int, parity_bytes: int) -> list[int]:
    """Where in `data`, at any byte, a codeword of `size` bytes begins whose parity is right.

    All places at once: a byte takes some ten nanoseconds for each byte of a codeword, where `correct` takes a hundred thousand.
    """
    count = len(data) - size + 1
    if count < 1:
        return []
    values = np.frombuffer(data, np.uint8)
    told = np.zeros(count, np.uint64)
    for place in range(max(size - parity_bytes, size - 8), size):
        told = told << np.uint64(8) | values[place : place + count]
    for place, table in enumerate(_lookup(size - parity_bytes, parity_bytes)):
        told ^= table[values[place : place + count]]
    return [int(place) for place in np.flatnonzero(told == 0)]


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


@lru_cache(maxsize=256)
def _products(factor: int) -> bytes:
    """`factor` times each of the 256 values, as a table for `bytes.translate`."""
    _code(1)  # sets the library's field
    values = [0]
    for bit in range(8):
        one = reedsolo.gf_mul(factor, 1 << bit)
        values += [value ^ one for value in values]
    return bytes(values)


def _combine(parts: Sequence[bytes], factors: Sequence[int]) -> bytes:
    """The sum of `factors` times parts, all their bytes at once."""
    total = 0
    for part, factor in zip(parts, factors, strict=True):
        total ^= int.from_bytes(part.translate(_products(factor)), "big")
    return total.to_bytes(len(parts[0]), "big")


@lru_cache(maxsize=1024)
def _factors(count: int, repairs: int, unknown: tuple[int, ...]) -> dict[int, list[int]]:
    """What the `count` other places of a block count in each of the `repairs` unknown ones.

    The code is linear: the library decodes a one in every known place, once for each pattern, and not each byte of each part.
    """
    answers = []
    for place in sorted({*range(count + repairs)} - {*unknown}):
        one = bytearray(count + repairs)
        one[place] = 1
        answers.append(_code(repairs).decode(one, erase_pos=list(unknown), only_erasures=True)[1])
    return {place: [answer[place] for answer in answers] for place in unknown}


def repair_parts(parts: Sequence[bytes], repairs: int) -> list[bytes]:
    """`repairs` further parts, from which and from the others any `repairs` lost ones can be restored.

    parts: of equal size, in the order of their sequence.
    """
    count = len(parts)
    return [_combine(parts, factors) for factors in _factors(count, repairs, tuple(range(count, count + repairs))).values()]


def restore_parts(received: Mapping[int, bytes], count: int, repairs: int) -> dict[int, bytes] | None:
    """The lost ones of `count` parts, by their place, or None when too few have arrived or they contradict each other.

    received: parts of equal size by place; 0..count-1 are parts, count..count+repairs-1 what `repair_parts` made of them.
    """
    missing = [place for place in range(count + repairs) if place not in received]
    if len(missing) > repairs:
        return None
    spare = sorted(received)[count:]  # more than are needed: what the others say of them has to be true
    unknown = sorted([*missing, *spare])
    known = [received[place] for place in range(count + repairs) if place not in unknown]
    found = {place: _combine(known, factors) for place, factors in _factors(count, repairs, tuple(unknown)).items()}
    if any(found[place] != received[place] for place in spare):
        return None
    return {place: found[place] for place in missing if place < count}
