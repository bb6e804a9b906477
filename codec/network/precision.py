"""The precision that ships: large matrices in 8 bits per weight, everything else in float16.

Each row of a matrix has a step of its own, its weights are -127 to 127 steps. A step has four significant bits, a count seven:
their product has at most the eleven of float16, so that one float16 file holds both kinds exactly, and whoever reads such a file
can tell which rows lie on a grid. What float16 holds exactly was rounded before and stays as it is: a frozen decoder keeps its id.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

LARGEST_COUNT = 127
STEP_BITS = 4
SMALLEST_STEP = 2.0**-20  # its products are still whole multiples of float16's smallest number
CANDIDATES = 6  # steps that can have given a row its largest weight: the rounded maximum is at most two below the true one


def _step_of(largest: np.ndarray) -> np.ndarray:
    """The smallest step of four significant bits that reaches each row's largest weight: [R] -> [R]."""
    mantissa, exponent = np.frexp(np.maximum(largest / LARGEST_COUNT, SMALLEST_STEP))
    return np.ldexp(np.ceil(mantissa * 2**STEP_BITS), exponent - STEP_BITS)


def grid_of(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The counts int8 [R, C] and steps float32 [R, 1] whose products are exactly the float32 matrix [R, C], if there are such."""
    rows = matrix.astype(np.float64)
    counts, steps = np.zeros_like(rows), np.ones(len(rows))
    open_rows = np.abs(rows).max(axis=1) > 0
    step = _step_of(np.abs(rows).max(axis=1))
    for _ in range(CANDIDATES):
        whole = np.rint(rows / step[:, None])
        found = open_rows & (whole * step[:, None] == rows).all(axis=1) & (np.abs(whole).max(axis=1) <= LARGEST_COUNT)
        counts[found], steps[found] = whole[found], step[found]
        open_rows &= ~found
        if not open_rows.any():
            return counts.astype(np.int8), steps[:, None].astype(np.float32)
        step = _step_of(step * LARGEST_COUNT * (1 + 2.0**-STEP_BITS / 2))
    return None


def halved(values: np.ndarray) -> np.ndarray | None:
    """The float16 values that are exactly the float32 ones, if there are such."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), values) else None


def to_grid(matrix: np.ndarray) -> np.ndarray:
    """The float32 matrix [R, C] with each row on its nearest grid; one that float16 holds exactly is returned as it is."""
    if halved(matrix) is not None:
        return matrix
    step = _step_of(np.abs(matrix).max(axis=1).astype(np.float64))[:, None]
    return (np.rint(matrix / step) * step).astype(np.float32)


@torch.no_grad()
def round_to_shipped(network: nn.Module, matrices: set[str]) -> None:
    """Round every parameter to what ships: those named in `matrices` to a grid, all others to float16."""
    for name, parameter in network.named_parameters():
        rounded = parameter.half().float()
        if name in matrices:
            rounded = torch.from_numpy(to_grid(parameter.float().numpy()))
        parameter.copy_(rounded)
