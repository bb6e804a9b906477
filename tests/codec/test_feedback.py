"""Rounding with a memory: how it begins, what it remembers, and that no two ways of computing it differ."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from codec import policy
from codec.encoder import Encoder, Meant
from codec.feedback import Feedback, nearest
from codec.network.quantizer import bound, positions_to_codes
from tests.codec.test_layers import SMALL

WIDTH, FRAMES = 12, 3


def moving(seed: int = 0) -> Feedback:
    """A feedback that has learned something, whatever."""
    torch.manual_seed(seed)
    feedback = Feedback(WIDTH, FRAMES)
    for layer in (feedback.move, feedback.within):
        torch.nn.init.normal_(layer.weight, std=0.03)
    return feedback


def speech(batch: int = 2, frames: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, frames, WIDTH, generator=generator), torch.randn(batch, frames, 8, generator=generator)


def test_it_begins_as_if_it_were_not_there() -> None:
    feedback, (knowledge, intended) = Feedback(WIDTH, FRAMES), speech()
    positions, _ = feedback(knowledge, intended, feedback.initial_state(2))
    assert torch.equal(positions, bound(intended))


def test_training_streaming_and_chunks_agree() -> None:
    feedback, (knowledge, intended) = moving(), speech()
    trained, last = feedback(knowledge, intended, feedback.initial_state(2))
    assert trained.requires_grad
    with torch.no_grad():
        whole, _ = feedback(knowledge, intended, feedback.initial_state(2))
        state, parts = feedback.initial_state(2), []
        for first, end in itertools.pairwise((0, 1, 2, 6, 9)):
            part, state = feedback(knowledge[:, first:end], intended[:, first:end], state)
            parts.append(part)
    assert torch.allclose(trained, whole, atol=1e-5) and torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)
    assert torch.allclose(state, last, atol=1e-5)


def test_it_is_causal_in_time_and_in_the_frame() -> None:
    """A frame's code changes nothing before it, a dimension's nothing in the dimensions before it, and both what follows."""
    feedback, (knowledge, intended) = moving(), speech(1)

    def positions(changed: int, dimension: int) -> Tensor:
        def choose(now: Tensor, frame: int, number: int) -> Tensor:
            code = nearest(now, frame, number)
            return 3 - code if (frame, number) == (changed, dimension) else code

        return feedback(knowledge, intended, feedback.initial_state(1), choose)[0].detach()

    usual, other = positions(-1, 0), positions(4, 3)
    assert torch.equal(usual[:, :4], other[:, :4]) and torch.equal(usual[:, 4, :4], other[:, 4, :4])
    assert (usual[:, 4, 4:] != other[:, 4, 4:]).all() and (usual[:, 5] != other[:, 5]).all()


def test_errors_of_frames_that_are_too_old_are_forgotten() -> None:
    feedback, (knowledge, intended) = moving(), speech(1, FRAMES + 2)
    state = torch.randn(1, FRAMES, 16, generator=torch.Generator().manual_seed(2))

    def fixed(now: Tensor, frame: int, dimension: int) -> Tensor:
        return torch.zeros_like(now, dtype=torch.int64)

    with torch.no_grad():
        feedback.past.weight.unflatten(1, (FRAMES, 16))[:, :, 8:] = 0  # levels alone: errors would hand the past on
        feedback.within.weight.zero_()
        fresh, _ = feedback(knowledge, intended, feedback.initial_state(1), fixed)
        later, _ = feedback(knowledge, intended, state, fixed)
    assert (fresh[:, FRAMES - 1] != later[:, FRAMES - 1]).any() and torch.equal(fresh[:, FRAMES:], later[:, FRAMES:])


def test_gradients_take_what_was_rounded_as_given() -> None:
    """So a position's is that of its own bound alone, 2 (1 - tanh^2), whatever followed from its code."""
    feedback, (knowledge, intended) = moving(), speech()
    positions, _ = feedback(knowledge, intended.requires_grad_(), feedback.initial_state(2))
    found = torch.autograd.grad(positions.sum(), [intended, feedback.past.weight, feedback.within.weight])
    assert torch.allclose(found[0], 2 - positions**2 / 2, atol=1e-5) and all(each.any() for each in found)


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(3)
    encoder = Encoder(SMALL)
    for layer in (encoder.feedback.move, encoder.feedback.within):
        torch.nn.init.normal_(layer.weight, std=0.03)
    return encoder


def meant_by(encoder: Encoder) -> Meant:
    return encoder.listen(torch.randn(2, 8 * 6, SMALL.mels, generator=torch.Generator().manual_seed(4)))[0]


def test_rounded_codes_are_decided_where_the_encoder_puts_them(encoder: Encoder) -> None:
    meant = meant_by(encoder)
    positions = encoder.positions(meant)
    codes = positions_to_codes(positions)
    assert torch.equal(encoder.decide(meant, nearest, 3), codes.unsqueeze(1).expand(-1, 3, -1, -1))
    assert torch.allclose(encoder.positions_for(meant, codes[:, None])[:, 0], positions, atol=1e-5)


def test_without_rounding_nothing_has_to_be_made_up_for(encoder: Encoder) -> None:
    meant = meant_by(encoder)
    exact = encoder.exact_positions(meant)
    with torch.no_grad():
        encoder.feedback.within.weight.mul_(-5)  # what answers errors within a frame has none to answer
    assert torch.allclose(encoder.exact_positions(meant), exact, atol=1e-5)
    assert (encoder.positions(meant) - exact).abs().max() > 1e-3


def test_draws_follow_the_policy_after_what_was_drawn_before(encoder: Encoder) -> None:
    """The product of the probabilities of all codes of a frame, each given those before it, is how often they are drawn."""
    meant = Meant(*(each[:1, :1] for each in meant_by(encoder)))
    versions, temperature = 20_000, 4.0
    uniform = torch.rand(versions, 8, generator=torch.Generator().manual_seed(5))

    def sample(positions: Tensor, frame: int, dimension: int) -> Tensor:
        return policy.sample(positions, uniform[:, dimension], temperature)

    codes = encoder.decide(meant, sample, versions)[0, :, 0]
    kinds, counts = codes.unique(dim=0, return_counts=True)
    often = counts.topk(20).indices
    with torch.no_grad():
        positions = encoder.positions_for(meant, kinds[often][None, :, None])
    probability = policy.log_probability(positions, kinds[often][None, :, None], temperature).exp().flatten()
    deviation = (probability * (1 - probability) / versions).sqrt()
    assert ((counts[often] / versions - probability).abs() < 5 * deviation).all()
