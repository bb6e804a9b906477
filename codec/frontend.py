"""Causal log-mel analysis: 16 kHz samples to 80 log magnitudes at 100 Hz, as matrix products.

Frame t ends with sample 160 (t + 1) and sees 480 samples (30 ms) back. The discrete Fourier transform is a product
with a fixed real basis, so the same code trains, streams and exports; no complex tensor and no DSP is left to the
runtime.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from codec.config import HOP_SAMPLES
from codec.network.layers import State
from stream.frame import SAMPLE_RATE_HZ

WINDOW_SAMPLES = 3 * HOP_SAMPLES
FFT_SAMPLES = 512
FLOOR = 1e-4  # of a full-scale sine's magnitude: -80 dBFS
# Typical speech at -26 dBFS has this mean and deviation of log magnitude; the networks see (log - mean) / deviation.
LOG_MEAN, LOG_DEVIATION = -6.5, 2.0


def mel_filters(mels: int, fft_samples: int, sample_rate_hz: int) -> np.ndarray:
    """Triangular filters [fft_samples // 2 + 1, mels] with peak 1 on Slaney's scale, linear below 1 kHz."""

    def to_hz(mel: np.ndarray) -> np.ndarray:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.maximum(mel - 15, 0) * np.log(6.4) / 27))

    top = 15 + 27 * np.log(sample_rate_hz / 2 / 1000) / np.log(6.4)
    edges_hz = to_hz(np.linspace(0, top, mels + 2))
    bins_hz = np.arange(fft_samples // 2 + 1) * sample_rate_hz / fft_samples
    rising = (bins_hz[:, None] - edges_hz[None, :-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    falling = (edges_hz[None, 2:] - bins_hz[:, None]) / (edges_hz[2:] - edges_hz[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


class LogMel(nn.Module):
    """Samples [B, N], N a multiple of 160 -> normalised log-mel [B, N / 160, mels]. State: the last 320 samples."""

    basis: Tensor
    filters: Tensor

    def __init__(self, mels: int):
        super().__init__()
        window = np.hanning(WINDOW_SAMPLES + 1)[:-1]
        phase = 2 * np.pi * np.outer(np.arange(WINDOW_SAMPLES), np.arange(FFT_SAMPLES // 2 + 1)) / FFT_SAMPLES
        scaled = window[:, None] * 2 / window.sum()  # a full-scale sine has magnitude 1
        basis = np.concatenate([scaled * np.cos(phase), -scaled * np.sin(phase)], axis=1)
        self.register_buffer("basis", torch.tensor(basis, dtype=torch.float32), persistent=False)
        filters = mel_filters(mels, FFT_SAMPLES, SAMPLE_RATE_HZ)
        self.register_buffer("filters", torch.tensor(filters, dtype=torch.float32), persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        return self.basis.new_zeros(batch, WINDOW_SAMPLES - HOP_SAMPLES)

    def forward(self, samples: Tensor, state: State) -> tuple[Tensor, State]:
        assert isinstance(state, Tensor)
        heard = torch.cat([state, samples], dim=1)
        hops = heard.reshape(heard.shape[0], -1, HOP_SAMPLES)
        frames = torch.cat([hops[:, :-2], hops[:, 1:-1], hops[:, 2:]], dim=2)  # [B, T, 480]
        real, imaginary = (frames @ self.basis).chunk(2, dim=2)
        magnitude = torch.sqrt(real**2 + imaginary**2 + 1e-12)
        log = torch.log(torch.clamp(magnitude @ self.filters, min=FLOOR))
        return (log - LOG_MEAN) / LOG_DEVIATION, heard[:, heard.shape[1] - (WINDOW_SAMPLES - HOP_SAMPLES) :]
