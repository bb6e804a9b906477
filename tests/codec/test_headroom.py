"""The headroom of the encoder: rounded and found codes side by side, heard by a judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from codec import headroom
from tests.codec.tiny import CONFIGS, overrides


class Deaf:
    """Hears nothing but how many recordings there were."""

    name = "deaf 1"

    def __init__(self) -> None:
        self.audios: list[np.ndarray] = []

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        self.audios += audios
        return iter([""] * len(audios))


def test_found_codes_are_better_by_the_reward_and_judged_beside_the_rounded_ones(
    base: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Deaf()
    monkeypatch.setattr(headroom, "open_judge", lambda name, workers: judge)
    common = ["--config", str(CONFIGS / "rl-search.toml"), "--vocoder", str(base / "base.safetensors"), "--cache", str(tmp_path)]
    common += ["--threads", "1", "--batches", "2", *overrides(base, corpus, 4), "reward={mel = 1.0}", "rl.temperature=8.0"]
    assert headroom.main([*common, "rl.rounds=3"]) == 0
    out = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| ")]
    original, rounded, found = map(float, cells[1][1:])
    assert rounded < found < original == 0
    assert [row[0] for row in cells[2:]] == ["deaf 1", "original", "rounded", "found"]
    assert all(row[1].startswith("100.0 ") for row in cells[3:]) and "p = 1.0000" in out
    assert len(judge.audios) % 3 == 0 and all(audio.dtype == np.int16 for audio in judge.audios)
    assert headroom.main([*common, "rl.rounds=0"]) == 1
    assert capsys.readouterr().err.endswith("nothing is searched; use codec/configs/rl-search.toml\n")
