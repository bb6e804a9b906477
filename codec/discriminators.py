"""Discriminators: networks that learn to tell decoded from original speech, so that the vocoder loses its buzz.

Multi-resolution STFT discriminators look at real and imaginary parts of spectrograms (Defossez et al. 2022, arXiv
2210.13438); multi-period discriminators look at samples folded by a prime period (Kong et al. 2020, arXiv 2010.05646)
and are left to machines with a GPU. Hinge losses and feature matching follow the same papers. A discriminator of mel
spectrograms does the same for the mel codec, at a hundredth of the cost: distances alone draw the mean of all spectra
that fit the codes, whose formants are flat.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from codec.config import DiscriminatorConfig

SLOPE = 0.1


def _conv(inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1)) -> nn.Module:
    return weight_norm(nn.Conv2d(inputs, outputs, kernel, stride, (kernel[0] // 2, kernel[1] // 2)))


class Convolutions(nn.Module):
    """Two-dimensional convolutions [B, C, H, W] -> the features after each, the last being the score map."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return [*features, self.layers[-1](x)]


class SpectrumDiscriminator(nn.Module):
    """One resolution: the complex spectrogram as two channels over [frames, bins]."""

    window: Tensor

    def __init__(self, fft_samples: int, channels: int):
        super().__init__()
        self.fft_samples = fft_samples
        self.register_buffer("window", torch.hann_window(fft_samples), persistent=False)
        wide = (3, 9)  # frames x bins
        self.convolutions = Convolutions(
            _conv(2, channels, wide),
            *(_conv(channels, channels, wide, (1, 2)) for _ in range(3)),
            _conv(channels, channels, (3, 3)),
            _conv(channels, 1, (3, 3)),
        )

    def forward(self, samples: Tensor) -> list[Tensor]:
        """Samples [B, N] -> feature maps."""
        hop = self.fft_samples // 4
        spectrum = torch.stft(
            samples, self.fft_samples, hop, window=self.window, center=False, return_complex=True, normalized=True
        )
        features: list[Tensor] = self.convolutions(torch.view_as_real(spectrum).permute(0, 3, 2, 1))
        return features


class PeriodDiscriminator(nn.Module):
    """One period: the samples folded to [N / period, period]."""

    def __init__(self, period: int, channels: int):
        super().__init__()
        self.period = period
        widths = [1, *(min(channels * 4**level, 32 * channels) for level in range(4))]
        self.convolutions = Convolutions(
            *(_conv(before, after, (5, 1), (3, 1)) for before, after in pairwise(widths)),
            _conv(widths[-1], widths[-1], (5, 1)),
            _conv(widths[-1], 1, (3, 1)),
        )

    def forward(self, samples: Tensor) -> list[Tensor]:
        """Samples [B, N] -> feature maps."""
        folded = samples[:, : samples.shape[1] // self.period * self.period].reshape(len(samples), 1, -1, self.period)
        features: list[Tensor] = self.convolutions(folded)
        return features


class MelDiscriminator(nn.Module):
    """Patches of 0.3 s of a mel spectrogram (Isola et al. 2017, arXiv 1611.07004): whether they look like speech."""

    def __init__(self, channels: int):
        super().__init__()
        self.convolutions = Convolutions(
            _conv(1, channels, (3, 9), (2, 2)),
            _conv(channels, 2 * channels, (3, 5), (2, 2)),
            _conv(2 * channels, 4 * channels, (3, 3), (2, 2)),
            _conv(4 * channels, 4 * channels, (3, 3)),
            _conv(4 * channels, 1, (3, 3)),
        )

    def forward(self, mel: Tensor) -> list[list[Tensor]]:
        """Normalised log-mel [B, T, mels] -> the feature maps of this one discriminator."""
        return [self.convolutions(mel.unsqueeze(1))]


class Discriminators(nn.Module):
    """All of them: samples [B, N] -> the feature maps of each, whose last is the score map."""

    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        self.parts = nn.ModuleList(
            [
                *(SpectrumDiscriminator(fft_samples, config.channels) for fft_samples in config.fft_samples),
                *(PeriodDiscriminator(period, config.channels) for period in config.periods),
            ]
        )

    def forward(self, samples: Tensor) -> list[list[Tensor]]:
        return [part(samples) for part in self.parts]


class Judged(NamedTuple):
    """Losses, each the mean over discriminators."""

    discriminator: Tensor
    generator: Tensor
    features: Tensor


def _relative_distance(heard: Tensor, wanted: Tensor) -> Tensor:
    """L1 distance of feature maps [B, C, H, W] relative to the wanted ones, every crop alike."""
    dims = (1, 2, 3)
    return ((heard - wanted).abs().mean(dims) / (wanted.abs().mean(dims) + 1e-6)).mean()


def adversarial_losses(discriminators: nn.Module, spoken: Tensor, target: Tensor) -> Judged:
    """Losses of both sides for spoken and target speech, of which one backward pass gives all gradients.

    discriminators: samples [B, N] or log-mel [B, T, mels] -> the feature maps of each, whose last is the score map.

    `discriminator` moves the discriminators alone, since it hears detached speech; `generator` (hinge) and `features`
    (L1 relative to the target's features) move the speech alone, since they pass through detached weights. One
    optimiser step of both together is the usual pair of simultaneous steps.
    """
    real, fake = discriminators(target), discriminators(spoken.detach())
    frozen = {name: parameter.detach() for name, parameter in discriminators.named_parameters()}
    heard: list[list[Tensor]] = functional_call(discriminators, frozen, (spoken,))
    discriminator = [F.relu(1 - r[-1]).mean() + F.relu(1 + f[-1]).mean() for r, f in zip(real, fake, strict=True)]
    generator = [F.relu(1 - h[-1]).mean() for h in heard]
    features = [
        torch.stack([_relative_distance(a, b.detach()) for a, b in zip(h[:-1], r[:-1], strict=True)]).mean()
        for h, r in zip(heard, real, strict=True)
    ]
    return Judged(torch.stack(discriminator).mean(), torch.stack(generator).mean(), torch.stack(features).mean())
