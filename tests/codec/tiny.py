"""Networks so small that a step of training takes milliseconds, and what their runs leave behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from codec.config import load_config
from codec.rl import PolicyTask

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "codec" / "configs"
TINY = [
    "model.mels=20", "model.encoder_widths=[8, 8, 12]", "model.encoder_blocks=[1, 1, 1]", "model.decoder_widths=[12, 8, 8]",
    "model.decoder_blocks=[1, 1, 1]", "model.vocoder_width=12", "model.vocoder_blocks=1", "recognizer.width=12",
    "recognizer.blocks=2", "data.noise_share=0.0", "data.crop_s=0.96", "data.batch_s=2.0",
    "train.log_every=2", "train.save_every=2", "train.picture_every=4", "train.warmup_steps=2",
    'train.autocast="off"',  # sums of bfloat16 depend on their order, and the tests compare
]  # fmt: skip


def arguments(task: str, corpus: Path, out: Path, steps: int, *more: str) -> list[str]:
    configs = {"recognizer": "recognizer.toml", "codec": "codec-mel.toml", "vocoder": "vocoder.toml"}
    data = [f'data.corpora=["{corpus}"]', "data.shares=[1.0]", f"train.steps={steps}"]
    return ["--threads", "1", "--config", str(CONFIGS / configs[task]), "--out", str(out), *TINY, *data, *more]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value
        for name in ("model", "average", "optimizer")
        for key, value in load_file(run / "checkpoint" / f"{name}.safetensors").items()
    }


def metrics(run: Path) -> np.ndarray:
    """Metrics of a run without the time that its steps took."""
    return np.loadtxt(run / "metrics.csv", delimiter=",", skiprows=1)[:, :-1]


def overrides(base: Path, corpus: Path, steps: int, *more: str) -> list[str]:
    return [
        *TINY, f'data.corpora=["{corpus}"]', "data.shares=[1.0]", "data.batch_s=8.0", "data.room_share=0.0", f"train.steps={steps}",
        f'train.initial="{base / "base.safetensors"}"', f'train.recognizer="{base / "recognizer"}"', "rl.group=4",
        "rl.validation_rounds=1", *more,
    ]  # fmt: skip


def run_rl(base: Path, corpus: Path, out: Path, steps: int, *more: str, config: str = "rl") -> list[str]:
    path = str(CONFIGS / f"{config}.toml")
    return ["--threads", "1", "--config", path, "--out", str(out), *overrides(base, corpus, steps, *more)]


def task_of(base: Path, corpus: Path, *more: str) -> PolicyTask:
    torch.manual_seed(0)
    return PolicyTask(load_config(CONFIGS / "rl.toml", overrides(base, corpus, 4, *more)), torch.device("cpu"))
