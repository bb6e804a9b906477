"""Two evaluations of the same utterances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec import compare
from codec.scores import Score, write_scores


def evaluation(folder: Path, errors: np.ndarray, stoi: np.ndarray, first: int = 0) -> Path:
    folder.mkdir()
    scores = [
        Score(
            system="clari",
            path=f"{first + n}.flac",
            speaker="s",
            seconds=3.0,
            bits=600,
            coded_s=3.0,
            errors=int(wrong),
            words=10,
            letter_errors=0,
            letters=40,
            own_errors=0,
            own_words=10,
            own_letter_errors=0,
            own_letters=40,
            stoi=float(clear),
            estoi=0.5,
            pesq=1.1,
            mel_distance=0.8,
            spectral_distance_db=9.0,
            pitch_correlation=0.1,
            voicing_error=0.4,
            speaker_similarity=0.1,
            transcript="text",
            hypothesis="heard",
        )
        for n, (wrong, clear) in enumerate(zip(errors, stoi, strict=True))
    ]
    write_scores(folder / "utterances.csv", scores)
    return folder


def rows(out: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| ")]
    return {line[0]: line[1:] for line in cells}


def test_a_clear_gain_is_told_from_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    errors, stoi = rng.integers(5, 10, 80), rng.uniform(0.6, 0.8, 80)
    stoi[3] = np.nan  # not defined for one utterance
    before = evaluation(tmp_path / "before", errors, stoi)
    after = evaluation(tmp_path / "after", errors - rng.integers(0, 3, 80), stoi + rng.normal(0, 0.05, 80))
    assert compare.main([str(before), str(after)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("80 utterances; paired bootstrap")
    table = rows(out)
    assert float(table["WER %"][0]) == pytest.approx(100 * errors.sum() / 800, abs=0.06)
    assert float(table["WER %"][2].split()[0]) < 0 and float(table["WER %"][4]) < 0.01
    assert float(table["stoi"][4]) > 0.05 and "nan" not in out
    low, high = (float(end.strip("[],")) for end in table["stoi"][2].split()[1:])
    assert low < 0 < high
    assert compare.main([str(before), str(before)]) == 0
    assert rows(capsys.readouterr().out)["WER %"][2:] == ["0.0 [0.0, 0.0]", "0.0", "1.0000"]


def test_only_common_utterances_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = evaluation(tmp_path / "before", np.full(4, 5), np.full(4, 0.7))
    after = evaluation(tmp_path / "after", np.array([5, 5, 9, 9]), np.full(4, 0.7), first=2)
    assert compare.main([str(before), str(after)]) == 0
    assert capsys.readouterr().out.startswith("2 utterances, 4 in one evaluation only;")
    apart = evaluation(tmp_path / "apart", np.full(4, 5), np.full(4, 0.7), first=9)
    assert compare.main([str(before), str(apart)]) == 1
    assert "no utterance in common" in capsys.readouterr().err


def test_what_is_no_evaluation_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = evaluation(tmp_path / "fine", np.full(2, 5), np.full(2, 0.7))
    assert compare.main([str(folder), str(tmp_path / "nowhere")]) == 1
    assert compare.main([str(folder), str(folder), "--system", "codec2-700c"]) == 1
    (tmp_path / "utterances.csv").write_text("a,b\n1,2\n")
    assert compare.main([str(folder), str(tmp_path)]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3 and "cannot be read" in errors[0] and "holds no line" in errors[1] and "no list of scores" in errors[2]
