"""The quantiser as a stochastic policy: every dimension of every frame draws its level instead of rounding to it.

Each of the 8 dimensions is a categorical over its 4 levels whose logits fall with the squared distance of the encoder's
position to the level, as in ClariCodec (https://github.com/demo941/ClariCodec). The most probable level is the nearest
one, which is what the shipped encoder sends, so nothing about the codec changes: drawing only explores around it.

Shapes: positions [..., T, 8] in (-2, 2), codes [..., T, 8] with values 0..3, everything per frame [..., T] in nats.
Leading axes broadcast, so that one utterance's positions [B, 1, T, 8] meet a group of draws [B, G, T, 8].
"""

from __future__ import annotations

import torch
from torch import Tensor

from codec.network.quantizer import LARGEST, positions_to_codes
from stream.frame import CODE_LEVELS

# Logits are -SHARPNESS * distance^2 / temperature. On the edge of a cell two levels are equally likely; in its middle,
# at temperature 1, each neighbour has a chance of 0.7 %.
SHARPNESS = 5.0


def log_probabilities(positions: Tensor, temperature: float) -> Tensor:
    """Log-probability of every level: positions [..., 8] -> [..., 8, 4]."""
    levels = torch.arange(CODE_LEVELS, device=positions.device) - LARGEST
    return torch.log_softmax(-SHARPNESS / temperature * (positions.unsqueeze(-1) - levels) ** 2, dim=-1)


def sample(positions: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """Draw codes with numbers `uniform` [..., 8] from [0, 1), one per code: the level in whose share of [0, 1) it lies."""
    below = log_probabilities(positions, temperature).exp().cumsum(-1)[..., :-1]
    return (uniform.unsqueeze(-1) >= below).sum(-1)


def mode(positions: Tensor) -> Tensor:
    """The most probable codes, which is rounding: what ships. Halfway between two levels the upper one is taken."""
    return positions_to_codes(positions)


def log_probability(positions: Tensor, codes: Tensor, temperature: float) -> Tensor:
    """Log-probability of the codes of each frame [..., T]: the sum over its dimensions."""
    table = log_probabilities(positions, temperature)
    shape = torch.broadcast_shapes(table.shape[:-1], codes.shape)  # type: ignore[no-untyped-call]
    table = table.expand(*shape, CODE_LEVELS)
    return table.gather(-1, codes.expand(table.shape[:-1]).unsqueeze(-1)).squeeze(-1).sum(-1)


def expectation(positions: Tensor, values: Tensor, temperature: float) -> Tensor:
    """Mean over the draws of what each level is worth: values [..., T, 8, 4] -> [..., T, 8]."""
    return (log_probabilities(positions, temperature).exp() * values).sum(-1)


def entropy(positions: Tensor, temperature: float) -> Tensor:
    """Entropy of each frame's codes [..., T]."""
    table = log_probabilities(positions, temperature)
    return -(table.exp() * table).sum((-1, -2))


def divergence(positions: Tensor, other: Tensor, temperature: float) -> Tensor:
    """KL divergence of the policy at `positions` from the one at `other`, per frame [..., T]."""
    table, other_table = log_probabilities(positions, temperature), log_probabilities(other, temperature)
    return (table.exp() * (table - other_table)).sum((-1, -2))
