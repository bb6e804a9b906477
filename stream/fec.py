"""Reed-Solomon inside a packet: P parity bytes repair up to P // 2 wrong bytes anywhere in it.

The code is the shortened RS(255, 255 - P) over GF(2^8) with polynomial 0x11D, generator 2 and first root 2^0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import reedsolo


@dataclass(frozen=True)
class Correction:
    """A repaired codeword without its parity, and how many bytes were wrong."""

    data: bytes
    corrected_bytes: int


@lru_cache
def _code(parity_bytes: int) -> reedsolo.RSCodec:
    return reedsolo.RSCodec(parity_bytes)


def parity(data: bytes, parity_bytes: int) -> bytes:
    """Parity bytes of `data`; the codeword is `data + parity`."""
    return bytes(_code(parity_bytes).encode(data)[len(data) :])


def correct(codeword: bytes, parity_bytes: int) -> Correction | None:
    """Repair a codeword, or None when it has more errors than that."""
    try:
        data, _, wrong = _code(parity_bytes).decode(codeword)
    except reedsolo.ReedSolomonError:
        return None
    return Correction(bytes(data), len(wrong))
