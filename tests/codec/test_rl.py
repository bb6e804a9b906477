"""Stage 2: what is frozen stays frozen, and a run resumes exactly, in one process and in two."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from codec import rl, train
from codec.rl import PolicyTask
from codec.run import Run
from tests.codec.tiny import ROOT, metrics, run_rl, weights


def digests(base: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(base.rglob("*.safetensors"))}


@pytest.mark.parametrize("config", ["rl", "rl-search", "rl-slope", "rl-robust", "rl-control", "rl-plain"])
def test_every_published_experiment_runs_and_reports(
    config: str, base: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"rl-control": ["rl.group=1"], "rl-slope": ["reward={mel = 1.0}"]}.get(config, [])
    assert rl.main(run_rl(base, corpus, tmp_path / "run", 4, *more, "rl.validation_rounds=2", config=config)) == 0
    lines = capsys.readouterr().out.splitlines()
    validation = next(line for line in lines if line.startswith("validation at 4: "))
    assert ("before_link_cer" in validation) == (config == "rl-robust")
    header, *rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert {"reward", "wer", "cer", "per", "entropy_bits", "kl", "gradient_norm", "equal_groups"} <= set(header.split(","))
    assert len(rows) == 2 and np.isfinite([float(value) for row in rows for value in row.split(",")]).all()
    checked = (tmp_path / "run" / "validation.csv").read_text().splitlines()
    assert len(checked) == 3 and checked[0].startswith("step,reward,") and "before_cer" in checked[0]
    row = dict(zip(checked[0].split(","), map(float, checked[-1].split(",")), strict=True))
    assert row["gain"] == pytest.approx(row["reward"] - row["before_reward"], abs=1e-4)  # the file rounds
    assert row["gain_error"] >= 0 and ("link_gain" in row) == (config == "rl-robust")
    assert (tmp_path / "run" / "step-000004.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("credit", ["frame", "utterance"])
def test_not_one_byte_behind_the_quantiser_changes(credit: str, base: Path, corpus: Path, tmp_path: Path) -> None:
    before = digests(base)
    more = [f'rl.credit="{credit}"', "reward.stoi=1.0", f'train.vocoder="{base / "base.safetensors"}"', "train.learning_rate=1e-2"]
    assert rl.main(run_rl(base, corpus, tmp_path / "run", 4, *more)) == 0
    assert digests(base) == before
    shipped = load_file(base / "base.safetensors")
    for kind in ("model", "average"):
        trained = load_file(tmp_path / "run" / "checkpoint" / f"{kind}.safetensors")
        for name, tensor in trained.items():
            same = tensor.numpy().tobytes() == shipped[f"mel_codec.{name}"].float().numpy().tobytes()
            assert same or name.startswith("encoder."), name
        moved = [not torch.equal(trained[name], shipped[f"mel_codec.{name}"].float()) for name in trained if "encoder" in name]
        assert sum(moved) > len(moved) // 2
        assert not torch.equal(trained["encoder.project.weight"], shipped["mel_codec.encoder.project.weight"].float())


@pytest.mark.training
def test_a_run_that_was_stopped_ends_with_the_same_weights(base: Path, corpus: Path, tmp_path: Path) -> None:
    more = ["rl.link_share=0.5", "rl.updates=2", "rl.clip=0.2", "rl.kl=0.1"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert rl.main(run_rl(base, corpus, whole, 6, *more)) == 0

    class Killed(Exception):
        pass

    class Dying(PolicyTask):
        def loss(self, batch):  # type: ignore[no-untyped-def]
            if batch.step == 5:
                raise Killed
            return super().loss(batch)

    with pytest.raises(Killed):
        train.main(run_rl(base, corpus, stopped, 6, *more), {"rl": Dying}, "codec.rl", "")
    assert Run(stopped).average_weights()[1] == 4
    assert rl.main(run_rl(base, corpus, stopped, 6, *more)) == 0
    undisturbed, resumed = weights(whole), weights(stopped)
    assert undisturbed.keys() == resumed.keys()
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)


@pytest.mark.training
@pytest.mark.parametrize("rounds", [0, 2])
def test_two_processes_take_the_steps_of_one(base: Path, corpus: Path, tmp_path: Path, rounds: int) -> None:
    more = [
        f"rl.rounds={rounds}",
        "train.log_every=1",
        "data.batch_s=16.0",
        "rl.link_share=0.5",
        "loss.recognizer=0.3",
        "rl.kl=0.1",
    ]
    assert rl.main(run_rl(base, corpus, tmp_path / "one", 2, *more)) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "codec.rl"]
    done = subprocess.run([*torchrun, *run_rl(base, corpus, tmp_path / "two", 2, *more)], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    columns = (tmp_path / "one" / "metrics.csv").read_text().split("\n", 1)[0].split(",")
    for name in ("loss", "mel", "kl", "policy", "gradient_norm"):
        # A draw on the edge between two levels may round the other way where the sums run in another order.
        np.testing.assert_allclose(two[0, columns.index(name)], one[0, columns.index(name)], rtol=2e-2, atol=1e-4, err_msg=name)
    for name, value in weights(tmp_path / "one").items():
        if name.startswith("model."):
            assert torch.allclose(value, weights(tmp_path / "two")[name], atol=2e-3), name


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("reward={speed = 1.0}", "knows no ['speed']; known are wer, cer"),
        ("reward={}", "weighs nothing"),
        ("rl.group=1", "nothing to compare"),
        ("rl.temperature=0.0", "more than 0"),
        ('rl.credit="word"', "frame or utterance"),
        ("rl.rounds=-1", "counts from 0"),
        ('rl.gradient="steep"', "draws or slope"),
        ('rl.gradient="slope"', "counts ['cer'], which has no slope"),
        ('rl.reference="text"', "transcript or heard"),
        ('rl.trainable="vocoder"', "all, encoder, feedback"),
        ("reward.stoi=1.0", "train.vocoder is empty"),
        ("loss.teacher=1.0", "train.vocoder is empty"),
        ("rl.updates=3", "multiples of rl.updates"),
        ("rl.link_loss_rate=[0.1, 1.0]", "below 1"),
        ("rl.link_burst_packets=0.5", "at least 1"),
        ('rl.link_profile="wide"', "unknown profile"),
        ('train.initial=""', "train.initial is empty"),
        ('train.task="codec"', "write one of rl"),
        ('reward.cer="much"', "must be a number"),
        ("reward=1.0", "must be a section"),
    ],
)
def test_numbers_that_cannot_be_meant_are_one_line(
    override: str, says: str, base: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rl.main(run_rl(base, corpus, tmp_path / "run", 4, override)) == 1
    captured = capsys.readouterr()
    assert says in captured.err and len(captured.err.strip().splitlines()) == 1 and captured.err.startswith("codec.rl: ")
