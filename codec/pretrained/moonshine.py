"""Moonshine tiny (Jeffries et al. 2024, arXiv 2410.15608; MIT licence) out of its package: the ear's weights, and what it writes.

The package is moonshine-voice 0.0.62 of the extra `train`, whose wheel carries the English model of 27 M parameters. The weights
are read from onnxruntime's file by way of ONNX; its 8-bit matrices become floats.
"""

from __future__ import annotations

import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codec.network.ear import Ear, from_moonshine
from codec.pretrained.moonshine_writer import MoonshineWriter
from stream.errors import ClariError
from stream.frame import SAMPLE_RATE_HZ

MODEL = "tiny-en"
CURE = "install it: pip install 'clari[train]'"
QUANTIZED = ("MatMulIntegerToFloat", "DynamicQuantizeMatMul")
NORM = {"/groupnorm/Mul": "groupnorm.weight", "/groupnorm/Add": "groupnorm.bias"}  # lost their names in the export
SHARED = "_merged_0"  # ends the names of weights that both branches of the writing half use
WHOLE_BRANCH = "else_branch"  # of the writing half: the one that begins with no past, and so holds every layer
WHOLE = {"vad_threshold": 0, "identify_speakers": "false", "return_audio_data": "false"}  # an utterance is not cut into lines


def model_folder() -> Path:
    """Where the package keeps its model.

    Raises:
        ClariError: the package is not installed, or is one that has no model inside.
    """
    try:
        installed = version("moonshine-voice")
        from moonshine_voice import get_model_path
    except (ImportError, PackageNotFoundError):
        raise ClariError(f"moonshine-voice is not installed; {CURE}") from None
    except OSError:  # it imports sounddevice, although it need not record
        raise ClariError("moonshine-voice needs the PortAudio library; install: apt-get install libportaudio2") from None
    folder = Path(get_model_path(MODEL))
    if not any(folder.glob("*.ort")):
        raise ClariError(f"moonshine-voice {installed} comes without a model; {CURE}")
    return folder


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every weight of onnxruntime's file by the name it has in the network that was exported.

    Raises:
        ClariError: onnx is not installed, or the file cannot be read.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError:
        raise ClariError(f"the weights of moonshine are read by onnx, which is missing; {CURE}") from None
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


def load_ear() -> Ear:
    """Moonshine tiny's encoder as the ear, not yet used to hearing in blocks.

    Raises:
        ClariError: the package, its model or what reads it is missing, or the model is another one.
    """
    path, ear = model_folder() / "encoder_model.ort", Ear()
    try:
        ear.load_state_dict(from_moonshine(read_tensors(path)))
    except (KeyError, RuntimeError):
        raise ClariError(f"{path.name} of moonshine is not the encoder that this program knows; {CURE}") from None
    return ear.eval()


def load_writer() -> MoonshineWriter:
    """The half that writes, frozen. Raises ClariError as `load_ear`."""
    path, writer = model_folder() / "decoder_model_merged.ort", MoonshineWriter()
    found = {name.removeprefix("model.decoder."): tensor for name, tensor in read_tensors(path).items()}
    try:
        writer.load_state_dict({name: found[name] for name in writer.state_dict()})
    except (KeyError, RuntimeError):
        raise ClariError(f"{path.name} of moonshine is not the writer that this program knows; {CURE}") from None
    return writer.eval().requires_grad_(False)


class Writer:
    """Moonshine as it comes, for speech that has no transcript. It judges nothing: its ear is part of the codec."""

    def __init__(self) -> None:
        """Raises ClariError: the package is not installed, or has no model inside."""
        model_folder()
        from moonshine_voice import ModelArch, Transcriber, get_model_path

        self._transcriber: Any = Transcriber(get_model_path(MODEL), ModelArch.TINY, options=WHOLE)

    def write(self, samples: np.ndarray) -> str:
        """What is said in samples [N] at 16 kHz."""
        if not len(samples):
            return ""
        heard = self._transcriber.transcribe_without_streaming(samples.astype(np.float32).tolist(), SAMPLE_RATE_HZ)
        return " ".join(line.text.strip() for line in heard.lines)
