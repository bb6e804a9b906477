"""Products of few rows with large matrices, computed from the 8 bits that are stored: as exact as float32, in half the time.

A step multiplies one or two rows with megabytes of weights, and fetching those from memory is what takes the time. So they stay
in 8 bits, and the rows become integers instead: each value is three digits of 7 bits, x = largest / 63 * (d0 + d1 / 128 +
d2 / 128^2), which is float32's precision relative to the largest value of its row. The three products are summed in 32 bits and
joined in float32. Digits and counts are small enough (128 * 127 * 2 < 2^15) that processors without dot-product instructions,
which add pairs of products in 16 bits, overflow nowhere.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.onnx_file import COUNTS, STEPS, WHOLE, product_nodes

MOST_ROWS = 2  # with more, multiplying takes as long as fetching: 4 and 8 rows gain nothing
DIGITS, BASE, LARGEST = 3, 128, 63
SHIFT = 64  # digits are -64 to 64, the operator wants no sign
MARK = "_digits_"  # between a weight's name and what a node of its product does


def split_products(model: onnx.ModelProto) -> int:
    """Compute each product of at most MOST_ROWS rows with a packed matrix from its counts; returns how many there were."""
    stored = {item.name: list(item.dims) for item in model.graph.initializer}
    rows = {info.name: [size.dim_value for size in info.type.tensor_type.shape.dim] for info in model.graph.value_info}
    split = 0
    for node in [node for node in model.graph.node if node.op_type == "MatMul"]:
        x, weight = node.input
        counts, steps = stored.get(weight + COUNTS), stored.get(weight + STEPS)
        if counts is None or steps != [1, counts[1]] or len(rows.get(x, [])) != 3 or rows[x][1] > MOST_ROWS:
            continue
        for made in (weight + COUNTS + WHOLE, weight):  # no float32 form of the matrix
            model.graph.node.remove(next(each for each in model.graph.node if each.output[0] == made))
        _replace(model, [node], _product(x, weight, node.output[0], rows[x][1]))
        split += 1
    if split:
        model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in _constants().items())
    return split


def join_products(model: onnx.ModelProto) -> None:
    """Undo `split_products`: packed matrices and matrix products."""
    for integer in [node for node in model.graph.node if node.op_type == "MatMulInteger" and MARK in node.name]:
        weight = integer.input[1].removesuffix(COUNTS)
        nodes = [node for node in model.graph.node if node.name.startswith(weight + MARK)]
        matrix = helper.make_node("MatMul", [nodes[0].input[0], weight], [nodes[-1].output[0]], weight + "_matmul")
        _replace(model, nodes, [*product_nodes(weight), matrix])
    constants = set(_constants())
    for item in [item for item in model.graph.initializer if item.name in constants]:
        model.graph.initializer.remove(item)


def _constants() -> dict[str, np.ndarray]:
    """What all products share."""
    places = float(BASE) ** np.arange(DIGITS)
    carry = np.eye(DIGITS) - BASE * np.eye(DIGITS, k=-1)  # a rounded value less what the digits before it say
    values = {
        "digits_places": LARGEST * places[:, None],
        "digits_carry": carry,
        "digits_worth": 1 / (LARGEST * places[None]),
        "digits_shift": np.array(SHIFT),
        "digits_smallest": np.array(1e-30),  # a row of zeros is divided by it
    }
    integers = {"digits_zero": np.array(SHIFT, np.uint8), "digits_last": np.array([-1]), "digits_rows": np.array([2])}
    return {name: value.astype(np.float32) for name, value in values.items()} | integers


def _product(x: str, weight: str, result: str, rows: int) -> list[onnx.NodeProto]:
    """Nodes for x [1, M, K] times the matrix [K, N] of a weight -> [1, M, N]."""
    nodes: list[onnx.NodeProto] = []

    def add(kind: str, inputs: list[str], does: str, output: str = "", to: int | None = None) -> str:
        name = weight + MARK + does
        nodes.append(helper.make_node(kind, inputs, [output or name], name, **({} if to is None else {"to": to})))
        return output or name

    each = add("Unsqueeze", [x, "digits_rows"], "rows") if rows > 1 else x  # [1, M, 1, K]: three digits beside one another
    size = add("Abs", [each], "size")
    largest = add("ReduceMax", [size, "digits_last"], "largest")
    divisor = add("Max", [largest, "digits_smallest"], "divisor")
    places = add("Div", ["digits_places", divisor], "places")
    scaled = add("Mul", [places, each], "scaled")
    whole = add("Round", [scaled], "whole")
    digits = add("MatMul", ["digits_carry", whole], "digits")
    shifted = add("Add", [digits, "digits_shift"], "shifted")
    unsigned = add("Cast", [shifted], "unsigned", to=TensorProto.UINT8)
    summed = add("MatMulInteger", [unsigned, weight + COUNTS, "digits_zero"], "summed")
    real = add("Cast", [summed], "real", to=TensorProto.FLOAT)
    worth = add("Mul", ["digits_worth", divisor], "worth")
    joined = add("MatMul", [worth, real], "joined")
    if rows > 1:
        joined = add("Squeeze", [joined, "digits_rows"], "joined_rows")
    add("Mul", [joined, weight + STEPS + WHOLE], "product", result)
    return nodes


def _replace(model: onnx.ModelProto, old: list[onnx.NodeProto], new: list[onnx.NodeProto]) -> None:
    """Put new nodes where the last of the old ones was."""
    place = max(index for index, node in enumerate(model.graph.node) if node in old)
    for node in reversed(new):
        model.graph.node.insert(place + 1, node)
    for node in old:
        model.graph.node.remove(node)
