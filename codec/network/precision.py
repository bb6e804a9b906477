"""The precision that ships: large matrices in 8 bits per weight, everything else in float16. Computed in float32 all the same.

Each row of a matrix has a step of its own, its weights are -127 to 127 steps. A step has four significant bits, so that counts
times steps are exact in float32 and whoever reads a matrix can tell whether it lies on a grid. What was rounded once stays as it
is when it is rounded again: a frozen decoder keeps its id.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Floats = NDArray[np.float32]
LARGEST_COUNT = 127
STEP_BITS = 4
SMALLEST_STEP = 2.0**-20
CANDIDATES = 6  # steps that can have given a row its largest weight: the rounded maximum is at most two below the true one
SMALLEST_SIDE = 16  # matrices with fewer rows or columns are small anyway, and often the last before something is heard


def _step_of(largest: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest step of four significant bits that reaches each row's largest weight: [R] -> [R]."""
    mantissa, exponent = np.frexp(np.maximum(largest / LARGEST_COUNT, SMALLEST_STEP))
    step: NDArray[np.float64] = np.ldexp(np.ceil(mantissa * 2**STEP_BITS), exponent - STEP_BITS)
    return step


def grid_of(matrix: Floats) -> tuple[NDArray[np.int8], Floats] | None:
    """The counts [R, C] and steps [R, 1] whose products are exactly the matrix [R, C], if there are such."""
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


def halved(values: Floats) -> NDArray[np.float16] | None:
    """The float16 values that are exactly the float32 ones, if there are such."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), values) else None


def to_grid(matrix: Floats) -> Floats:
    """The matrix [R, C] with each row on its nearest grid; one that lies on a grid is returned as it is."""
    if grid_of(matrix) is not None:
        return matrix
    step = _step_of(np.abs(matrix).max(axis=1).astype(np.float64))[:, None]
    return (np.rint(matrix / step) * step).astype(np.float32)


def large_matrices(network: nn.Module) -> set[str]:
    """Names of the weights that ship in 8 bits: those of the linear layers."""
    linear = {name: module.weight for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    return {f"{name}.weight" for name, weight in linear.items() if min(weight.shape) >= SMALLEST_SIDE}


@torch.no_grad()
def round_to_shipped(network: nn.Module, matrices: set[str] | None = None) -> None:
    """Round every parameter to what ships: those named in `matrices`, or all large ones, to a grid, all others to float16."""
    matrices = large_matrices(network) if matrices is None else matrices
    for name, parameter in network.named_parameters():
        rounded = parameter.half().float()
        if name in matrices:
            rounded = torch.from_numpy(to_grid(parameter.float().numpy()))
        parameter.copy_(rounded)
