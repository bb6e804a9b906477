"""The loop that every training shares: steps, learning rate, averaged weights, checkpoints that resume exactly.

All randomness of a step follows from (seed, step), so a run that is killed at any moment and started again gives the same
weights as one that never stopped.

    runs/NAME/settings.json      what the run was started with
    runs/NAME/checkpoint.pt      model, average, optimiser and step, replaced as one
    runs/NAME/log.csv            one line per interval
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stream.errors import ClariError

CPU_FLAGS = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # of x86-64, and of 64-bit ARM
Metrics = dict[str, float]


class RunError(ClariError):
    """A run folder that cannot be used; the message names the cure."""


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast a network learns."""

    steps: int
    learning_rate: float = 1e-3
    warm_up_steps: int = 100
    final_rate_share: float = 0.03  # of the learning rate, at the end of the cosine
    weight_decay: float = 0.01
    clip: float = 1.0
    average_steps: int = 300  # the shipped weights are an exponential average over about so many steps
    seed: int = 1
    save_every_s: float = 180.0
    log_every: int = 50


def bfloat16_is_faster(device: torch.device) -> bool:
    """Whether the device has bfloat16 units: CPUs without them are hundreds of times slower in it.

    Asked of the processor, not measured: every rerun must come to the same answer.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    try:
        known = set(CPU_FLAGS.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return False
    return not BFLOAT16_FLAGS.isdisjoint(known)


def rate_share(settings: LoopSettings, step: int) -> float:
    """Linear warm-up, then a cosine down to `final_rate_share`, as a share of the learning rate."""
    warm = min(1.0, (step + 1) / max(1, settings.warm_up_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / settings.steps)))
    return warm * (settings.final_rate_share + (1 - settings.final_rate_share) * cosine)


class Loop:
    """Trains the parameters of `model` that require gradients.

    Args:
        model: what is saved and averaged, frozen parts included.
        groups: (parameters, factor on the learning rate) each; default all that require gradients.
        describe: JSON-able settings that the folder is checked against.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: LoopSettings,
        folder: Path,
        describe: dict[str, Any],
        groups: Iterable[tuple[Iterable[nn.Parameter], float]] | None = None,
    ):
        self.model, self.settings, self.folder = model, settings, folder
        chosen = groups or [((p for p in model.parameters() if p.requires_grad), 1.0)]
        listed = [(list(parameters), factor) for parameters, factor in chosen]
        self._parameters = [parameter for parameters, _ in listed for parameter in parameters]
        with_factors = [{"params": parameters, "factor": factor} for parameters, factor in listed]
        decay = settings.weight_decay
        self.optimizer = torch.optim.AdamW(with_factors, settings.learning_rate, (0.9, 0.98), weight_decay=decay)
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.step = 0
        self._begin({**describe, "loop": asdict(settings)})

    def _begin(self, description: dict[str, Any]) -> None:
        """Write the settings or check that they are the same, and go on from a checkpoint."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path, text = self.folder / "settings.json", json.dumps(description, indent=1, sort_keys=True)
        if (self.folder / "checkpoint.pt").is_file():
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                raise RunError(f"{self.folder} holds a run with other settings; choose another --out or delete it")
            found = torch.load(self.folder / "checkpoint.pt", map_location="cpu", weights_only=True)
            self.model.load_state_dict(found["model"])
            self.average = found["average"]
            self.optimizer.load_state_dict(found["optimizer"])
            self.step = found["step"]
        else:
            path.write_text(text, encoding="utf-8")

    def save(self) -> None:
        """Replace the checkpoint; a kill in between leaves the old one whole."""
        new = self.folder / "checkpoint.new"
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        torch.save(state, new)
        new.replace(self.folder / "checkpoint.pt")

    def run(
        self,
        loss_of: Callable[[np.random.Generator, int], tuple[Tensor, Metrics]],
        validate: Callable[[dict[str, Tensor]], Metrics] | None = None,
        validate_every: int = 500,
    ) -> None:
        """Train to the last step. `loss_of` is given a step's own randomness and its number."""
        settings, seen, began, saved = self.settings, list[Metrics](), time.monotonic(), time.monotonic()
        while self.step < settings.steps:
            torch.manual_seed(settings.seed * 1_000_003 + self.step)
            loss, metrics = loss_of(np.random.default_rng((settings.seed, self.step)), self.step)
            self._update(loss)
            seen.append(metrics)
            self.step += 1
            if self.step % settings.log_every == 0:
                means = {name: float(np.nanmean([each[name] for each in seen])) for name in seen[0]}
                means["s_per_step"] = (time.monotonic() - began) / len(seen)
                self._log("log.csv", means)
                seen, began = [], time.monotonic()
            if time.monotonic() - saved > settings.save_every_s:
                self.save()
                saved = time.monotonic()
            if validate and (self.step % validate_every == 0 or self.step == settings.steps):
                self._log("validation.csv", validate(self.average))
                began = time.monotonic()
        self.save()

    def _update(self, loss: Tensor) -> None:
        share = rate_share(self.settings, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * share * group["factor"]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._parameters, self.settings.clip)
        if torch.isfinite(norm):
            self.optimizer.step()
        weight = max(1 / self.settings.average_steps, 1 / (self.step + 1))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, weight)

    def _log(self, name: str, values: Metrics) -> None:
        path = self.folder / name
        if not path.exists():
            path.write_text(",".join(("step", *values)) + "\n", encoding="utf-8")
        with path.open("a", encoding="utf-8") as file:
            file.write(",".join((str(self.step), *(f"{value:.5g}" for value in values.values()))) + "\n")
        print(name.removesuffix(".csv"), self.step, " ".join(f"{key} {value:.4g}" for key, value in values.items()), flush=True)
