"""Writing a step module as one self-contained .onnx file: graph, half-size weights and metadata."""

from __future__ import annotations

import json
import logging
import warnings

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from stream.engine import FORMAT_VERSION

OPSET = 20
SMALLEST_HALVED_ELEMENTS = 256


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


def halve_weights(model: onnx.ModelProto) -> int:
    """Store every weight that float16 holds exactly as float16, cast back at load; returns how many bytes that saves.

    The weights were rounded to float16 beforehand, so this is lossless; bases that were not stay float32.
    """
    saved = 0
    casts = []
    for initializer in model.graph.initializer:
        if initializer.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(initializer)
        with np.errstate(over="ignore"):
            halved = values.astype(np.float16)
        if values.size < SMALLEST_HALVED_ELEMENTS or not np.array_equal(halved.astype(np.float32), values):
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(halved, name + "_half"))
        casts.append(helper.make_node("Cast", [name + "_half"], [name], name=name + "_cast", to=TensorProto.FLOAT))
        saved += values.size * 2
    for place, node in enumerate(casts):
        model.graph.node.insert(place, node)
    return saved


def set_metadata(model: onnx.ModelProto, metadata: dict[str, object]) -> None:
    """Write everything the runtime must know into the file; values are JSON."""
    del model.metadata_props[:]
    for node in model.graph.node:  # exporter traces name source files of the exporting machine
        del node.metadata_props[:]
        node.doc_string = ""
    for name, value in {"clari_format": FORMAT_VERSION, **metadata}.items():
        model.metadata_props.add(key=name, value=json.dumps(value))
