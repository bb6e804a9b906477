"""What the training loop knows of anything that is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

Metrics = dict[str, float]


class Task(Protocol):
    """One thing to train."""

    model: nn.Module

    def batch(self, step: int) -> Any:
        """Draw the batch of one step (numpy, called on another thread)."""

    def loss(self, batch: Any) -> tuple[Tensor, Metrics]:
        """Loss of `model` on a batch, and what to log."""

    def validate(self, model: nn.Module, picture: Path | None) -> Metrics:
        """Figures of `model` on the speakers set aside; draws a picture where a path is given."""
