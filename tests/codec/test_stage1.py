"""Training: every task runs, a killed run ends where an undisturbed one does, two processes take the steps of one."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from codec import stage1 as train
from codec.config import Config, TrainConfig
from codec.data.corpus import PackedCorpus, write_index
from codec.run import Run, RunError
from codec.stage1 import learning_rate, update_average
from tests.codec.tiny import ROOT, arguments, metrics, weights


@pytest.mark.parametrize("task", ["recognizer", "codec", "vocoder"])
def test_every_task_trains_and_draws(task: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(arguments(task, corpus, tmp_path / "run", 8)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("step ") for line in lines) == 4
    assert any(line.startswith("validation at 8: ") and len(line) > 20 for line in lines)
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert rows[0].startswith("step,loss") and len(rows) == 5
    assert np.isfinite([float(value) for row in rows[1:] for value in row.split(",")]).all()
    if task != "recognizer":
        assert (tmp_path / "run" / "step-000008.png").read_bytes()[:4] == b"\x89PNG"


def test_the_recognizer_judges_the_codec_in_training(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(arguments("recognizer", corpus, tmp_path / "recognizer", 2)) == 0
    judged = [f'train.recognizer="{tmp_path / "recognizer"}"', "loss.recognizer=0.7"]
    assert train.main(arguments("codec", corpus, tmp_path / "first", 2)) == 0
    assert train.main(arguments("codec", corpus, tmp_path / "run", 2, *judged, f'train.initial="{tmp_path / "first"}"')) == 0
    assert "kl" in capsys.readouterr().out
    frozen = weights(tmp_path / "recognizer")
    assert train.main(arguments("recognizer", corpus, tmp_path / "recognizer", 2)) == 0  # nothing is left to do
    assert all(torch.equal(frozen[name], value) for name, value in weights(tmp_path / "recognizer").items())


@pytest.mark.training
def test_a_run_killed_at_any_moment_ends_with_the_same_weights(corpus: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    steps = 12
    muon = 'train.optimizer="muon"'  # which holds AdamW's state and its own
    assert train.main(arguments("codec", corpus, whole, steps, muon)) == 0
    command = [sys.executable, "-m", "codec.stage1", *arguments("codec", corpus, killed, steps, muon)]
    interruptions = 0
    for _ in range(3):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        before = saved_step(killed)
        deadline = time.monotonic() + 120
        while process.poll() is None and saved_step(killed) <= before and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        interruptions += saved_step(killed) < steps
    assert interruptions  # at least one kill came before the end
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    undisturbed, resumed = weights(whole), weights(killed)
    assert undisturbed.keys() == resumed.keys()
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)


def saved_step(run: Path) -> int:
    try:
        return int(json.loads((run / "checkpoint" / "state.json").read_text())["step"])
    except (FileNotFoundError, json.JSONDecodeError):
        return 0


def test_a_kill_between_the_renames_of_a_save_loses_nothing(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train.main(arguments("vocoder", corpus, run, 2)) == 0
    (run / "checkpoint").rename(run / "checkpoint.old")
    assert Run(run).average_weights()[1] == 2


def test_another_configuration_is_not_mixed_into_a_run(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(arguments("vocoder", corpus, tmp_path / "run", 2)) == 0
    capsys.readouterr()
    assert train.main(arguments("vocoder", corpus, tmp_path / "run", 2, "train.learning_rate=0.5")) == 1
    assert capsys.readouterr().err.strip().endswith("choose another --out or delete it")


def test_missing_runs_and_corpora_are_one_line(tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(arguments("vocoder", tmp_path / "nowhere", tmp_path / "a", 2)) == 1
    assert train.main(arguments("codec", corpus, tmp_path / "b", 2, "loss.recognizer=0.7", 'train.recognizer="/nowhere"')) == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 2 and "codec.data.corpus pack" in errors[0] and "train it first" in errors[1]
    with pytest.raises(RunError, match="no training run"):
        Run(tmp_path / "c").config()


def test_the_rate_warms_up_and_decays() -> None:
    config = TrainConfig(steps=100, warmup_steps=10, learning_rate=1.0, final_rate_share=0.1)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(0.98, abs=0.02) and rates[100] == pytest.approx(0.1)


def test_the_average_follows_the_weights() -> None:
    slow, fast = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    before = slow.weight.detach().clone()
    update_average(slow, fast, 0.5, step=1000)
    assert torch.allclose(slow.weight, (before + fast.weight) / 2)
    update_average(slow, fast, 0.999, step=0)  # young averages forget their start
    assert torch.allclose(slow.weight, fast.weight, atol=0.2 * (before - fast.weight).abs().max().item())


def test_the_average_of_frozen_weights_keeps_their_bytes() -> None:
    """A decoder's id is that of its bytes, and in them 0 and -0 differ."""
    slow, fast = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).requires_grad_(False)
    with torch.no_grad():
        fast.weight[0, 0] = -0.0
        slow.weight.copy_(fast.weight)
    update_average(slow, fast, 0.9, step=1000)
    assert slow.weight.detach().numpy().tobytes() == fast.weight.numpy().tobytes()


@pytest.mark.parametrize("part", ["encoder", "feedback"])
def test_a_run_of_one_part_changes_no_byte_of_the_others(part: str, corpus: Path, tmp_path: Path) -> None:
    assert train.main(arguments("codec", corpus, tmp_path / "first", 2)) == 0
    more = [f'train.initial="{tmp_path / "first"}"', f'train.trainable="{part}"']
    assert train.main(arguments("codec", corpus, tmp_path / "run", 2, *more)) == 0
    before, after = weights(tmp_path / "first"), weights(tmp_path / "run")
    changed = [name for name in before if name.startswith("average.") and not torch.equal(before[name], after[name])]
    prefix = {"encoder": "average.encoder.", "feedback": "average.encoder.feedback."}[part]
    assert changed and all(name.startswith(prefix) for name in changed)


def test_a_part_that_does_not_exist_is_one_line(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(arguments("codec", corpus, tmp_path / "run", 2, 'train.trainable="vocoder"')) == 1
    assert capsys.readouterr().err.strip().endswith("train.trainable is 'vocoder'; write all, encoder, feedback")


def with_phone_times(corpus: Path, folder: Path) -> Path:
    """A copy of a packed corpus whose phones all last as long."""
    shutil.copytree(corpus, folder)
    timed = []
    for entry in PackedCorpus(folder).entries:
        phones = entry.phones.split()
        ends_s = np.linspace(0, entry.samples / 16_000, len(phones) + 1)[1:]
        timed.append(entry.with_alignment(" ".join(f"{phone}:{end_s:.3f}" for phone, end_s in zip(phones, ends_s, strict=True))))
    write_index(folder, timed)
    return folder


@pytest.mark.training
@pytest.mark.parametrize("task", ["recognizer", "codec", "vocoder"])
def test_two_processes_take_the_steps_of_one_on_all_crops(task: str, base: Path, corpus: Path, tmp_path: Path) -> None:
    more = [f"data.batch_s={24.0 if task == 'recognizer' else 4.0}", "train.log_every=1", "train.bit_error_share=0.5"]
    if task == "codec":  # every objective that it knows
        corpus = with_phone_times(corpus, tmp_path / "timed")
        more += [f'train.recognizer="{base / "recognizer"}"', "loss.recognizer=0.7", "loss.knowledge=0.5"]
        more += ["loss.phones=0.3", "loss.envelope=1.0"]
    if task == "vocoder":
        more += ['train.optimizer="muon"']
    assert train.main(arguments(task, corpus, tmp_path / "one", 6, *more)) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "codec.stage1"]
    done = subprocess.run([*torchrun, *arguments(task, corpus, tmp_path / "two", 6, *more)], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    assert one.shape == two.shape and len(one) == 6
    columns = (tmp_path / "one" / "metrics.csv").read_text().split("\n", 1)[0].split(",")
    loss = columns.index("loss")
    np.testing.assert_allclose(two[:, loss], one[:, loss], rtol=2e-4)
    if task == "codec":
        for name in ("envelope", "phones", "knowledge"):
            assert (one[:, columns.index(name)] > 0).all()
    start, ends = one[0, loss], (weights(tmp_path / "one"), weights(tmp_path / "two"))
    assert one[-1, loss] != start  # steps were taken
    for name, value in ends[0].items():
        if name.startswith("model."):
            assert torch.allclose(value, ends[1][name], atol=2e-3), name


@pytest.mark.training
def test_the_same_seed_gives_the_same_losses(corpus: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        assert train.main(arguments("codec", corpus, tmp_path / name, 50, "train.save_every=50")) == 0
    assert np.array_equal(metrics(tmp_path / "first"), metrics(tmp_path / "second"))


class Overflowing:
    """Two parts that train side by side, one of which has no finite gradient in its second step."""

    def __init__(self, overflows: str):
        self.model = torch.nn.ModuleDict({name: torch.nn.Linear(2, 1) for name in ("first", "second")})
        self.overflows = overflows

    def batch(self, step: int) -> int:
        return step

    def loss(self, batch: int) -> tuple[torch.Tensor, dict[str, float]]:
        outputs = {name: part(torch.ones(1, 2)).sum() for name, part in self.model.items()}
        if batch == 1:
            outputs[self.overflows] = outputs[self.overflows] * float("nan")
        return torch.stack(list(outputs.values())).sum(), {}

    def validate(self, model: torch.nn.Module, picture: Path | None) -> dict[str, float]:
        return {}


@pytest.mark.parametrize("overflows", ["first", "second"])
def test_a_step_that_overflows_in_any_part_is_left_out(overflows: str, tmp_path: Path) -> None:
    config = Config(train=TrainConfig(task="overflowing", steps=3, save_every=1, autocast="off"))
    run = Run(tmp_path / "run")
    run.begin(config)
    train.train(config, run, tasks={"overflowing": lambda config, device, team: Overflowing(overflows)})
    saved = weights(run.folder)
    assert all(torch.isfinite(value).all() for value in saved.values())
    assert all(saved[name] == 2 for name in saved if name.startswith("optimizer") and name.endswith("step"))


def test_bfloat16_is_asked_of_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text, has in (
        ("x86", "flags : fpu avx512_bf16 fma", True),
        ("arm", "Features : fp bf16", True),
        ("old", "flags : avx2", False),
    ):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(train, "CPU_FLAGS", tmp_path / name)
        assert train.bfloat16_is_faster(train.CPU) is has
    monkeypatch.setattr(train, "CPU_FLAGS", tmp_path / "none")
    assert not train.bfloat16_is_faster(train.CPU)
