"""Writing a step module as one self-contained .onnx file: graph, weights in few bytes, and metadata."""

from __future__ import annotations

import json
import logging
import warnings

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from codec.network.precision import grid_of, halved
from stream.engine import FORMAT_VERSION

OPSET = 20
SMALLEST_PACKED_ELEMENTS = 256
HALF, COUNTS, STEPS, WHOLE = "_half", "_counts", "_steps", "_float"  # appended to a weight's name for what holds it


def to_onnx(step: nn.Module, inputs: tuple[Tensor, ...], input_names: list[str], output_names: list[str]) -> onnx.ModelProto:
    """Export one step with fixed shapes, batch 1."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # which optional packages the exporter misses is no news
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            step.eval(),
            inputs,
            input_names=input_names,
            output_names=output_names,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def pack_weights(model: onnx.ModelProto) -> int:
    """Store every weight in the fewest bytes that hold it exactly; returns how many bytes that saves.

    Matrices that lie on a grid of 8 bits per output channel (codec/precision.py) become counts and steps, what float16 holds
    becomes float16; both are computed back at load. Trained weights were rounded to one or the other beforehand, so this is
    lossless; bases that were not stay float32.
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
            added.append(numpy_helper.from_array(steps.astype(np.float16), name + STEPS))
            nodes.append(_to_float(name + STEPS, name + STEPS + WHOLE))
            nodes.extend(product_nodes(name))
            saved += values.size * 3
        elif (half := halved(values)) is not None:
            initializer.CopyFrom(numpy_helper.from_array(half, name + HALF))
            nodes.append(_to_float(name + HALF, name))
            saved += values.size * 2
    model.graph.initializer.extend(added)
    for place, node in enumerate(nodes):
        model.graph.node.insert(place, node)
    return saved


def product_nodes(name: str) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    """The nodes that compute a packed matrix back from its counts and its steps, which are float32 already."""
    product = helper.make_node("Mul", [name + COUNTS + WHOLE, name + STEPS + WHOLE], [name], name + "_product")
    return _to_float(name + COUNTS, name + COUNTS + WHOLE), product


def _to_float(stored: str, result: str) -> onnx.NodeProto:
    return helper.make_node("Cast", [stored], [result], stored + "_cast", to=TensorProto.FLOAT)


def _grid(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Counts and steps of a matrix whose rows or columns lie on a grid."""
    if values.ndim != 2:
        return None
    for matrix, back in ((values, False), (values.T, True)):
        if (found := grid_of(matrix)) is not None:
            counts, steps = found
            return (np.ascontiguousarray(counts.T), steps.T) if back else found
    return None


def unpack_weights(model: onnx.ModelProto) -> set[str]:
    """Undo `pack_weights`; returns the names of the weights that were stored in fewer bytes: the trained ones."""
    stored = {item.name: item for item in model.graph.initializer}
    trained = set()
    for node in [node for node in model.graph.node if node.op_type in ("Cast", "Mul")]:
        name = node.output[0]
        if node.op_type == "Cast" and node.input[0] in (name + HALF, name.removesuffix(WHOLE)) and node.input[0] in stored:
            item = stored[node.input[0]]
            item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item).astype(np.float32), name))
            trained.add(name)
        elif list(node.input) == [name + COUNTS + WHOLE, name + STEPS + WHOLE]:
            counts, steps = (stored[name + part] for part in (COUNTS, STEPS))
            product = numpy_helper.to_array(counts) * numpy_helper.to_array(steps)
            counts.CopyFrom(numpy_helper.from_array(product, name))
            model.graph.initializer.remove(steps)
            trained = trained - set(node.input) | {name}
        else:
            continue
        model.graph.node.remove(node)
    return trained


def set_metadata(model: onnx.ModelProto, metadata: dict[str, object]) -> None:
    """Write everything the runtime must know into the file; values are JSON."""
    del model.metadata_props[:]
    for node in model.graph.node:  # exporter traces name source files of the exporting machine
        del node.metadata_props[:]
        node.doc_string = ""
    for name, value in {"clari_format": FORMAT_VERSION, **metadata}.items():
        model.metadata_props.add(key=name, value=json.dumps(value))
