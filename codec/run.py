"""A training run's folder: configuration, exact checkpoints, metrics.

    runs/NAME/config.json        the whole configuration
    runs/NAME/checkpoint/        model, average, optimiser (safetensors) and step (JSON), replaced as one
    runs/NAME/metrics.csv        one line per log interval
    runs/NAME/validation.csv     one line per checkpoint, where speakers are set aside
    runs/NAME/step-001000.png    original and decoded spectrograms

All randomness of a step follows from (seed, step), so a run that is killed at any moment and started again gives the
same weights as one that never stopped. Its tables are cut back to the checkpoint, since what followed is logged again.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from codec.config import Config, config_from_dict
from stream.errors import ClariError

METRICS, VALIDATION = "metrics.csv", "validation.csv"


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
            RunError: the folder belongs to another experiment, or nobody can tell.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "config.json"
        if self._recover() and path.is_file() and self.config() != config:
            raise RunError(f"{self.folder} holds a run with another configuration; choose another --out or delete it")
        text = json.dumps(dataclasses.asdict(config), indent=1)
        if not path.is_file() or path.read_bytes() != text.encode():
            _replace(path, text)

    def config(self) -> Config:
        """The configuration of the run in this folder.

        Raises:
            RunError: there is no run, or its configuration is damaged.
            ConfigError: it names what this version does not know.
        """
        path = self.folder / "config.json"
        if not path.is_file():
            raise RunError(f"{self.folder}: no training run here; train it first (python -m codec.stage1 --help)")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:  # no JSON, or not even text
            values = None
        if not isinstance(values, dict):
            raise RunError(f"{path} is damaged; delete it, then start the run as it was started before to write it anew")
        return config_from_dict(values, str(path))

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

    def rewind(self, done: int) -> None:
        """Drop what was logged after step `done`, and half a last line: these steps come again."""
        for path in (self.folder / METRICS, self.folder / VALIDATION):
            if not path.is_file():
                continue
            header, *lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) or [""]
            kept = [line for line in lines if line.endswith("\n") and _step(line) <= done]
            if not kept:
                path.unlink()  # with its header: another configuration may log other columns
            elif kept != lines:
                _replace(path, header + "".join(kept))

    def log(self, metrics: dict[str, float], name: str = METRICS) -> None:
        """Append one line to a table of the run; the first call writes the header."""
        path = self.folder / name
        if not path.exists():
            path.write_text(",".join(metrics) + "\n", encoding="utf-8")
        with path.open("a", encoding="utf-8") as file:
            file.write(",".join(f"{value:.6g}" for value in metrics.values()) + "\n")


def _replace(path: Path, text: str) -> None:
    """Write a file as a whole: a kill in between leaves the old one or the new one."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _step(line: str) -> float:
    """The step of a table's line, infinite where it is unreadable."""
    try:
        return float(line.split(",", 1)[0])
    except ValueError:
        return math.inf


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
