"""The weights of Moonshine out of its package: onnxruntime's file back to ONNX, its 8-bit matrices back to floats."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from codec.moonshine import CURE, model_folder
from codec.moonshine_net import MoonshineEncoder
from codec.moonshine_writer import MoonshineWriter
from stream.errors import ClariError

QUANTIZED = ("MatMulIntegerToFloat", "DynamicQuantizeMatMul")
NORM = {"/groupnorm/Mul": "groupnorm.weight", "/groupnorm/Add": "groupnorm.bias"}  # lost their names in the export
SHARED = "_merged_0"  # ends the names of weights that both branches of the writing half use
WHOLE_BRANCH = "else_branch"  # the one that begins with no past, and so holds every layer
Network = TypeVar("Network", bound=nn.Module)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every weight of onnxruntime's file by the name it has in the network that was exported.

    Raises:
        ClariError: onnx is not installed, or the file cannot be read.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError:
        raise ClariError("the weights of moonshine are read by onnx; install: pip install 'clari[export]'") from None
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.save_model_format", "ONNX")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "model.onnx"
        options.optimized_model_filepath = str(plain)
        try:
            onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a class of its own for each cause
            raise ClariError(f"{path.name} of moonshine cannot be read ({str(error).splitlines()[0][:80]}); {CURE}") from None
        graph = onnx.load(str(plain)).graph
    values = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    found = {name.removesuffix("_add_tensor").removesuffix(SHARED): value for name, value in values.items()}
    branches = [item.g for node in graph.node if node.op_type == "If" for item in node.attribute if item.name == WHOLE_BRANCH]
    for node in [*graph.node, *(node for branch in branches for node in branch.node)]:
        matrix = next((name for name in node.input if name.endswith("_quantized") and name in values), None)
        if matrix and (node.op_type in QUANTIZED or node.op_type == "Gather"):
            scale, zero = (values[matrix.replace("_quantized", end)].astype(np.float32) for end in ("_scale", "_zero_point"))
            layer = node.name.strip("/").removesuffix("/MatMul_quant").removesuffix("/Gather").replace("/", ".")
            weight = (values[matrix].astype(np.float32) - zero) * scale
            found[f"{layer}.weight"] = weight if node.op_type == "Gather" else weight.T
        elif node.name in NORM:
            found[NORM[node.name]] = values[node.input[1]].reshape(-1)
    return {name: torch.from_numpy(np.array(value)) for name, value in found.items()}


def _filled(network: Network, file: str, prefix: str = "") -> Network:
    """The network with the weights of one file of the package, frozen.

    Raises:
        ClariError: the package, its model or what reads it is missing, or the model is another one.
    """
    path = model_folder() / file
    tensors, wanted = read_tensors(path), network.state_dict()
    tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    wrong = [name for name in wanted if name not in tensors or tensors[name].shape != wanted[name].shape]
    if wrong:
        raise ClariError(f"{path.name} of moonshine has no {wrong[0]} as this program knows it; {CURE}")
    network.load_state_dict({name: tensors[name] for name in wanted})
    network.eval().requires_grad_(False)
    return network


def load_encoder() -> MoonshineEncoder:
    """The half that listens. Raises ClariError, see `_filled`."""
    return _filled(MoonshineEncoder(), "encoder_model.ort")


def load_writer() -> MoonshineWriter:
    """The half that writes. Raises ClariError, see `_filled`."""
    return _filled(MoonshineWriter(), "decoder_model_merged.ort", "model.decoder.")
