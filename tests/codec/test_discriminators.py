"""Both sides of the adversarial game move only their own weights, and a run with them resumes and ships."""

from __future__ import annotations

import torch

from codec.config import DiscriminatorConfig
from codec.discriminators import Discriminators, MelDiscriminator, adversarial_losses

SMALL = DiscriminatorConfig(channels=4, fft_samples=(256, 512), periods=(2, 3))


def speech(seed: int) -> torch.Tensor:
    return torch.randn(2, 4800, generator=torch.Generator().manual_seed(seed)) * 0.1


def test_each_loss_moves_its_own_side() -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(SMALL)
    spoken, target = speech(1).requires_grad_(), speech(2)
    judged = adversarial_losses(discriminators, spoken, target)
    parameters = list(discriminators.parameters())
    for loss, moves_speech in ((judged.discriminator, False), (judged.generator, True), (judged.features, True)):
        gradients = torch.autograd.grad(loss, [spoken, *parameters], allow_unused=True, retain_graph=True)
        assert (gradients[0] is not None) == moves_speech
        assert all(gradient is None for gradient in gradients[1:]) == moves_speech


def test_speech_that_is_the_target_matches_its_features() -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(SMALL)
    assert adversarial_losses(discriminators, speech(1), speech(1)).features.item() == 0
    assert adversarial_losses(discriminators, speech(1), speech(2)).features.item() > 0.1


def test_the_discriminators_learn_to_tell_noise_from_tones() -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(SMALL)
    tone = 0.3 * torch.sin(torch.arange(4800) * 0.3).expand(2, -1)
    optimizer = torch.optim.AdamW(discriminators.parameters(), lr=2e-3)
    losses = []
    for step in range(12):
        loss = adversarial_losses(discriminators, speech(step), tone).discriminator
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[0] > 1.5 and losses[-1] < 1.7


def test_a_crop_counts_the_same_beside_any_other() -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(SMALL)
    spoken, target = speech(1), speech(2)
    both = adversarial_losses(discriminators, spoken, target)
    each = [adversarial_losses(discriminators, spoken[i : i + 1], target[i : i + 1]) for i in range(2)]
    for whole, parts in zip(both, zip(*each, strict=True), strict=True):
        assert torch.allclose(whole, sum(parts) / 2, rtol=1e-4)


def test_a_discriminator_of_mel_tells_flat_spectra_from_peaked_ones() -> None:
    torch.manual_seed(0)
    discriminator = MelDiscriminator(4)
    peaked = torch.sin(torch.arange(80) * 0.8).expand(2, 64, -1)
    optimizer = torch.optim.AdamW(discriminator.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        loss = adversarial_losses(discriminator, 0.5 * peaked, peaked).discriminator
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[0] > 1.9 and losses[-1] < 1.6
