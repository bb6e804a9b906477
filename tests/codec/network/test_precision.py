"""What ships: rounding once is rounding twice, and what was rounded can be told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from codec.network.precision import grid_of, large_matrices, round_to_shipped, to_grid
from tests.export.stand_in import StandIn

# Some library that other tests load may have told the processor to flush subnormal numbers, which hypothesis refuses to draw then.
WEIGHTS = arrays(np.float32, (3, 5), elements=st.floats(-100, 100, width=32, allow_subnormal=False))


@given(WEIGHTS)
def test_a_rounded_matrix_is_counts_times_steps(matrix: np.ndarray) -> None:
    rounded = to_grid(matrix)
    found = grid_of(rounded)
    assert found is not None
    counts, steps = found
    assert counts.dtype == np.int8
    assert np.array_equal(counts.astype(np.float32) * steps, rounded)
    assert to_grid(rounded) is rounded


@given(WEIGHTS)
def test_no_weight_moves_by_more_than_half_a_step(matrix: np.ndarray) -> None:
    moved = np.abs(to_grid(matrix) - matrix)
    step = np.maximum(np.abs(matrix).max(axis=1, keepdims=True) / 127 * 1.125, 2.0**-20)  # a mantissa of 4 bits may be 1/8 larger
    assert (moved <= step / 2 + 1e-6).all()


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("kept", [np.float32, np.float16])
def test_a_matrix_that_was_not_rounded_lies_on_no_grid(scale: float, kept: type[np.floating]) -> None:
    matrix = (np.random.default_rng(1).standard_normal((8, 64)) * scale).astype(kept).astype(np.float32)
    assert grid_of(matrix) is None
    assert np.abs(to_grid(matrix) - matrix).mean() < 0.01 * np.abs(matrix).mean()


def test_only_large_matrices_lose_bits_and_only_once() -> None:
    codec = StandIn()
    before = {name: parameter.detach().clone() for name, parameter in codec.named_parameters()}
    matrices = large_matrices(codec)
    assert "ear.layers.1.query.weight" in matrices and "positions.weight" not in matrices and matrices < set(before)
    round_to_shipped(codec)
    rounded = {name: parameter.detach().clone() for name, parameter in codec.named_parameters()}
    for name, parameter in rounded.items():
        on_grid = parameter.dim() == 2 and grid_of(parameter.numpy()) is not None
        assert (name in matrices) <= on_grid
        if name not in matrices:
            assert (parameter == before[name].half().float()).all()
    round_to_shipped(codec)
    assert all((parameter == rounded[name]).all() for name, parameter in codec.named_parameters())
