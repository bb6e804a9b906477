"""Rows, comparisons, cases and the picture from scores written by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from codec.cases import describe_cases
from codec.chart import draw_chart
from codec.scores import Score
from codec.summary import compare, summarize
from stream.bootstrap import Interval
from stream.tables import cell

ONE = Score(
    system="clari",
    path="folder/0.wav",
    speaker="a",
    seconds=2.0,
    bits=416,
    coded_s=2.08,
    errors=3,
    words=10,
    letter_errors=8,
    letters=50,
    own_errors=2,
    own_words=8,
    own_letter_errors=4,
    own_letters=40,
    stoi=0.7,
    estoi=0.5,
    pesq=math.nan,
    mel_distance=0.9,
    spectral_distance_db=6.0,
    pitch_correlation=math.nan,
    voicing_error=0.25,
    speaker_similarity=0.1,
    transcript="one two",
    hypothesis="one",
)


def scores(system: str, errors: list[int], **changes: float | int | None) -> list[Score]:
    """One utterance of ten words per number of errors; speakers take turns in twos."""
    return [
        replace(ONE, system=system, path=f"folder/{number}.wav", speaker="abcdefghijkl"[number // 2], errors=wrong, **changes)
        for number, wrong in enumerate(errors)
    ]


def test_rows_pool_words_and_letters_and_average_the_rest() -> None:
    second = replace(ONE, errors=1, words=30, letter_errors=0, letters=150, stoi=0.9, pitch_correlation=0.5)
    row = summarize([ONE, second], seed=1)[0]
    values = {name: figure.value for name, figure in row.figures.items()}
    assert values["wer_percent"] == pytest.approx(10) and values["cer_percent"] == pytest.approx(4)
    assert values["own_wer_percent"] == pytest.approx(25) and values["own_cer_percent"] == pytest.approx(10)
    assert values["stoi"] == pytest.approx(0.8) and values["voicing_error_percent"] == pytest.approx(25)
    assert values["pitch_correlation"] == 0.5 and math.isnan(values["pesq"])
    assert (row.bits, row.bits_per_s) == (832, pytest.approx(200))


def test_a_row_without_quantiser_has_no_rate() -> None:
    row = summarize(scores("vocoder", [1, 2], bits=None), seed=1)[0]
    assert row.bits is None and math.isnan(row.bits_per_s)


def test_comparisons_are_of_clari_and_signed() -> None:
    found = compare([*scores("original", [0, 0, 1, 0]), *scores("clari", [2, 3, 4, 2], stoi=0.6)], seed=1)
    assert [(each.system, each.other) for each in found] == [("clari", "original")]
    assert found[0].differences["wer_percent"][0].value == pytest.approx(25)
    difference, p_value = found[0].differences["stoi"]
    assert difference.value == pytest.approx(-0.1) and p_value == pytest.approx(2 / 10_001)
    assert compare(scores("original", [0, 1]), seed=1) == []


def test_cells_of_undefined_figures_are_dashes() -> None:
    assert cell(Interval(math.nan, math.nan, math.nan), 2, True) == "-"
    assert cell(Interval(1.234, -1, 2), 1, True) == "1.2 [-1.0, 2.0]"
    assert cell(Interval(1.234, -1, 2), 2, False) == "1.23"


def test_cases_show_both_ends_once() -> None:
    text = describe_cases("clari", scores("clari", [5, 9, 1, 7, 0, 3, 8]))
    worst, best = text.split("Fewest words wrong:")
    assert [line[2] for line in worst.splitlines() if line.startswith("* ")] == ["9", "8", "7", "5", "3"]
    best, speakers = best.split("Word error rate by speaker (4 of 4, worst first):")
    assert [line[2] for line in best.splitlines() if line.startswith("* ")] == ["0", "1"]
    assert [line for line in speakers.splitlines() if line] == [
        "* d: 80.0 % in 1 utterances",
        "* a: 70.0 % in 2 utterances",
        "* b: 40.0 % in 2 utterances",
        "* c: 15.0 % in 2 utterances",
    ]
    assert "  * said: one two\n  * heard: one\n" in worst


def test_cases_of_many_speakers_name_the_ends() -> None:
    text = describe_cases("clari", [replace(each, hypothesis="") for each in scores("clari", list(range(10)) + [10] * 14)])
    assert "(10 of 12, worst first)" in text and "* heard: (nothing)" in text


def test_picture_with_undefined_figures_and_without_rate(tmp_path: Path) -> None:
    rows = summarize([*scores("vocoder", [1, 2], bits=None, stoi=math.nan), *scores("clari", [1, 2])], seed=1)
    draw_chart(tmp_path / "one.png", rows)
    draw_chart(tmp_path / "two.png", rows)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
