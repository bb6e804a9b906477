"""The processes that share a training step: one alone, or several that torchrun started.

Every process draws its own rows of the same step, DistributedDataParallel averages the gradients, and what a loss
divides by is counted over all of them: n processes take the step that one process would take on all rows.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

Row = TypeVar("Row")


@dataclass(frozen=True)
class Team:
    """Place of this process among `size` processes."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes checkpoints and reports."""
        return self.rank == 0

    def mine(self, rows: Sequence[Row]) -> Sequence[Row]:
        """This process's rows of a step."""
        return rows[self.rank :: self.size]

    def total(self, value: Tensor) -> Tensor:
        """Sum over all processes; no gradient passes."""
        value = value.detach().clone()
        if self.size > 1:
            distributed.all_reduce(value)
        return value

    def mean(self, part: Tensor, count: Tensor) -> Tensor:
        """Share of this process in `sum over processes of part / sum over processes of count`, times `size`.

        The average over the processes, which DistributedDataParallel takes of the gradients, is then the whole mean.
        """
        return part * self.size / self.total(count).clamp(min=1)

    def shared(self, module: nn.Module) -> nn.Module:
        """`module`, its gradients averaged over the processes in every backward pass."""
        if self.size == 1:
            return module
        # Depthwise kernels have a dimension of one, whose stride means nothing; torch warns of it all the same.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        return DistributedDataParallel(module)


ALONE = Team()


def join() -> tuple[Team, torch.device]:
    """Join the processes that torchrun started, or stay alone; returns the place and the device to train on."""
    cuda = torch.cuda.is_available()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE, torch.device("cuda" if cuda else "cpu")
    distributed.init_process_group("nccl" if cuda else "gloo")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    return Team(distributed.get_rank(), distributed.get_world_size()), device
