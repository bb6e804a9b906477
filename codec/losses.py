"""Reconstruction losses of stage 1."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.frontend import FFT_SAMPLES, LOG_DEVIATION, mel_filters
from stream.frame import SAMPLE_RATE_HZ

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


ENVELOPE_FRAMES = 38  # of 10 ms: the 384 ms of STOI
ENVELOPE_STEP_FRAMES = 6
SPOKEN_SHARE = 1e-2  # of the loudest stretch of a crop, in magnitude: quieter ones are pauses, as in STOI's silence removal


@lru_cache
def third_octaves(mels: int, device: torch.device) -> Tensor:
    """Which mel band belongs to which of the 15 third-octave bands of STOI from 150 Hz to 4.3 kHz: 0 and 1, [mels, 15]."""
    filters = mel_filters(mels, FFT_SAMPLES, SAMPLE_RATE_HZ)
    bins_hz = np.arange(len(filters)) * SAMPLE_RATE_HZ / FFT_SAMPLES
    centres_hz = (filters * bins_hz[:, None]).sum(0) / filters.sum(0).clip(min=1e-9)
    edges_hz = 150 * 2 ** ((np.arange(16) - 0.5) / 3)
    bands = (centres_hz[:, None] >= edges_hz[:-1]) & (centres_hz[:, None] < edges_hz[1:])
    return torch.tensor(bands, dtype=torch.float32, device=device)


def envelope_loss(decoded: Tensor, target: Tensor) -> Tensor:
    """1 - mean correlation of third-octave envelopes over 380 ms, where somebody speaks: about 1 - STOI.

    decoded, target: normalised log-mel [B, T, mels], T >= 38. After Taal et al. 2011 (STOI) and Kolbaek et al. 2018,
    arXiv 1806.08404 (envelope correlation as an objective, without STOI's clipping); here of mel bands, so that it costs
    no synthesis. Every crop counts alike.
    """
    bands = third_octaves(decoded.shape[2], decoded.device)

    def stretches(mel: Tensor) -> Tensor:
        power = torch.exp(2 * LOG_DEVIATION * mel.float().clamp(-4, 6)) @ bands
        return torch.sqrt(power + 1e-6).unfold(1, ENVELOPE_FRAMES, ENVELOPE_STEP_FRAMES)  # [B, stretches, 15, frames]

    heard, wanted = stretches(decoded), stretches(target)
    loudness = torch.linalg.vector_norm(wanted, dim=(2, 3))
    spoken = (loudness > SPOKEN_SHARE * loudness.amax(1, keepdim=True)).float()
    heard, wanted = (x - x.mean(3, keepdim=True) for x in (heard, wanted))
    norms = torch.linalg.vector_norm(heard, dim=3) * torch.linalg.vector_norm(wanted, dim=3)
    correlation = ((heard * wanted).sum(3) / (norms + 1e-6)).mean(2)
    return 1 - ((correlation * spoken).sum(1) / spoken.sum(1)).mean()
