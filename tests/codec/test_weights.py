"""Weights files: they hold what ships, and stand in for runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from codec import stage1 as train
from codec import weights as weights_command
from tests.codec.tiny import arguments


def test_weights_files_stand_in_for_runs(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for task in ("recognizer", "codec", "vocoder"):
        assert train.main(arguments(task, corpus, tmp_path / task, 2)) == 0
    base, recognizer = tmp_path / "base.safetensors", tmp_path / "recognizer.safetensors"
    assert (
        weights_command.main(["--codec", str(tmp_path / "codec"), "--vocoder", str(tmp_path / "vocoder"), "--out", str(base)]) == 0
    )
    assert weights_command.main(["--recognizer", str(tmp_path / "recognizer"), "--out", str(recognizer)]) == 0
    from_runs, _, training = weights_command.assemble(tmp_path / "codec", tmp_path / "vocoder")
    from_file, _, same = weights_command.assemble(base, base)
    assert training == same == "codec step 2, vocoder step 2"
    assert all(torch.equal(a, b) for a, b in zip(from_runs.state_dict().values(), from_file.state_dict().values(), strict=True))
    beside = ["loss.knowledge=1.0", "loss.adversarial=0.1"]  # these train beside the codec and are in no weights file
    more = [f'train.recognizer="{recognizer}"', "loss.recognizer=0.7", f'train.initial="{base}"', *beside]
    assert train.main(arguments("codec", corpus, tmp_path / "more", 2, *more)) == 0
    assert train.main(arguments("vocoder", corpus, tmp_path / "more-voice", 2, f'train.initial="{base}"')) == 0
    capsys.readouterr()
    assert train.main(arguments("codec", corpus, tmp_path / "wrong", 2, f'train.initial="{recognizer}"')) == 1
    assert "fits another configuration" in capsys.readouterr().err
    (tmp_path / "garbage").write_bytes(b"garbage")
    assert weights_command.main(["--recognizer", str(tmp_path / "garbage"), "--out", str(tmp_path / "x")]) == 1
    assert "no clari weights" in capsys.readouterr().err


def test_what_ships_can_be_read() -> None:
    codec, config, training = weights_command.assemble(*[weights_command.SHIPPED / "base.safetensors"] * 2)
    assert codec.config == config.model and training
    recognizer = weights_command.load_recognizer(weights_command.SHIPPED / "recognizer.safetensors", config.model.mels)
    assert not any(parameter.requires_grad for parameter in recognizer.parameters())
