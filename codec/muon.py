"""Muon: matrices step along the orthogonal matrix that is nearest to their momentum, everything else by AdamW.

Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon), with the step size of Liu et al. 2025 (arXiv 2502.16982,
equation 4): an update's mean square is that of AdamW, so both share rate and decay. torch.optim.Muon takes the same step,
for matrices alone and in every process anew; here the processes of a team share that work, and one optimiser holds the
state of all parameters, which a checkpoint can save as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from codec.network.layers import Block
from codec.team import ALONE, Team

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the odd polynomial that takes singular values towards 1
ITERATIONS = 5
MOMENTUM = 0.95
RMS = 0.2  # of an update before the rate, as is usual of AdamW's


def block_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The trainable matrices of all blocks: most of a codec's weights."""
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    matrices = [matrix for block in blocks for matrix in (block.expand.weight, block.project.weight)]
    return [matrix for matrix in matrices if matrix.requires_grad]


def orthogonal(matrix: Tensor, precision: torch.dtype = torch.bfloat16) -> Tensor:
    """The matrix [N, M] with its singular values moved to between about 0.7 and 1.2.

    A Newton-Schulz iteration, on the side that is shorter; bfloat16 is precise enough for it.
    """
    a, b, c = COEFFICIENTS
    x = matrix.to(precision)
    tall = len(x) > len(x[0])
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.AdamW):
    """AdamW but for `matrices`, [N, M] each, which also stand in `groups`.

    Every process of `team` makes the updates of some matrices and gets the others' from the others. `precision` is that of
    the iteration: bfloat16 where the device has units for it, elsewhere it would take longer than the rest of the step.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        matrices: Sequence[nn.Parameter],
        lr: float,
        betas: tuple[float, float],
        team: Team = ALONE,
        precision: torch.dtype = torch.bfloat16,
    ):
        super().__init__(groups, lr=lr, betas=betas)
        self.matrices = sorted(matrices, key=Tensor.numel, reverse=True)  # so that turns are of about the same size
        self.team, self.precision = team, precision

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of all parameters that have a gradient; those of the matrices are gone afterwards."""
        group_of = {id(parameter): group for group in self.param_groups for parameter in group["params"]}
        stepping = [matrix for matrix in self.matrices if matrix.grad is not None]
        for matrix, update in zip(stepping, self._updates(stepping), strict=True):
            group = group_of[id(matrix)]
            matrix.mul_(1 - group["lr"] * group["weight_decay"])
            matrix.add_(update, alpha=-group["lr"] * RMS * math.sqrt(max(matrix.shape)))
        super().step(closure)

    def _updates(self, stepping: Sequence[nn.Parameter]) -> Iterator[Tensor]:
        """The direction of each matrix; takes its gradient, so that AdamW does not step it too."""
        parts = []
        for turn, matrix in enumerate(stepping):
            gradient, matrix.grad = matrix.grad, None
            assert gradient is not None
            state = self.state[matrix]
            if not state:  # by AdamW's names, which reads them back, and whose runs can go on here
                state.update(step=torch.tensor(0.0), exp_avg=torch.zeros_like(matrix))
            state["step"] += 1
            momentum = state["exp_avg"].lerp_(gradient, 1 - MOMENTUM)
            if turn % self.team.size == self.team.rank:
                parts.append(orthogonal(gradient.lerp(momentum, MOMENTUM), self.precision))
            else:
                parts.append(torch.zeros_like(matrix, dtype=self.precision))
        whole = self.team.total(torch.cat([part.reshape(-1) for part in parts])) if parts else torch.zeros(0)
        pieces = whole.split([matrix.numel() for matrix in stepping])
        return (piece.view(matrix.shape).float() for piece, matrix in zip(pieces, stepping, strict=True))
