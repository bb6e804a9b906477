"""The recogniser: errors counted by hand, and what hides parts of its input."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from codec import stage1 as train
from codec.alignment import edit_distance
from codec.batches import set_aside
from codec.data.corpus import PackedCorpus, write_index
from codec.recognizer import ctc_errors
from codec.tasks.recognizer import masks_of
from tests.codec.tiny import arguments


def test_ctc_errors_by_hand() -> None:
    assert edit_distance([1, 2, 3], [1, 3]) == 1 and edit_distance([], [4, 5]) == 2 and edit_distance([1, 2], [2, 1]) == 2
    path = torch.full((1, 6, 5), -9.0)
    for frame, phone in enumerate([1, 1, 0, 1, 2, 3]):
        path[0, frame, phone] = 0
    assert ctc_errors(path, torch.tensor([5]), [[1, 1, 2, 4]]) == (1, 4)


def test_masks_hide_a_part() -> None:
    torch.manual_seed(0)
    hidden = (masks_of(4, 100, 80) == 0).float().mean(dim=(1, 2))
    assert (hidden > 0).all() and (hidden < 0.7).all()


@pytest.mark.parametrize("told", [True, False])
def test_speech_without_transcripts(told: bool, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without transcripts of the speakers set aside training goes without validation; without any it does not begin."""
    shutil.copytree(corpus, tmp_path / "speech")
    known = PackedCorpus(corpus).entries
    assert any(set_aside(entry.speaker) for entry in known)
    entries = [entry if told and not set_aside(entry.speaker) else dataclasses.replace(entry, phones="") for entry in known]
    write_index(tmp_path / "speech", entries)
    code = train.main(arguments("recognizer", tmp_path / "speech", tmp_path / "run", 2))
    said = capsys.readouterr()
    if told:
        assert code == 0 and "validation at 2: \n" in said.out and not (tmp_path / "run" / "validation.csv").exists()
    else:
        assert code == 1 and "pack transcripts" in said.err and len(said.err.splitlines()) == 1 and not said.out
