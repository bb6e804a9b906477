"""Products from 8-bit counts: float32's precision whatever the rows hold, and back to plain products."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from codec.network.precision import to_grid
from export.digits import BASE, DIGITS, LARGEST, MOST_ROWS, SHIFT, join_products, split_products
from export.onnx_file import pack_weights

INPUTS, OUTPUTS = 96, 40


def product(rows: int, seed: int = 0) -> tuple[onnx.ModelProto, np.ndarray]:
    """A packed graph y [1, M, N] = x [1, M, K] times a matrix [K, N] on its grid, and the matrix."""
    matrix = to_grid(np.random.default_rng(seed).standard_normal((OUTPUTS, INPUTS)).astype(np.float32)).T.copy()
    sizes = {"x": [1, rows, INPUTS], "x_same": [1, rows, INPUTS], "y": [1, rows, OUTPUTS]}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in sizes.items()}
    nodes = [helper.make_node("Identity", ["x"], ["x_same"]), helper.make_node("MatMul", ["x_same", "w"], ["y"])]
    graph = helper.make_graph(nodes, "product", [values["x"]], [values["y"]], [numpy_helper.from_array(matrix, "w")])
    graph.value_info.append(values["x_same"])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    assert pack_weights(model) > 0
    return model, matrix


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    return np.asarray(y)


@pytest.mark.parametrize("rows", range(1, MOST_ROWS + 1))
@pytest.mark.parametrize("kind", ["normal", "one large value", "tiny", "huge", "all at the edge", "zeros"])
def test_as_exact_as_float32(rows: int, kind: str) -> None:
    model, matrix = product(rows)
    x = np.random.default_rng(1).standard_normal((1, rows, INPUTS)).astype(np.float32)
    if kind == "one large value":
        x[0, 0, 3] = 1000
    x = {"tiny": x * np.float32(1e-12), "huge": x * np.float32(1e12), "all at the edge": np.sign(x), "zeros": x * 0}.get(kind, x)
    assert split_products(model) == 1
    assert not any(
        item.data_type == TensorProto.FLOAT and len(item.dims) == 2 and item.dims[0] > DIGITS for item in model.graph.initializer
    )
    exact = x.astype(np.float64) @ matrix
    step = np.abs(x).max(axis=2, keepdims=True) / (LARGEST * BASE ** (DIGITS - 1))  # of the last digit
    allowed = step / 2 * np.abs(matrix).sum(axis=0) + 1e-6 * (np.abs(x).astype(np.float64) @ np.abs(matrix))
    assert np.all(np.abs(run(model, x) - exact) <= allowed)


def test_two_products_never_leave_16_bits() -> None:
    """What a processor without dot-product instructions adds before it widens."""
    assert 2 * (SHIFT + BASE // 2) * 127 < 2**15
    edge = np.linspace(-1, 1, 100_001)
    whole = np.rint(LARGEST * edge)
    digits = [whole]
    for place in range(1, DIGITS):
        finer = np.rint(LARGEST * BASE**place * edge)
        digits.append(finer - BASE * whole)
        whole = finer
    assert min(each.min() for each in digits) + SHIFT >= 0 and max(each.max() for each in digits) <= BASE // 2


def test_many_rows_stay_one_product() -> None:
    model, _ = product(MOST_ROWS + 1)
    assert split_products(model) == 0
    assert [node.op_type for node in model.graph.node].count("MatMul") == 1


@pytest.mark.parametrize("rows", [1, MOST_ROWS])
def test_joined_again_nothing_is_left_of_it(rows: int) -> None:
    model, _ = product(rows)
    split_products(model)
    join_products(model)
    plain, _ = product(rows)
    assert sorted(node.op_type for node in model.graph.node) == sorted(node.op_type for node in plain.graph.node)
    assert sorted(item.name for item in model.graph.initializer) == sorted(item.name for item in plain.graph.initializer)
    x = np.random.default_rng(2).standard_normal((1, rows, INPUTS)).astype(np.float32)
    assert np.array_equal(run(model, x), run(plain, x))
