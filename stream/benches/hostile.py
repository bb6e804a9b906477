"""Packets that nobody should hear: random, damaged, forged, replayed and cut ones, made from genuine ones.

What the check has to catch is made to pass everything before it: with right Reed-Solomon parity, or with so many errors
that Reed-Solomon may take the packet for another one.
"""

from __future__ import annotations

import math

import numpy as np

from stream.fec import parity
from stream.profile import Profile

MOST_FLIPS = 40


def with_parity(data: bytes, profile: Profile) -> bytes:
    return data + parity(data, profile.parity_bytes)


def random_bytes(rng: np.random.Generator, genuine: bytes, profile: Profile) -> bytes:
    return rng.bytes(len(genuine))


def random_with_parity(rng: np.random.Generator, genuine: bytes, profile: Profile) -> bytes:
    return with_parity(rng.bytes(len(genuine) - profile.parity_bytes), profile)


def body_with_parity(rng: np.random.Generator, genuine: bytes, profile: Profile) -> bytes:
    """A genuine header, and all that follows made up."""
    return with_parity(genuine[:2] + rng.bytes(len(genuine) - profile.parity_bytes - 2), profile)


def byte_with_parity(rng: np.random.Generator, genuine: bytes, profile: Profile) -> bytes:
    """One byte of a genuine packet changed."""
    data = bytearray(genuine[: -profile.parity_bytes])
    data[int(rng.integers(len(data)))] ^= int(rng.integers(1, 256))
    return with_parity(bytes(data), profile)


def flipped_bits(rng: np.random.Generator, genuine: bytes, profile: Profile) -> bytes:
    """1 to 40 bits of a genuine packet flipped, its parity among them."""
    flips = rng.choice(8 * len(genuine), int(rng.integers(1, MOST_FLIPS + 1)), replace=False)
    data = int.from_bytes(genuine)
    for flip in flips:
        data ^= 1 << int(flip)
    return data.to_bytes(len(genuine))


def truncated(rng: np.random.Generator, genuine: bytes, profile: Profile) -> bytes:
    return genuine[: int(rng.integers(len(genuine)))]


def decodable_share(size: int, parity_bytes: int) -> float:
    """Share of all words of that size that lie near enough to a codeword for Reed-Solomon to take them for it."""
    near = sum(math.comb(size, errors) * 255**errors for errors in range(parity_bytes // 2 + 1))
    return float(near / 256**parity_bytes)
