"""A training that is killed goes on to exactly the weights it would have reached."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from codec.train.loop import Loop, LoopSettings, RunError, rate_share

SETTINGS = LoopSettings(steps=12, learning_rate=0.05, warm_up_steps=3, log_every=4, save_every_s=0.0)


class Killed(Exception):
    pass


def trained(folder: Path, settings: LoopSettings = SETTINGS, kill_at: int = -1) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 1))
    loop = Loop(model, settings, folder, {"kind": "test"})

    def loss_of(rng: np.random.Generator, step: int) -> tuple[Tensor, dict[str, float]]:
        if step == kill_at:
            raise Killed
        x = torch.from_numpy(rng.standard_normal((16, 4)).astype(np.float32))
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        return loss, {"error": float(loss.detach())}

    loop.run(loss_of)
    return loop.average


def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")
    with pytest.raises(Killed):
        trained(tmp_path / "killed", kill_at=7)
    resumed = trained(tmp_path / "killed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_it_learns_and_logs(tmp_path: Path) -> None:
    trained(tmp_path, LoopSettings(steps=200, learning_rate=0.02, log_every=50))
    rows = (tmp_path / "log.csv").read_text().splitlines()
    first, last = (float(row.split(",")[1]) for row in (rows[1], rows[-1]))
    assert rows[0].startswith("step,error") and last < first / 2


def test_another_run_is_not_overwritten(tmp_path: Path) -> None:
    trained(tmp_path)
    with pytest.raises(RunError, match="choose another --out"):
        trained(tmp_path, LoopSettings(steps=13))


def test_the_rate_warms_up_and_ends_low() -> None:
    settings = LoopSettings(steps=1000, warm_up_steps=10, final_rate_share=0.05)
    assert rate_share(settings, 0) == pytest.approx(0.1)
    assert rate_share(settings, 9) == pytest.approx(1, abs=1e-3)
    assert rate_share(settings, 1000) == pytest.approx(0.05)
