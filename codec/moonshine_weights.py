"""The weights of Moonshine's ear out of its package: onnxruntime's file back to ONNX, its 8-bit matrices back to floats."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codec.moonshine import CURE, model_folder
from codec.moonshine_net import MoonshineEncoder
from stream.errors import ClariError

QUANTIZED = ("MatMulIntegerToFloat", "DynamicQuantizeMatMul")
NORM = {"/groupnorm/Mul": "groupnorm.weight", "/groupnorm/Add": "groupnorm.bias"}  # lost their names in the export


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
    found = {name.removesuffix("_add_tensor"): value for name, value in values.items()}
    for node in graph.node:
        matrix = next((name for name in node.input if name.endswith("_quantized") and name in values), None)
        if node.op_type in QUANTIZED and matrix:
            scale, zero = (values[matrix.replace("_quantized", end)].astype(np.float32) for end in ("_scale", "_zero_point"))
            layer = node.name.strip("/").removesuffix("/MatMul_quant").replace("/", ".")
            found[f"{layer}.weight"] = ((values[matrix].astype(np.float32) - zero) * scale).T
        elif node.name in NORM:
            found[NORM[node.name]] = values[node.input[1]].reshape(-1)
    return {name: torch.from_numpy(np.array(value)) for name, value in found.items()}


def load_encoder() -> MoonshineEncoder:
    """The frozen network with its weights.

    Raises:
        ClariError: the package, its model or what reads it is missing, or the model is another one.
    """
    network = MoonshineEncoder()
    path = model_folder() / "encoder_model.ort"
    tensors, wanted = read_tensors(path), network.state_dict()
    wrong = [name for name in wanted if name not in tensors or tensors[name].shape != wanted[name].shape]
    if wrong:
        raise ClariError(f"{path.name} of moonshine has no {wrong[0]} as this program knows it; {CURE}")
    network.load_state_dict({name: tensors[name] for name in wanted})
    return network.eval().requires_grad_(False)
