"""The policy against tables worked out level by level."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from codec.network.quantizer import bound, positions_to_codes
from codec.rl import policy
from codec.rl.policy import SHARPNESS

LEVELS = (-1.5, -0.5, 0.5, 1.5)
POSITIONS = torch.tensor(np.random.default_rng(0).uniform(-2, 2, (3, 5, 8)), dtype=torch.float64)


def by_hand(position: float, temperature: float) -> list[float]:
    weights = [math.exp(-SHARPNESS * (position - level) ** 2 / temperature) for level in LEVELS]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_log_probabilities_match_a_table(temperature: float) -> None:
    found = policy.log_probabilities(POSITIONS, temperature)
    table = [[math.log(p) for p in by_hand(float(position), temperature)] for position in POSITIONS.flatten()]
    assert torch.allclose(found.reshape(-1, 4), torch.tensor(table, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(found.exp().sum(-1), torch.ones(3, 5, 8, dtype=torch.float64), atol=1e-12)


def test_a_frame_is_the_product_of_its_dimensions() -> None:
    codes = torch.from_numpy(np.random.default_rng(1).integers(0, 4, (3, 5, 8)))
    found = policy.log_probability(POSITIONS, codes, 0.7)
    for row, frame in itertools.product(range(3), range(5)):
        chances = [by_hand(float(POSITIONS[row, frame, d]), 0.7)[codes[row, frame, d]] for d in range(8)]
        assert float(found[row, frame]) == pytest.approx(math.log(math.prod(chances)), abs=1e-10)


def test_all_codes_of_a_frame_sum_to_one() -> None:
    position = POSITIONS[0, 0, :3]  # three dimensions have 64 codes
    codes = torch.tensor(list(itertools.product(range(4), repeat=3)))
    assert float(policy.log_probability(position, codes, 1.3).exp().sum()) == pytest.approx(1, abs=1e-12)


def test_one_utterance_meets_a_group_of_draws() -> None:
    codes = torch.from_numpy(np.random.default_rng(2).integers(0, 4, (3, 6, 5, 8)))
    together = policy.log_probability(POSITIONS.unsqueeze(1), codes, 1.0)
    assert together.shape == (3, 6, 5)
    for draw in range(6):
        assert torch.allclose(together[:, draw], policy.log_probability(POSITIONS, codes[:, draw], 1.0))


def test_the_mode_is_rounding_with_ties_and_ends() -> None:
    positions = torch.cat([torch.linspace(-2, 2, 4001, dtype=torch.float64), bound(torch.tensor([-50.0, 50.0]))])
    modes = policy.mode(positions)
    nearest = [max(range(4), key=lambda code: (round(-abs(position - LEVELS[code]), 9), code)) for position in positions.tolist()]
    assert modes.tolist() == nearest  # of two levels as near, the upper one
    assert policy.mode(torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])).tolist() == [0, 1, 2, 3, 3]
    table = policy.log_probabilities(positions, 1.0)
    assert torch.allclose(table.gather(-1, modes[:, None]).squeeze(-1), table.amax(-1), atol=1e-12)
    assert torch.equal(modes, positions_to_codes(positions))


def test_draws_come_as_often_as_they_should() -> None:
    position = torch.tensor([-1.9, -1.0, -0.4, 0.0, 0.3, 0.9, 1.2, 1.7])
    uniform = (torch.arange(20000) + 0.5) / 20000
    codes = policy.sample(position, uniform[:, None].expand(-1, 8), 1.5)
    for dimension in range(8):
        shares = torch.bincount(codes[:, dimension], minlength=4) / 20000
        assert torch.allclose(shares, torch.tensor(by_hand(float(position[dimension]), 1.5)), atol=2e-4)
    ends = policy.sample(position, torch.tensor([[0.0], [1 - 2**-24]]).expand(-1, 8), 1.5)
    assert ends.min() >= 0 and ends.max() <= 3


def test_cold_draws_are_the_mode() -> None:
    uniform = torch.rand(3, 5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(policy.sample(POSITIONS, uniform, 1e-4), policy.mode(POSITIONS))


def test_gradients_match_finite_differences() -> None:
    codes = torch.from_numpy(np.random.default_rng(3).integers(0, 4, (3, 5, 8)))
    other = POSITIONS.flip(0)
    inputs = (POSITIONS.clone().requires_grad_(True),)
    assert torch.autograd.gradcheck(lambda x: policy.log_probability(x, codes, 0.8), inputs)
    assert torch.autograd.gradcheck(lambda x: policy.entropy(x, 0.8), inputs)
    assert torch.autograd.gradcheck(lambda x: policy.divergence(x, other, 0.8), inputs)


def test_the_expected_gradient_of_the_log_probability_is_zero() -> None:
    positions = POSITIONS[0, 0, :2].clone().requires_grad_(True)
    codes = torch.tensor(list(itertools.product(range(4), repeat=2)))
    chances = policy.log_probability(positions, codes, 1.0)
    (chances.exp().detach() * chances).sum().backward()
    assert positions.grad is not None and torch.allclose(positions.grad, torch.zeros(2, dtype=torch.float64), atol=1e-12)


def test_entropy_and_divergence_by_hand() -> None:
    entropy, divergence = policy.entropy(POSITIONS, 1.0), policy.divergence(POSITIONS, POSITIONS.flip(0), 1.0)
    for row, frame in itertools.product(range(3), range(5)):
        mine = [by_hand(float(position), 1.0) for position in POSITIONS[row, frame]]
        others = [by_hand(float(position), 1.0) for position in POSITIONS[2 - row, frame]]
        assert float(entropy[row, frame]) == pytest.approx(-sum(p * math.log(p) for chances in mine for p in chances))
        by_dimension = [p * math.log(p / q) for a, b in zip(mine, others, strict=True) for p, q in zip(a, b, strict=True)]
        assert float(divergence[row, frame]) == pytest.approx(sum(by_dimension), abs=1e-9)
    assert float(policy.entropy(torch.zeros(1, 8), 1e6)) == pytest.approx(8 * math.log(4), rel=1e-4)  # hot: every level alike
    assert torch.allclose(policy.divergence(POSITIONS, POSITIONS, 1.0), torch.zeros(3, 5, dtype=torch.float64))


def test_the_expectation_weighs_every_level() -> None:
    values = torch.tensor(np.random.default_rng(4).normal(size=(3, 5, 8, 4)), dtype=torch.float64)
    found = policy.expectation(POSITIONS, values, 0.7)
    for place in itertools.product(range(3), range(5), range(8)):
        by_level = zip(by_hand(float(POSITIONS[place]), 0.7), values[place].tolist(), strict=True)
        assert float(found[place]) == pytest.approx(sum(chance * value for chance, value in by_level), abs=1e-12)
