"""How well the quantiser uses its 16 bits: a level that is never sent, or always, carries nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stream.frame import CODE_DIMENSIONS, CODE_LEVELS

DEAD_SHARE = 0.001  # a level sent in fewer than one frame of a thousand is dead
LEAST_COVERAGE = 0.2  # of the joint distribution that the frames must have seen


@dataclass(frozen=True)
class CodeHealth:
    """Use of the code.

    use: share of the frames, per dimension and level.
    entropy_bits: of each dimension; their sum is `marginal_bits`, 16 at most.
    joint_bits: estimated entropy of the whole code of a frame; NaN with too few frames. It is what the dimensions carry
        together, and less than `marginal_bits` by what they repeat of each other.
    coverage: estimated share of the codes (by how often they are sent) that these frames have shown at all.
    dead: dimension and level of each dead level.
    """

    frames: int
    use: list[list[float]]
    entropy_bits: list[float]
    marginal_bits: float
    joint_bits: float
    coverage: float
    dead: list[tuple[int, int]]


def _entropy_bits(shares: np.ndarray) -> float:
    positive = shares[shares > 0]
    return float(-np.sum(positive * np.log2(positive)))


def joint_entropy_bits(counts: np.ndarray) -> tuple[float, float]:
    """Entropy in bits of a distribution of which symbols were seen `counts` [symbols] times, and the coverage.

    Chao and Shen 2003 (Environmental and Ecological Statistics 10): of 65536 codes a few thousand frames show only some,
    and the plain estimate cannot exceed the logarithm of the number of frames. This one scales the shares by the coverage
    (one minus the share of frames whose symbol was seen once) and weighs each by its chance of having been seen. It is
    still a bit or more too low where the coverage is below a half; NaN below LEAST_COVERAGE.
    """
    counts = counts[counts > 0]
    frames = int(counts.sum())
    coverage = 1 - np.sum(counts == 1) / frames if frames else 0.0
    if coverage < LEAST_COVERAGE:
        return float("nan"), float(coverage)
    shares = coverage * counts / frames
    seen = -np.expm1(frames * np.log1p(-np.minimum(shares, 1 - 1e-12)))
    return float(-np.sum(shares * np.log2(shares) / seen)), float(coverage)


def code_health(codes: np.ndarray) -> CodeHealth:
    """Health of codes 0..3 [frames, dimensions]."""
    frames = len(codes)
    counts = np.stack([np.sum(codes == level, axis=0) for level in range(CODE_LEVELS)], axis=1)
    shares = counts / max(frames, 1)
    entropies = [_entropy_bits(row) for row in shares]
    symbols = codes.astype(np.int64) @ CODE_LEVELS ** np.arange(CODE_DIMENSIONS)
    joint_bits, coverage = joint_entropy_bits(np.bincount(symbols, minlength=1))
    dead = [(int(dimension), int(level)) for dimension, level in np.argwhere(shares < DEAD_SHARE)]
    marginal_bits = math.fsum(entropies)
    # Together the dimensions cannot carry more than one by one; an estimate can.
    joint_bits = float(np.minimum(joint_bits, marginal_bits))
    return CodeHealth(frames, shares.tolist(), entropies, marginal_bits, joint_bits, coverage, dead)
