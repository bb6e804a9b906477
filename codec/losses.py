"""Reconstruction losses of stage 1."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

RESOLUTIONS = (256, 512, 1024)  # samples per window: fine in time, between, fine in frequency


@lru_cache
def _window(samples: int, device: torch.device) -> Tensor:
    return torch.hann_window(samples, device=device)


def magnitudes(samples: Tensor, fft_samples: int) -> Tensor:
    """Magnitude spectrogram [B, bins, frames] of samples [B, N]; a full-scale sine is 1."""
    window = _window(fft_samples, samples.device)
    spectrum = torch.stft(samples, fft_samples, fft_samples // 4, window=window, center=False, return_complex=True)
    return torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-10) * (2 / fft_samples * 2)


def multi_resolution_stft_loss(decoded: Tensor, target: Tensor, floor: float = 1e-4) -> Tensor:
    """Spectral convergence plus L1 of log magnitudes, averaged over resolutions (Yamamoto et al. 2020).

    decoded, target: samples [B, N]. Magnitudes below `floor` count as equal, so that digital silence has no say.
    """
    losses = []
    for fft_samples in RESOLUTIONS:
        heard, wanted = magnitudes(decoded, fft_samples), magnitudes(target, fft_samples)
        # Per crop, so that loud crops do not decide alone and processes can share a batch.
        convergence = torch.linalg.vector_norm(wanted - heard, dim=(1, 2)) / (torch.linalg.vector_norm(wanted, dim=(1, 2)) + 1e-6)
        losses.append(convergence.mean() + F.l1_loss(torch.log(heard.clamp(min=floor)), torch.log(wanted.clamp(min=floor))))
    return torch.stack(losses).mean()
