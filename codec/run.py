"""A training run's folder: configuration, exact checkpoints, metrics.

    runs/NAME/config.json        the whole configuration
    runs/NAME/checkpoint/        model, average, optimiser (safetensors) and step (JSON), replaced as one
    runs/NAME/metrics.csv        one line per log interval
    runs/NAME/validation.csv     one line per checkpoint, where speakers are set aside
    runs/NAME/step-001000.png    original and decoded spectrograms

All randomness of a step follows from (seed, step), so a run that is killed at any moment and started again gives the
same weights as one that never stopped.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from codec.config import Config, config_from_dict
from stream.errors import ClariError


class RunError(ClariError):
    """A run folder that cannot be used; the message names the cure."""


class Run:
    """One run folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.checkpoint = folder / "checkpoint"

    def begin(self, config: Config) -> None:
        """Write the configuration, or check that the folder holds the same one.

        Raises:
            RunError: the folder belongs to another experiment.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "config.json"
        if self._recover() and path.is_file() and self.config() != config:
            raise RunError(f"{self.folder} holds a run with another configuration; choose another --out or delete it")
        path.write_text(json.dumps(dataclasses.asdict(config), indent=1), encoding="utf-8")

    def config(self) -> Config:
        """The configuration of the run in this folder."""
        path = self.folder / "config.json"
        if not path.is_file():
            raise RunError(f"{self.folder}: no training run here; train it first (python -m codec.train --help)")
        return config_from_dict(json.loads(path.read_text(encoding="utf-8")), str(path))

    def save(self, step: int, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Replace the checkpoint. A kill in between leaves the old one or the new one whole."""
        new, old = self.folder / "checkpoint.new", self.folder / "checkpoint.old"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        save_file(model.state_dict(), new / "model.safetensors")
        save_file(average.state_dict(), new / "average.safetensors")
        save_file(_optimizer_tensors(optimizer), new / "optimizer.safetensors")
        (new / "state.json").write_text(json.dumps({"step": step, "torch": torch.__version__}), encoding="utf-8")
        for file in new.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        shutil.rmtree(old, ignore_errors=True)
        if self.checkpoint.exists():
            self.checkpoint.rename(old)
        new.rename(self.checkpoint)
        shutil.rmtree(old, ignore_errors=True)

    def _recover(self) -> bool:
        """Whether a checkpoint exists, after undoing a save that was killed between its two renames."""
        old = self.folder / "checkpoint.old"
        if not self.checkpoint.exists() and old.exists():
            old.rename(self.checkpoint)
        return self.checkpoint.exists()

    def restore(self, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Load the checkpoint if there is one; returns the number of steps done."""
        if not self._recover():
            return 0
        model.load_state_dict(load_file(self.checkpoint / "model.safetensors"))
        average.load_state_dict(load_file(self.checkpoint / "average.safetensors"))
        _restore_optimizer(optimizer, load_file(self.checkpoint / "optimizer.safetensors"))
        return int(json.loads((self.checkpoint / "state.json").read_text(encoding="utf-8"))["step"])

    def average_weights(self) -> tuple[dict[str, Tensor], int]:
        """The averaged weights, which are what ships, and the step they were saved at."""
        if not self._recover():
            raise RunError(f"{self.folder}: no checkpoint yet; train longer")
        step = json.loads((self.checkpoint / "state.json").read_text(encoding="utf-8"))["step"]
        return load_file(self.checkpoint / "average.safetensors"), int(step)

    def log(self, metrics: dict[str, float], name: str = "metrics.csv") -> None:
        """Append one line to a table of the run; the first call writes the header."""
        path = self.folder / name
        if not path.exists():
            path.write_text(",".join(metrics) + "\n", encoding="utf-8")
        with path.open("a", encoding="utf-8") as file:
            file.write(",".join(f"{value:.6g}" for value in metrics.values()) + "\n")


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor.contiguous() for index, entry in state.items() for name, tensor in entry.items()}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    whole = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
