"""Graphs for small processors: trained matrices in 8 bits, everything else as it was.

Only matrix products with trained weights are quantised (weights once, per output channel; activations as they come).
Convolutions are depth-wise and cost little, and the bases of mel analysis and inverse transform are exact for a reason.
Weights use 7 of the 8 bits: with all of them, processors without dot-product instructions overflow in silence.
The decoder id stays: a quantised decoder hears the same senders.
"""

from __future__ import annotations

import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from codec.evaluate.distances import mel_distance
from export.digits import join_products
from export.onnx_file import pack_weights, unpack_weights
from stream.engine import find_graph, load_decoder, load_encoder, open_graph
from stream.errors import FileError
from stream.frame import SAMPLES_PER_FRAME, Pcm

ROLES = ("encoder", "decoder")


@dataclass(frozen=True)
class Cost:
    """What quantisation changed, on one recording.

    equal_codes: share of code digits that the quantised encoder gives alike.
    mel_distance: between the decoders' outputs of the same codes, in nepers.
    bytes_before, bytes_after: of both graphs.
    """

    seconds: float
    equal_codes: float
    mel_distance: float
    bytes_before: int
    bytes_after: int


def quantize_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph with the trained matrices in 8 bits and the same metadata but for the name."""
    metadata = list(model.metadata_props)
    join_products(model)
    trained = unpack_weights(model)
    matrices = [node.name for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in trained]
    logging.getLogger().setLevel(logging.ERROR)  # that a pre-processing step could be run is no news
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=matrices,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        quantized = onnx.load(path)
    pack_weights(quantized)
    del quantized.metadata_props[:]
    quantized.metadata_props.extend(metadata)
    return quantized


def quantize(model: str, name: str, out: Path) -> None:
    """Write the graphs of a model (a shipped name or a folder) with 8-bit matrices to the folder `out`.

    Raises:
        ModelError: there is no such model.
        FileError: `out` holds that model, or cannot be written.
    """
    graphs = {}
    for role in ROLES:
        open_graph(model, role)  # a damaged one is refused with a cure
        path = find_graph(model, role)
        if path.parent.resolve() == out.resolve():
            raise FileError(f"{out} holds the model that is to be quantised; choose another --out")
        graph = quantize_graph(onnx.load(path))
        for entry in graph.metadata_props:
            if entry.key == "name":
                entry.value = json.dumps(name)
        graphs[role] = graph
    try:
        out.mkdir(parents=True, exist_ok=True)
        for role, graph in graphs.items():
            (out / f"{role}.onnx").write_bytes(graph.SerializeToString())
    except OSError as error:
        raise FileError(f"cannot write {out}: {(error.strerror or 'error').lower()}; choose another --out") from None


def cost(model: str, quantized: str, pcm: Pcm) -> Cost:
    """Compare a model with its quantised form on samples [N].

    Raises:
        ModelError: one of them cannot be loaded.
    """
    frames = pcm[: len(pcm) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME].reshape(-1, SAMPLES_PER_FRAME)
    streams = [load_encoder(each).stream() for each in (model, quantized)]
    codes, other = (np.stack([stream.encode(frame) for frame in frames]) for stream in streams)
    decoders = [load_decoder(each).stream() for each in (model, quantized)]
    heard, changed = (np.concatenate([np.array(stream.decode(frame)) for frame in codes]) for stream in decoders)
    before, after = (sum(find_graph(each, role).stat().st_size for role in ROLES) for each in (model, quantized))
    return Cost(len(frames) * 0.08, float(np.mean(codes == other)), mel_distance(heard, changed), before, after)
