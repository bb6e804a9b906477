"""Rows, comparisons and files from scores written by hand."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest

from codec.evaluate.summary import (
    Heard,
    Score,
    compare,
    phone_error_percent,
    summarize,
    write_comparisons,
    write_rows,
    write_scores,
)
from codec.evaluate.systems import PhoneErrors
from codec.evaluate.words import TextErrors
from stream.bootstrap import Interval
from stream.tables import cell

ONE = Score(
    system="clari",
    path="folder/0.wav",
    speaker="a",
    seconds=2.0,
    bits_per_s=200.0,
    transcript="one two",
    heard={"whisper": Heard(TextErrors(3, 10, 8, 50), TextErrors(2, 8, 4, 40), "one")},
    figures={"distillmos": 3.0, "pitch_correlation": math.nan, "voicing_error": 0.25},
)


def heard(errors: int) -> dict[str, Heard]:
    return {"whisper": replace(ONE.heard["whisper"], errors=TextErrors(errors, 10, 8, 50))}


def scores(system: str, errors: list[int], **figures: float) -> list[Score]:
    """One utterance of ten words per number of errors."""
    return [
        replace(ONE, system=system, path=f"folder/{number}.wav", heard=heard(wrong), figures={**ONE.figures, **figures})
        for number, wrong in enumerate(errors)
    ]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_pool_words_and_letters_and_average_the_rest() -> None:
    second = replace(
        ONE,
        heard={"whisper": Heard(TextErrors(1, 30, 0, 150), TextErrors(2, 8, 4, 40), "")},
        figures={"distillmos": 4.0, "pitch_correlation": 0.5, "voicing_error": 0.25},
    )
    row = summarize([ONE, second], seed=1)[0]
    values = {name: figure.value for name, figure in row.figures.items()}
    assert values["whisper_wer_percent"] == pytest.approx(10) and values["whisper_cer_percent"] == pytest.approx(4)
    assert values["whisper_own_wer_percent"] == pytest.approx(25)
    assert values["distillmos"] == pytest.approx(3.5) and values["voicing_error_percent"] == pytest.approx(25)
    assert values["pitch_correlation"] == 0.5
    assert (row.bits_per_s, row.utterances) == (200, 2)


def test_every_judge_has_its_own_figures() -> None:
    two = replace(ONE, heard={**ONE.heard, "pocketsphinx": Heard(TextErrors(9, 10, 8, 50), TextErrors(0, 8, 0, 40), "")})
    figures = summarize([two], seed=1)[0].figures
    assert (figures["whisper_wer_percent"].value, figures["pocketsphinx_wer_percent"].value) == (30, 90)


def test_comparisons_are_of_clari_and_signed() -> None:
    found = compare([*scores("original", [0, 0, 1, 0]), *scores("clari", [2, 3, 4, 2], distillmos=2.9)], seed=1)
    assert [(each.system, each.other) for each in found] == [("clari", "original")]
    assert found[0].differences["whisper_wer_percent"][0].value == pytest.approx(25)
    difference, p_value = found[0].differences["distillmos"]
    assert difference.value == pytest.approx(-0.1) and p_value == pytest.approx(2 / 10_001)
    assert math.isnan(found[0].differences["pitch_correlation"][0].value)
    assert compare(scores("original", [0, 1]), seed=1) == []


def test_damaged_and_undamaged_are_compared_once() -> None:
    found = compare([*scores("original", [0, 1]), *scores("clari-lost", [5, 5]), *scores("clari", [2, 3])], seed=1)
    assert [(each.system, each.other) for each in found] == [
        ("clari-lost", "original"),
        ("clari-lost", "clari"),
        ("clari", "original"),
    ]


def test_phones_are_pooled() -> None:
    assert phone_error_percent([PhoneErrors(1, 10), PhoneErrors(2, 50)], seed=1).value == pytest.approx(5)


def test_cells_of_undefined_figures_are_dashes() -> None:
    assert cell(Interval(math.nan, math.nan, math.nan), 2, True) == "-"
    assert cell(Interval(1.234, -1, 2), 1, True) == "1.2 [-1.0, 2.0]"
    assert cell(Interval(1.234, -1, 2), 2, False) == "1.23"


def test_files(tmp_path: Path) -> None:
    both = [*scores("original", [0, 0]), *scores("clari", [2, 3])]
    write_rows(tmp_path / "rows.csv", {"clean": summarize(both, 1)})
    write_comparisons(tmp_path / "comparisons.csv", {"clean": compare(both, 1), "male": []})
    write_scores(tmp_path / "utterances.csv", {"clean": both, "noise": both})
    (row,) = [each for each in read(tmp_path / "rows.csv") if (each["system"], each["measure"]) == ("clari", "whisper_wer_percent")]
    assert (row["condition"], row["bits_per_s"], row["utterances"], row["value"]) == ("clean", "200.0", "2", "25.000000")
    compared = {each["measure"]: each for each in read(tmp_path / "comparisons.csv")}
    assert compared["whisper_wer_percent"]["difference"] == "25.000000" and compared["pitch_correlation"]["p_value"] == "nan"
    lines = read(tmp_path / "utterances.csv")
    assert len(lines) == 8 and lines[-1]["condition"] == "noise"
    assert (lines[3]["whisper_errors"], lines[3]["whisper_words"], lines[3]["whisper_hypothesis"]) == ("3", "10", "one")
    assert lines[3]["voicing_error"] == "0.250000" and lines[3]["transcript"] == "one two"
