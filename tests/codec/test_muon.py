"""Muon takes the steps of torch's own for matrices and of AdamW for the rest, alone or with the work shared."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from codec.config import TrainConfig
from codec.muon import ITERATIONS, MOMENTUM, Muon, block_matrices, orthogonal
from codec.network.layers import Block
from codec.team import ALONE, Team
from codec.stage1 import make_optimizer, parameter_groups

WIDTH = 12
RATE = 1e-2
DECAY = 0.1
BETAS = (0.8, 0.99)


class Member(Team):
    """A process of a team of two whose other half is known."""

    def total(self, value: Tensor) -> Tensor:
        return value


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"block": Block(WIDTH, 3, 2), "head": nn.Linear(WIDTH, 5)})


def gradients(net: nn.Module, step: int) -> None:
    """The same ones for every copy."""
    generator = torch.Generator().manual_seed(step)
    for parameter in net.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def muon(net: nn.Module, team: Team | None = None) -> Muon:
    return Muon(parameter_groups(net, DECAY), block_matrices(net), RATE, BETAS, *([team] if team else []))


def steps(net: nn.Module, optimizers: Sequence[torch.optim.Optimizer], numbers: range) -> None:
    for number in numbers:
        gradients(net, number)
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
def test_an_orthogonal_matrix_is_near_the_given_one(precision: torch.dtype) -> None:
    torch.manual_seed(1)
    for shape in ((6, 20), (20, 6)):
        matrix = torch.randn(shape)
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        found = orthogonal(matrix, precision)
        assert found.dtype == precision
        found = found.float()
        assert torch.linalg.svdvals(found).min() > 0.6 and torch.linalg.svdvals(found).max() < 1.3
        assert torch.cosine_similarity(found.flatten(), (left @ right).flatten(), dim=0) > 0.97


def test_matrices_step_as_by_torch_and_the_rest_as_by_adamw() -> None:
    ours, theirs = model(), model()
    matrices = block_matrices(theirs)
    rest = [parameter for parameter in theirs.parameters() if all(parameter is not matrix for matrix in matrices)]
    groups = [
        {"params": [p for p in rest if p.dim() >= 2], "weight_decay": DECAY},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ]
    reference = torch.optim.Muon(
        matrices, lr=RATE, weight_decay=DECAY, momentum=MOMENTUM, ns_steps=ITERATIONS, adjust_lr_fn="match_rms_adamw"
    )
    steps(ours, [muon(ours)], range(4))
    steps(theirs, [reference, torch.optim.AdamW(groups, lr=RATE, betas=BETAS)], range(4))
    for name, value in ours.named_parameters():
        torch.testing.assert_close(value, theirs.get_parameter(name), rtol=1e-5, atol=1e-6, msg=name)


def test_the_state_goes_on_after_it_was_saved() -> None:
    whole, parted = model(), model()
    steps(whole, [muon(whole)], range(6))
    first = muon(parted)
    steps(parted, [first], range(3))
    second = muon(parted)
    second.load_state_dict(first.state_dict())
    steps(parted, [second], range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parted.parameters(), strict=True))


def test_a_run_of_adamw_goes_on_by_muon() -> None:
    net = model()
    before = torch.optim.AdamW(parameter_groups(net, DECAY), lr=RATE, betas=BETAS)
    steps(net, [before], range(2))
    after = muon(net)
    after.load_state_dict(before.state_dict())
    steps(net, [after], range(2, 4))
    assert all(parameter.isfinite().all() for parameter in net.parameters())


@pytest.mark.parametrize("rank", [0, 1])
def test_each_process_makes_its_share(rank: int) -> None:
    """What the others make is added by the team; without them their matrices only decay."""
    alone, shared = model(), model()
    start = [matrix.detach().clone() for matrix in block_matrices(alone)]
    steps(alone, [muon(alone)], range(1))
    steps(shared, [muon(shared, Member(rank, 2))], range(1))
    for turn, (before, whole, part) in enumerate(zip(start, block_matrices(alone), block_matrices(shared), strict=True)):
        assert torch.equal(part, whole if turn == rank else before * (1 - RATE * DECAY))


def test_frozen_blocks_are_left_alone() -> None:
    net = model().requires_grad_(False)
    assert block_matrices(net) == []


@pytest.mark.parametrize(("autocast", "precision"), [("on", torch.bfloat16), ("off", torch.float32)])
def test_it_iterates_in_the_precision_of_the_run(autocast: str, precision: torch.dtype) -> None:
    optimizer = make_optimizer(TrainConfig(optimizer="muon", autocast=autocast), model(), ALONE)
    assert isinstance(optimizer, Muon) and optimizer.precision == precision
