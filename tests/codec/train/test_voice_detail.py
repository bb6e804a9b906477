"""Voice and critic: each learns from its own part of the loss."""

from __future__ import annotations

from pathlib import Path

import torch

from codec.network.critic import Critic
from codec.network.envelope import KNOTS
from codec.network.voice import Said, Voice, VoiceConfig, load_voice
from codec.train.voice import audible, loss_of
from codec.train.voice_detail import VoiceAndCritic, losses

torch.set_num_threads(1)
FRAMES = 32


def batch() -> tuple[Said, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    flat = torch.zeros(2, FRAMES)
    said = Said(torch.ones(2, FRAMES, 45) / 45, torch.ones(2, FRAMES, 3) / 3, flat, flat, flat, flat)
    tone, air = (torch.rand(2, 2 * FRAMES, KNOTS, generator=generator) * 6 - 10 for _ in range(2))
    return said, tone, air


def test_gradients_reach_both_and_the_numbers_are_finite() -> None:
    model = VoiceAndCritic(Voice(VoiceConfig(width=16, slow_blocks=1, fast_blocks=1)))
    loss, shown = losses(model, batch(), half=False)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(torch.isfinite(torch.tensor(value)) for value in shown.values())
    assert all(weight.grad is not None and bool(weight.grad.isfinite().all()) for weight in model.parameters())


def test_the_critic_learns_only_to_tell() -> None:
    """Its gradient is that of `told` alone: the voice's wish to fool it must not weaken it."""
    model = VoiceAndCritic(Voice(VoiceConfig(width=16, slow_blocks=1, fast_blocks=1)))
    said, tone, air = batch()
    losses(model, (said, tone, air), half=False)[0].backward()  # type: ignore[no-untyped-call]
    found = [weight.grad.clone() for weight in model.critic.parameters() if weight.grad is not None]
    model.zero_grad()
    made = [each.detach()[:, 32:] for each in model.voice.envelopes(said, model.voice.body.initial_state(2))[:2]]
    heard = Said(*(each[:, 16:] for each in said))
    critic: Critic = model.critic
    real_mark, made_mark = critic(audible(tone[:, 32:]), audible(air[:, 32:]), heard)[0], critic(*map(audible, made), heard)[0]
    ((real_mark - 1).square().mean() + made_mark.square().mean()).backward()
    for ours, weight in zip(found, critic.parameters(), strict=True):
        assert weight.grad is not None and torch.allclose(ours, weight.grad, atol=1e-5)


def test_what_is_hardly_heard_counts_less() -> None:
    loud, quiet = torch.full((1, 2 * FRAMES, KNOTS), -4.0), torch.full((1, 2 * FRAMES, KNOTS), -12.0)
    near, _ = loss_of(loud + 1, quiet, loud, quiet)
    _, far = loss_of(loud, quiet + 1, loud, quiet)
    assert float(near) == 1 and float(far) == 0.25


def test_a_checkpoint_with_a_critic_is_a_voice(tmp_path: Path) -> None:
    model = VoiceAndCritic(Voice())
    torch.save({"average": model.state_dict(), "step": 1}, tmp_path / "checkpoint.pt")
    found = load_voice(tmp_path / "checkpoint.pt")
    assert all(torch.equal(a, b) for a, b in zip(found.state_dict().values(), model.voice.state_dict().values(), strict=True))
