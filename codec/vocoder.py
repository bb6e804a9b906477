"""Causal Vocos-style vocoder: log-mel frames to samples through an inverse short-time Fourier transform.

Siuzdak 2023 (arXiv 2306.00814): the network keeps the frame rate of the mel spectrogram and predicts magnitude and
phase; the transform does the upsampling. Here it is causal and in real arithmetic: cosine and sine of the phase times
the magnitude, a product with a fixed real basis, and an overlap-add whose tail is the state.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from codec.config import HOP_SAMPLES, ModelConfig
from codec.frontend import FFT_SAMPLES, WINDOW_SAMPLES
from codec.network.layers import CausalConv, Stack, State, blocks

BINS = FFT_SAMPLES // 2 + 1
OVERLAP = WINDOW_SAMPLES // HOP_SAMPLES
# Frame t of the mel spectrogram describes hops t - 2 .. t; its synthesis window lies on hops t .. t + 2 of the output.
DELAY_SAMPLES = (OVERLAP - 1) * HOP_SAMPLES
LARGEST_LOG_MAGNITUDE = 1.0  # a full-scale sine is 0


def inverse_basis() -> np.ndarray:
    """[2 * BINS, WINDOW_SAMPLES]: real and imaginary parts -> windowed samples whose overlap-add is the signal."""
    window = np.hanning(WINDOW_SAMPLES + 1)[:-1]
    phase = 2 * np.pi * np.outer(np.arange(BINS), np.arange(WINDOW_SAMPLES)) / FFT_SAMPLES
    twice = np.where((np.arange(BINS) == 0) | (np.arange(BINS) == BINS - 1), 1.0, 2.0)[:, None] / FFT_SAMPLES
    overlapped = np.sum(window**2) / HOP_SAMPLES  # squared Hann windows at a third of their length add up to this
    scale = window.sum() / 2 / overlapped  # the analysis divides by window.sum() / 2
    return np.concatenate([twice * np.cos(phase), -twice * np.sin(phase)]) * window * scale


class InverseSTFT(nn.Module):
    """Spectra [B, T, 2 * BINS] -> samples [B, 160 T]. State: the two newest windowed frames."""

    basis: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("basis", torch.tensor(inverse_basis(), dtype=torch.float32), persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        return self.basis.new_zeros(batch, OVERLAP - 1, WINDOW_SAMPLES)

    def forward(self, spectra: Tensor, state: State) -> tuple[Tensor, State]:
        assert isinstance(state, Tensor)
        frames = torch.cat([state, spectra @ self.basis], dim=1)
        count = spectra.shape[1]
        first, second, third = frames.split(HOP_SAMPLES, dim=2)
        hops = first[:, 2 : 2 + count] + second[:, 1 : 1 + count] + third[:, :count]
        return hops.reshape(hops.shape[0], -1), frames[:, count:]


class Vocoder(nn.Module):
    """Log-mel [B, T, mels] -> samples [B, 160 T], DELAY_SAMPLES later than the speech the frames describe."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        width = config.vocoder_width
        self.stack = Stack(
            CausalConv(config.mels, width, config.kernel), *blocks(config.vocoder_blocks, width, config.kernel, config.expansion)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2 * BINS)
        with torch.no_grad():
            self.head.bias[:BINS] = -6.0  # starts near the level of speech
        self.inverse = InverseSTFT()

    def initial_state(self, batch: int) -> State:
        return self.stack.initial_state(batch), self.inverse.initial_state(batch)

    def forward(self, mel: Tensor, state: State) -> tuple[Tensor, State]:
        x, layers = self.stack(mel, state[0])
        log_magnitude, phase = self.head(self.norm(x)).float().chunk(2, dim=2)
        magnitude = torch.exp(torch.clamp(log_magnitude, max=LARGEST_LOG_MAGNITUDE))
        spectra = torch.cat([magnitude * torch.cos(phase), magnitude * torch.sin(phase)], dim=2)
        samples, tail = self.inverse(spectra, state[1])
        return samples, (layers, tail)
