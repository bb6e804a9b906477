"""hibari's decoder as torch layers: 130 channels at 80 Hz -> the five spectra its samples are made of.

It is what stands behind the graph's Concat_43 (`codec.pretrained.hibari`): a convolution of 7 frames, eight ConvNeXt blocks of 256
channels (kernel 7, expansion 3), a norm and a linear layer. The graph keeps the matrices in 8 bits and quantises what
they are multiplied with; here both are float32, which moves the outputs by about a hundredth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.pretrained.hibari import SPECTRA, read_model

CHANNELS, WIDTH, HIDDEN, KERNEL, BLOCKS = 130, 256, 768, 7, 8
BINS = 601  # 0..12 kHz in steps of BIN_HZ
BIN_HZ = 20.0


class _Block(nn.Module):
    """ConvNeXt block over [B, C, F], seeing three frames either way."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(WIDTH, WIDTH, KERNEL, padding=KERNEL // 2, groups=WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.expand = nn.Linear(WIDTH, HIDDEN)
        self.project = nn.Linear(HIDDEN, WIDTH)
        self.gamma = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).transpose(1, 2))
        y = self.gamma * self.project(F.gelu(self.expand(y)))
        added: Tensor = x + y.transpose(1, 2)
        return added


class HibariDecoder(nn.Module):
    """decoder input [B, 130, F] -> lh, theta, ln, lr, phi, each [B, 601, F] (`codec.pretrained.hibari.SPECTRA`)."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv1d(CHANNELS, WIDTH, KERNEL, padding=KERNEL // 2)
        self.blocks = nn.Sequential(*(_Block() for _ in range(BLOCKS)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, len(SPECTRA) * BINS)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y: Tensor = self.head(self.norm(self.blocks(self.enter(x)).transpose(1, 2))).transpose(1, 2)
        return dict(zip(SPECTRA, torch.split(y, BINS, dim=1), strict=True))


def load_decoder() -> HibariDecoder:
    """The decoder with hibari's weights, frozen. Raises ClariError: hibari or onnx is not installed."""
    import onnx

    constants = {tensor.name: tensor for tensor in read_model().graph.initializer}

    def read(name: str) -> Any:
        return onnx.numpy_helper.to_array(constants[name])

    def matrix(name: str) -> np.ndarray:
        """8-bit [in, out] and its scale and zero point -> float32 [out, in] as torch keeps it."""
        whole = read(f"{name}_quantized").astype(np.float32) - read(f"{name}_zero_point").astype(np.float32)
        return np.ascontiguousarray((whole * read(f"{name}_scale")).T)

    weights = {"enter.weight": read("m.dec_in.weight"), "enter.bias": read("m.dec_in.bias")}
    for index in range(BLOCKS):
        ours, theirs = f"blocks.{index}", f"m.dec.{index}"
        weights[f"{ours}.gamma"] = read(f"{theirs}.gamma")
        for part, whole in {"depthwise": "dw", "norm": "norm"}.items():
            weights[f"{ours}.{part}.weight"] = read(f"{theirs}.{whole}.weight")
            weights[f"{ours}.{part}.bias"] = read(f"{theirs}.{whole}.bias")
        for part, whole in {"expand": "pw1", "project": "pw2"}.items():
            weights[f"{ours}.{part}.weight"] = matrix(f"/dec.{index}/{whole}/Transpose_output_0")
            weights[f"{ours}.{part}.bias"] = read(f"{theirs}.{whole}.bias")
    weights |= {"norm.weight": read("m.dec_norm.weight"), "norm.bias": read("m.dec_norm.bias")}
    weights |= {"head.weight": matrix("/head/Transpose_output_0"), "head.bias": read("m.head.bias")}
    decoder = HibariDecoder()
    decoder.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    return decoder.requires_grad_(False).eval()
