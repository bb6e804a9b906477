"""What ships: rounding once is rounding twice, and what was rounded can be told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from codec.config import ModelConfig
from codec.model import Codec
from codec.network.precision import grid_of, round_to_shipped, to_grid

# Some library that other tests load may have told the processor to flush subnormal numbers, which hypothesis refuses to draw then.
WEIGHTS = arrays(np.float32, (3, 5), elements=st.floats(-100, 100, width=32, allow_subnormal=False))


@given(WEIGHTS)
def test_a_rounded_matrix_is_counts_times_steps_and_exact_in_float16(matrix: np.ndarray) -> None:
    rounded = to_grid(matrix)
    if np.array_equal(matrix.astype(np.float16), matrix):  # was rounded before
        assert rounded is matrix
        return
    assert np.array_equal(rounded.astype(np.float16).astype(np.float32), rounded)
    found = grid_of(rounded)
    assert found is not None
    counts, steps = found
    assert counts.dtype == np.int8 and np.array_equal(steps.astype(np.float16).astype(np.float32), steps)
    assert np.array_equal(counts.astype(np.float32) * steps, rounded)
    assert np.array_equal(to_grid(rounded), rounded)


@given(WEIGHTS)
def test_no_weight_moves_by_more_than_half_a_step(matrix: np.ndarray) -> None:
    moved = np.abs(to_grid(matrix) - matrix)
    step = np.maximum(np.abs(matrix).max(axis=1, keepdims=True) / 127 * 1.125, 2.0**-20)  # a mantissa of 4 bits may be 1/8 larger
    assert (moved <= step / 2 + 1e-6).all()


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
def test_a_matrix_that_was_not_rounded_lies_on_no_grid(scale: float) -> None:
    matrix = (np.random.default_rng(1).standard_normal((8, 64)) * scale).astype(np.float32)
    assert grid_of(matrix) is None
    before = matrix.astype(np.float16).astype(np.float32)
    assert grid_of(before) is None and np.array_equal(to_grid(before), before)
    assert np.abs(to_grid(matrix) - matrix).mean() < 0.01 * np.abs(matrix).mean()


def test_only_the_named_matrices_lose_bits() -> None:
    codec = Codec(ModelConfig(mels=16, encoder_widths=(8,), encoder_blocks=(1,), decoder_widths=(8,), decoder_blocks=(1,)))
    before = {name: parameter.detach().clone() for name, parameter in codec.named_parameters()}
    matrices = codec.large_matrices()
    assert len(matrices) == 4 and matrices < set(before)
    round_to_shipped(codec, matrices)
    for name, parameter in codec.named_parameters():
        on_grid = parameter.dim() == 2 and grid_of(parameter.detach().numpy()) is not None
        assert (name in matrices) <= on_grid
        if name not in matrices:
            assert (parameter == before[name].half().float()).all()
