"""Stage 1 training: recogniser, then mel codec and vocoder.

    python -m codec.stage1 --config codec/configs/recognizer.toml --out runs/recognizer
    python -m codec.stage1 --config codec/configs/codec.toml --out runs/codec
    python -m codec.stage1 --config codec/configs/vocoder.toml --out runs/vocoder
    torchrun --nproc-per-node 2 -m codec.stage1 --config codec/configs/codec.toml --out runs/codec --threads 1

Started again with the same arguments, a run goes on from its last checkpoint to exactly the weights it would have
reached without the interruption. Every hyper-parameter stands in codec/config.py with its reason; a TOML file holds
what differs; `section.key=value` after the options overrides both.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from codec.batches import prefetch
from codec.config import Config, ConfigError, TrainConfig, load_config
from codec.muon import Muon, block_matrices
from codec.run import VALIDATION, Run
from codec.tasks import TASKS, Metrics, Task, Tasks
from codec.team import ALONE, Team, join
from stream.errors import run_command

CPU = torch.device("cpu")
CPU_FLAGS = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # of x86-64, and of 64-bit ARM


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to `final_rate_share` of the rate."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps)))
    return config.learning_rate * warm * (config.final_rate_share + (1 - config.final_rate_share) * cosine)


def bfloat16_is_faster(device: torch.device) -> bool:
    """Whether the device has bfloat16 units: CPUs without them are hundreds of times slower in it.

    Asked of the processor, not measured: all processes of a run, and every rerun, must come to the same answer.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    try:
        known = set(CPU_FLAGS.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return False
    return not BFLOAT16_FLAGS.isdisjoint(known)


def mixes_precisions(config: TrainConfig, device: torch.device) -> bool:
    """Whether the configuration and the machine want bfloat16 mixed precision.

    Raises:
        ConfigError: `train.autocast` is none of its words.
    """
    if config.autocast not in ("auto", "on", "off"):
        raise ConfigError(f"train.autocast is {config.autocast!r}; write auto, on or off")
    return config.autocast == "on" or (config.autocast == "auto" and bfloat16_is_faster(device))


def autocast(config: TrainConfig, device: torch.device) -> AbstractContextManager[None]:
    """bfloat16 mixed precision where the configuration and the machine want it."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixes_precisions(config, device))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices, not biases, norms and scales."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]


def make_optimizer(settings: TrainConfig, model: nn.Module, team: Team, device: torch.device = CPU) -> torch.optim.Optimizer:
    """AdamW of all, or Muon of the matrices.

    Raises:
        ConfigError: `train.optimizer` is neither.
    """
    groups = parameter_groups(model, settings.weight_decay)
    if settings.optimizer == "muon":
        precision = torch.bfloat16 if mixes_precisions(settings, device) else torch.float32
        return Muon(groups, block_matrices(model), settings.learning_rate, settings.betas, team, precision)
    if settings.optimizer != "adamw":
        raise ConfigError(f"train.optimizer is {settings.optimizer!r}; write adamw or muon")
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Exponential average of the weights; young runs forget faster so that the start does not linger."""
    decay = min(decay, (1 + step) / (10 + step))
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    for (name, fast), slow in zip(model.state_dict().items(), average.state_dict().values(), strict=True):
        if name in frozen or not slow.is_floating_point():
            slow.copy_(fast)  # an average with itself would turn -0 into 0, and a decoder's id is that of its bytes
        else:
            slow.lerp_(fast.to(slow.dtype), 1 - decay)


def team_means(team: Team, sums: Metrics, steps: int) -> Metrics:
    """Mean per step and process of metrics summed over `steps`."""
    total = team.total(torch.tensor(list(sums.values()), dtype=torch.float64))
    return dict(zip(sums, (total / (steps * team.size)).tolist(), strict=True))


class Objective(nn.Module):
    """A task's loss as one module, the form in which gradients are averaged over processes."""

    def __init__(self, task: Task):
        super().__init__()
        self.model, self.task_loss = task.model, task.loss

    def forward(self, batch: Any) -> tuple[Tensor, Metrics]:
        return self.task_loss(batch)


def train(config: Config, run: Run, team: Team = ALONE, device: torch.device = CPU, tasks: Tasks = TASKS) -> None:
    """Train until `config.train.steps`, from the run's last checkpoint; every process of a team calls this."""
    settings = config.train
    torch.manual_seed(settings.seed)
    task = tasks[settings.task](config, device, team)
    model = task.model
    objective = team.shared(Objective(task))
    average = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = make_optimizer(settings, model, team, device)
    done = run.restore(model, average, optimizer)
    mixed = autocast(settings, device)
    parameters = sum(p.numel() for p in model.parameters())
    if team.leads:
        run.rewind(done)
        processes = f" in {team.size} processes" if team.size > 1 else ""
        print(
            f"{settings.task}: {parameters / 1e6:.1f} M parameters on {device.type}{processes}, step {done} of {settings.steps}",
            flush=True,
        )

    sums: dict[str, float] = {}
    started = time.perf_counter()
    for step, batch in prefetch(task.batch, done, settings.steps):
        torch.manual_seed(settings.seed * 1_000_003 + step)  # a step's randomness follows from its number alone
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        with mixed:
            loss, metrics = objective(batch)
        loss.backward()
        # Vocoder and discriminators pull against each other: neither's gradient may shorten the other's step.
        parts = model.values() if isinstance(model, nn.ModuleDict) else [model]
        norms = [nn.utils.clip_grad_norm_(part.parameters(), settings.gradient_clip) for part in parts]
        norm = torch.stack(norms).max()  # unlike Python's max this keeps a NaN of any part
        if torch.isfinite(norm):  # a step that overflowed is left out rather than poisoning the weights
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        update_average(average, model, settings.average_decay, step)
        for name, value in {"loss": float(loss.detach()), **metrics, "gradient_norm": float(norm)}.items():
            sums[name] = sums.get(name, 0.0) + value

        done = step + 1
        if done % settings.log_every == 0:
            seconds = (time.perf_counter() - started) / settings.log_every
            started = time.perf_counter()
            means = {"step": float(done), **team_means(team, sums, settings.log_every), "step_s": seconds}
            sums = {}
        if not team.leads:
            continue
        if done % settings.log_every == 0:
            run.log(means)
            print("  ".join(f"{name} {value:.4g}" for name, value in means.items()), flush=True)
        if done % settings.save_every == 0 or done == settings.steps:
            run.save(done, model, average, optimizer)
            picture = run.folder / f"step-{done:06d}.png" if done % settings.picture_every == 0 or done == settings.steps else None
            figures = task.validate(average, picture)
            if figures:
                run.log({"step": float(done), **figures}, VALIDATION)
            print(f"validation at {done}: " + "  ".join(f"{name} {value:.4g}" for name, value in figures.items()), flush=True)


def build_parser(name: str, description: str) -> argparse.ArgumentParser:
    """The options of everything that works on an experiment; those of a run are added to them."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    parser.add_argument("--config", type=Path, required=True, help="TOML file, see codec/configs/")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 is every core")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="change single values, written as TOML")
    return parser


def main(
    argv: list[str] | None = None,
    tasks: Tasks = TASKS,
    name: str = "codec.stage1",
    description: str = "Train the recogniser, the codec or the vocoder.",
) -> int:
    """The command line of every kind of training; `tasks` are those that this one knows."""
    parser = build_parser(name, description)
    parser.add_argument("--out", type=Path, required=True, help="run folder; an existing run of the same configuration goes on")
    args = parser.parse_args(argv)

    def command() -> int:
        config = load_config(args.config, args.overrides)
        if config.train.task not in tasks:
            raise ConfigError(f"train.task is {config.train.task!r}; write one of {', '.join(tasks)}")
        if args.threads:
            torch.set_num_threads(args.threads)
        team, device = join()
        run = Run(args.out)
        if team.leads:
            run.begin(config)
        train(config, run, team, device, tasks)
        return 0

    try:
        return run_command(name, command)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
