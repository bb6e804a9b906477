"""Groups compared by hand, credit in time, and utterances that follow from (seed, step)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from codec import policy
from codec.config import Config, DataConfig, RLConfig
from codec.data.corpus import CorpusError
from codec.network.quantizer import codes_to_values
from codec.rollouts import (
    Utterances,
    advantages,
    equal_groups,
    group_slope,
    policy_loss,
    slope_loss,
    speech_frames,
    to_code_frames,
)
from codec.team import Team


def test_advantages_by_hand() -> None:
    rewards = torch.tensor([[1.0, 2.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0]])
    found = advantages(rewards, 0.0001)
    deviation = 0.5**0.5
    assert torch.allclose(found[0], torch.tensor([-1.0, 0.0, 1.0, 0.0]) / (deviation + 0.0001))
    assert not found[1].any()  # equal rewards teach nothing
    assert torch.allclose(advantages(rewards * 7 + 3, 0.0)[0], found[0], atol=1e-3)  # neither scale nor offset matters
    assert advantages(rewards, 1.0).abs().max() < 1  # the floor keeps small differences small
    assert equal_groups(rewards).tolist() == [0, 1]
    in_time = torch.stack([rewards, rewards.flip(1)], dim=2)
    assert torch.allclose(advantages(in_time, 0.0001)[:, :, 1], advantages(rewards.flip(1), 0.0001))


def test_code_frames_answer_for_the_speech_they_describe() -> None:
    timed = torch.zeros(1, 1, 12)
    timed[0, 0, 4] = 1.0  # mel frames 16..23, which with 8 mel frames of look-ahead code frame 3 describes
    assert to_code_frames(timed, 6, 8, 0)[0, 0].tolist() == [0, 0, 0, 0.5, 0, 0]
    assert to_code_frames(timed, 6, 0, 0)[0, 0].tolist() == [0, 0, 0.5, 0, 0, 0]
    reached = to_code_frames(timed, 6, 8, 2)[0, 0]
    assert reached.nonzero().flatten().tolist() == [2, 3, 4] and reached[3] == pytest.approx(1 / 6)
    assert to_code_frames(torch.ones(2, 3, 40), 5, 8, 3).shape == (2, 3, 5)  # speech beyond the codes is cut off


def test_speech_ends_with_the_code_that_describes_its_end() -> None:
    flags = speech_frames(np.array([1280, 1281, 3 * 1280]), 6, 8)
    assert flags.tolist() == [[1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0]]


def test_the_policy_gradient_is_that_of_reinforce_at_the_draw() -> None:
    generator = torch.Generator().manual_seed(0)
    positions = (torch.rand(2, 1, 5, 8, generator=generator, dtype=torch.float64) * 4 - 2).requires_grad_(True)
    codes = torch.randint(0, 4, (2, 3, 5, 8), generator=generator)
    advantage = torch.randn(2, 3, 5, generator=generator, dtype=torch.float64)
    weight = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1.0]], dtype=torch.float64)
    log_probability = policy.log_probability(positions, codes, 1.0)
    for clip in (0.0, 0.2):  # at the draw itself the clip is inactive
        loss = policy_loss(log_probability, log_probability.detach(), advantage, weight, clip)
        (gradient,) = torch.autograd.grad(loss.sum(), positions, retain_graph=True)
        by_hand = torch.stack(
            [
                -sum(advantage[b, g, t] * weight[b, t] * log_probability[b, g, t] for g in range(3) for t in range(5))
                / (3 * weight[b].sum())
                for b in range(2)
            ]
        ).sum()
        (expected,) = torch.autograd.grad(by_hand, positions, retain_graph=True)
        assert torch.allclose(gradient, expected)
        assert not gradient[0, 0, 3:].any()  # frames without weight move nothing


def test_the_clip_stops_what_has_moved_far_enough() -> None:
    drawn = torch.zeros(1, 1, 2)
    weight = torch.ones(1, 2)
    for advantage, ratios, expected in (
        (1.0, (0.5, 3.0), (-0.5 - 1.2) / 2),  # a gain beyond 1.2 earns no more
        (-1.0, (0.5, 3.0), (0.8 + 3.0) / 2),  # and a loss below 0.8 saves no more
    ):
        moved = torch.log(torch.tensor(ratios)).reshape(1, 1, 2).requires_grad_(True)
        loss = policy_loss(moved, drawn, torch.full((1, 1, 2), advantage), weight, 0.2)
        assert loss.item() == pytest.approx(expected)
        (gradient,) = torch.autograd.grad(loss.sum(), moved)
        assert (gradient[0, 0] == 0).tolist() == ([False, True] if advantage > 0 else [True, False])


def test_an_utterance_without_weight_counts_nothing() -> None:
    zero = policy_loss(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), torch.ones(1, 2, 3), torch.zeros(1, 3), 0.0)
    assert zero.tolist() == [0.0]


def data(corpus: Path, **more: float) -> DataConfig:
    return DataConfig(corpora=(str(corpus),), shares=(1.0,), noise_share=0.0, batch_s=16.0, longest_s=6.0, **more)


def test_the_disturbed_utterance_says_the_same(corpus: Path) -> None:
    quiet = Utterances(Config(data=data(corpus, room_share=0.0))).draw(3, 0.0)
    rooms = Utterances(Config(data=data(corpus, room_share=1.0))).draw(3, 0.0)
    assert np.array_equal(quiet.heard, quiet.clean) and np.array_equal(rooms.clean, quiet.clean)
    assert rooms.letters == quiet.letters and not np.allclose(rooms.heard, rooms.clean, atol=1e-3)
    assert quiet.heard.shape[1] % 1280 == 0 and quiet.heard.shape[1] >= quiet.samples.max() + 1280
    assert quiet.lost.shape == (len(quiet.heard), quiet.heard.shape[1] // 1280) and not quiet.lost.any() and not quiet.flips.any()


def test_a_draw_is_the_same_whoever_draws_it(corpus: Path) -> None:
    config = Config(data=data(corpus, room_share=0.5), rl=RLConfig(link_loss_rate=(0.3, 0.5), link_bit_error_rate=(0.01, 0.1)))
    whole = Utterances(config).draw(7, 0.7)
    assert whole.lost.any() and whole.flips.any()
    for rank in range(2):
        half = Utterances(config, team=Team(rank, 2)).draw(7, 0.7)
        for name in ("heard", "clean", "samples", "lost", "flips"):
            assert np.array_equal(getattr(whole, name)[rank::2], getattr(half, name)), name
        assert half.letters == whole.letters[rank::2] and half.total == whole.total == len(whole.heard)


def test_a_share_of_the_utterances_passes_the_link(corpus: Path) -> None:
    utterances = Utterances(Config(data=data(corpus), rl=RLConfig(link_loss_rate=(0.5, 0.5))))
    touched = [row.any() for step in range(12) for row in utterances.draw(step, 0.5).lost]
    assert 0.25 < np.mean(touched) < 0.6


def test_speech_without_transcripts_is_one_line(corpus: Path) -> None:
    with pytest.raises(CorpusError, match=r"1\.2 to 1 s in .*; pack transcripts"):
        Utterances(Config(data=DataConfig(corpora=(str(corpus),), shares=(1.0,), noise_share=0.0, longest_s=1.0)))


def test_a_slope_follows_what_infinitely_many_draws_would_where_the_reward_is_a_plane() -> None:
    """All 4^6 sequences of two frames of three dimensions, each as often as it is drawn."""
    rng = np.random.default_rng(0)
    positions = torch.tensor(rng.uniform(-2, 2, (1, 2, 3)), requires_grad=True)
    plane = torch.tensor(rng.normal(size=(2, 3)))
    codes = torch.cartesian_prod(*[torch.arange(4)] * 6).reshape(1, -1, 2, 3)
    rewards = (codes_to_values(codes).double() * plane).sum((2, 3))
    log_probability = policy.log_probability(positions.unsqueeze(1), codes, 1.0)
    chances = log_probability.sum(2, keepdim=True).detach().exp()
    assert float(chances.sum()) == pytest.approx(1)
    advantage = (chances * rewards[..., None] * codes.shape[1]).expand(-1, -1, 2)
    drawn = policy_loss(log_probability, log_probability.detach(), advantage, torch.ones(1, 2), 0.0)

    values = codes_to_values(torch.arange(4)).double().expand(1, 2, 3, 4)
    slope = slope_loss(policy.expectation(positions, values, 1.0), plane[None], torch.ones(1, 2))
    one, other = (torch.autograd.grad(loss.sum(), positions, retain_graph=True)[0] for loss in (drawn, slope))
    assert torch.allclose(one, other, atol=1e-6) and other.abs().min() > 0


def test_slopes_are_scaled_as_advantages_are() -> None:
    slopes, rewards = torch.randn(2, 4, 5, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([[1.0, 2, 3, 2], [5.0] * 4])
    found = group_slope(slopes, rewards, 0.5)
    assert torch.allclose(found[0], slopes[0].mean(0) / (0.5**0.5 + 0.5))
    assert torch.allclose(found[1], slopes[1].mean(0) / 0.5)
