"""Run folders after kills: the configuration stays whole, and every step stands in the tables once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codec import stage1 as train
from codec.config import Config, TrainConfig
from codec.run import METRICS, VALIDATION, Run, RunError
from tests.codec.tiny import arguments, metrics


def steps_in(table: Path) -> list[int]:
    return [int(line.split(",", 1)[0]) for line in table.read_text().splitlines()[1:]]


def test_a_killed_start_leaves_the_old_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path / "run")
    run.begin(Config())

    class Killed(Exception):
        pass

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(Killed):
        run.begin(Config(train=TrainConfig(steps=7)))  # without a checkpoint nothing speaks against another one
    assert run.config() == Config()
    run.begin(Config())  # nothing has changed, nothing is written
    monkeypatch.undo()
    run.begin(Config(train=TrainConfig(steps=7)))
    assert run.config().train.steps == 7


@pytest.mark.parametrize("damage", [b"", b'{"train": {"steps": 1', b"[]", b"\xff\x00"])
def test_a_damaged_configuration_is_one_line(
    damage: bytes, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run" / "config.json"
    command = arguments("vocoder", corpus, tmp_path / "run", 2)
    assert train.main(command) == 0
    whole = path.read_bytes()
    path.write_bytes(damage)
    capsys.readouterr()
    assert train.main(command) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert str(path) in line and "delete it" in line
    with pytest.raises(RunError, match="damaged"):
        Run(tmp_path / "run").config()
    path.unlink()
    assert train.main(command) == 0 and path.read_bytes() == whole


def test_without_a_checkpoint_a_damaged_configuration_is_replaced(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (tmp_path / "config.json").write_bytes(b"")
    run.begin(Config())
    assert run.config() == Config()


def test_a_resumed_run_logs_every_step_once(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train.main(arguments("codec", corpus, whole, 8, "train.save_every=4")) == 0
    save = Run.save

    def save_but_the_last(run: Run, step: int, *rest: object) -> None:
        if step == 8:
            raise KeyboardInterrupt
        save(run, step, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "save", save_but_the_last)
    command = arguments("codec", corpus, killed, 8, "train.save_every=4")
    assert train.main(command) == 130
    assert steps_in(killed / METRICS) == [2, 4, 6, 8] and steps_in(killed / VALIDATION) == [4]
    monkeypatch.undo()
    assert train.main(command) == 0
    assert steps_in(killed / METRICS) == [2, 4, 6, 8] and steps_in(killed / VALIDATION) == [4, 8]
    assert (metrics(killed) == metrics(whole)).all()


def test_half_a_line_and_unreadable_ones_are_dropped(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for step in range(20, 381, 20):
        run.log({"step": float(step), "loss": 1 / step})
    for step in (100, 200):
        run.log({"step": float(step), "mel": 1.0}, VALIDATION)
    validated = (tmp_path / VALIDATION).read_bytes()
    with (tmp_path / METRICS).open("ab") as file:
        file.write(b"\x00\xff\n40")  # killed within 400, after a failure of power
    run.rewind(200)
    assert steps_in(tmp_path / METRICS) == list(range(20, 201, 20))
    assert (tmp_path / VALIDATION).read_bytes() == validated
    run.rewind(0)
    run.log({"step": 20.0, "other": 1.0})
    assert (tmp_path / METRICS).read_text() == "step,other\n20,1\n" and not (tmp_path / VALIDATION).exists()
