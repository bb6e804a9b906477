"""Writing a step module as one self-contained .onnx file: graph, weights in few bytes, and metadata."""

from __future__ import annotations

import json
import logging
import warnings
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from codec.network.precision import Floats, grid_of, halved
from stream.engine import FORMAT_VERSION

OPSET = 20
SMALLEST_PACKED_ELEMENTS = 256
HALF, COUNTS, STEPS, WHOLE = "_half", "_counts", "_steps", "_float"  # appended to a weight's name for what holds it


def to_onnx(
    step: nn.Module,
    inputs: tuple[Tensor, ...],
    shapes: tuple[dict[int, Any] | None, ...],
    input_names: list[str],
    output_names: list[str],
) -> onnx.ModelProto:
    """Export one step, batch 1. `shapes`: for every input the axes whose size is free, by their numbers."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # which optional packages the exporter misses is no news
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            step.eval(),
            inputs,
            input_names=input_names,
            output_names=output_names,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def pack_weights(model: onnx.ModelProto) -> int:
    """Store every weight in the fewest bytes that hold it exactly; returns how many bytes that saves.

    Matrices that lie on a grid of 8 bits per output channel (codec/network/precision.py) become counts and steps, what float16
    holds becomes float16; both are computed back to float32 once, when the graph is loaded. Trained weights were rounded to one
    or the other beforehand, so this is lossless; bases that were not stay float32.
    """
    saved = 0
    nodes: list[onnx.NodeProto] = []
    added: list[onnx.TensorProto] = []
    for initializer in model.graph.initializer:
        values = numpy_helper.to_array(initializer)
        if initializer.data_type != TensorProto.FLOAT or values.size < SMALLEST_PACKED_ELEMENTS:
            continue
        name = initializer.name
        if (found := _grid(values)) is not None:
            counts, steps = found
            initializer.CopyFrom(numpy_helper.from_array(counts, name + COUNTS))
            added.append(numpy_helper.from_array(steps, name + STEPS))
            nodes.append(_to_float(name + COUNTS, name + COUNTS + WHOLE))
            nodes.append(helper.make_node("Mul", [name + COUNTS + WHOLE, name + STEPS], [name], name + "_product"))
            saved += values.size * 3
        elif (half := halved(values)) is not None:
            initializer.CopyFrom(numpy_helper.from_array(half, name + HALF))
            nodes.append(_to_float(name + HALF, name))
            saved += values.size * 2
    model.graph.initializer.extend(added)
    for place, node in enumerate(nodes):
        model.graph.node.insert(place, node)
    return saved


def _to_float(stored: str, result: str) -> onnx.NodeProto:
    return helper.make_node("Cast", [stored], [result], stored + "_cast", to=TensorProto.FLOAT)


def _grid(values: Floats) -> tuple[NDArray[np.int8], Floats] | None:
    """Counts and steps of a matrix whose rows or columns lie on a grid."""
    if values.ndim != 2:
        return None
    for matrix, back in ((values, False), (values.T, True)):
        if (found := grid_of(matrix)) is not None:
            counts, steps = found
            return (np.ascontiguousarray(counts.T), steps.T) if back else found
    return None


def set_metadata(model: onnx.ModelProto, metadata: dict[str, object]) -> None:
    """Write everything the runtime must know into the file; values are JSON."""
    del model.metadata_props[:]
    for node in model.graph.node:  # exporter traces name source files of the exporting machine
        del node.metadata_props[:]
        node.doc_string = ""
    for name, value in {"clari_format": FORMAT_VERSION, **metadata}.items():
        model.metadata_props.add(key=name, value=json.dumps(value))
