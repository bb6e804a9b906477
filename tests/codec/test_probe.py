"""The probe of stage 2: a row per reward and kind of credit."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec import probe
from tests.codec.tiny import CONFIGS, overrides


def test_the_probe_tells_how_much_a_step_can_learn(base: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--threads", "1", "--config", str(CONFIGS / "rl.toml"), "--batches", "2"]
    assert probe.main([*config, *overrides(base, corpus, 4), "reward={mel = 1.0, per = 1.0}"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 steps, 2 groups of 4 each: ")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| ")][1:]
    drawn = [[name, credit] for name in ("all", "mel", "per") for credit in ("utterance", "frame")]
    assert [row[:2] for row in rows] == [*drawn, ["mel", "slope"]]  # phone errors have none
    figures = {(name, credit): [float(value.split()[0]) for value in rest] for name, credit, *rest in rows}
    for mean, deviation, equal, norm, agreement, others in figures.values():
        assert mean < 0 <= deviation and 0 <= equal <= 1 and norm >= 0 and -1 <= agreement <= 1 and -1 <= others <= 1
        assert norm == 0 or others != agreement  # draws that all earn the same have no gradient
    assert figures["mel", "slope"][4] > figures["mel", "utterance"][4]  # what it is for
    assert figures["mel", "frame"][0] == pytest.approx(figures["mel", "utterance"][0], abs=2e-3)
    assert probe.main([*config, *overrides(base, corpus, 4), "reward={}"]) == 1
    assert capsys.readouterr().err.startswith("codec.probe: [reward] weighs nothing")
