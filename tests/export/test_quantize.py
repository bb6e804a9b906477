"""Graphs with 8-bit matrices: smaller, loadable, and close to what they were."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest

from export import command
from export.quantize import cost, quantize
from stream.engine import find_graph, load_decoder, load_encoder
from tests.conftest import speech_like


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of the model that ships, and where the same with 8-bit matrices goes."""
    folder = tmp_path_factory.mktemp("int8")
    shutil.copytree(find_graph("base", "encoder").parent, folder / "whole")
    return folder / "whole", folder / "small"


def test_the_command_says_what_it_costs(models: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    whole, small = models
    assert command.main(["--int8", str(whole), "--name", "small", "--out", str(small)]) == 0
    said = capsys.readouterr().out
    assert "of the code digits are equal" in said and f"--model {small}" in said
    types = {node.op_type for node in onnx.load(small / "encoder.onnx").graph.node}
    assert "MatMulInteger" in types or "DynamicQuantizeMatMul" in types


def test_its_receivers_hear_the_same_senders(models: tuple[Path, Path]) -> None:
    whole, small = models
    quantize(str(whole), "small", small)
    assert load_encoder(str(small)).meta.name == "small"
    assert load_decoder(str(small)).meta.decoder_id == load_decoder(str(whole)).meta.decoder_id
    found = cost(str(whole), str(small), speech_like(4.0))
    assert 0.9 < found.equal_codes < 1.0
    assert 0.0 < found.mel_distance < 0.2


def test_a_name_may_hold_anything(models: tuple[Path, Path], tmp_path: Path) -> None:
    name = 'the "small" one\\'
    quantize(str(models[0]), name, tmp_path / "odd")
    assert load_decoder(str(tmp_path / "odd")).meta.name == name


def test_nothing_is_overwritten_by_its_own_quantised_form(models: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    whole, _ = models
    before = (whole / "encoder.onnx").read_bytes()
    assert command.main(["--int8", str(whole), "--name", "whole", "--out", str(whole)]) != 0
    assert "choose another --out" in capsys.readouterr().err
    assert (whole / "encoder.onnx").read_bytes() == before


def test_half_a_request_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command.main(["--name", "x", "--out", str(tmp_path)]) == 2
    assert "give --codec and --vocoder, or --int8 MODEL alone" in capsys.readouterr().err
