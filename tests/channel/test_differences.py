"""Two encoders over the same links: what is subtracted from what, and how sure it is."""

from __future__ import annotations

import math

import pytest

from channel.differences import difference_table, differences_of
from channel.job import ORIGINAL, Cell

UTTERANCES = 20


def cell(utterance: int, encoder: str, errors: int, seed: int = 1, link: str = "loss 10 %", stoi: float = 0.5) -> Cell:
    return Cell(f"u{utterance}", "speaker", encoder, link, "standard", "none", seed, None, True, stoi, errors, 10)


def both(better_by: int, order: int = 1) -> list[Cell]:
    """`rl` has that many errors of ten words less than `base`, in two passages of each utterance; utterances differ widely."""
    cells = []
    for utterance in range(UTTERANCES):
        for encoder, errors in (("base", 3 + utterance % 7), ("rl", 3 + utterance % 7 - better_by)):
            cells += [cell(utterance, encoder, errors, seed, stoi=0.5 + 0.1 * (encoder == "rl")) for seed in (1, 2)[::order]]
    return cells


def test_the_first_encoder_is_subtracted_from_the_others() -> None:
    (found,) = differences_of([cell(0, "base", 9, link=ORIGINAL), *both(2)])
    assert (found.encoder, found.other, found.utterances) == ("rl", "base", UTTERANCES)
    assert found.wer_percent.value == pytest.approx(-20) == found.wer_percent.low == found.wer_percent.high
    assert found.wer_p < 0.001
    assert found.stoi.value == pytest.approx(0.1)
    errors = sum(3 + utterance % 7 for utterance in range(UTTERANCES)) / UTTERANCES
    assert found.wer_relative_percent == pytest.approx(-100 * 2 / errors)


def test_passages_are_paired_whatever_their_order() -> None:
    shuffled = both(1)[:2] + both(1, order=-1)[2:]
    assert differences_of(shuffled) == differences_of(both(1))


def test_chance_is_no_difference() -> None:
    cells = [
        cell(u, encoder, 5 + (u % 2) * (1 if encoder == "rl" else -1) * (-1) ** (u // 2))
        for u in range(20)
        for encoder in ("base", "rl")
    ]
    (found,) = differences_of(cells)
    assert found.wer_p > 0.5 and found.wer_percent.low < 0 < found.wer_percent.high


def test_each_link_is_compared_on_its_own_and_one_encoder_not_at_all() -> None:
    elsewhere = [cell(u, encoder, errors, link="clean") for u in range(3) for encoder, errors in (("base", 5), ("rl", 6))]
    assert [each.link for each in differences_of(both(1) + elsewhere)] == ["loss 10 %", "clean"]
    assert differences_of([each for each in both(1) if each.encoder == "base"]) == []


def test_where_nobody_listened_nothing_is_claimed() -> None:
    rest = ("l", "standard", "none", 1, None, False, math.nan, 0, 0)
    silent = [Cell(f"u{u}", "s", encoder, *rest) for u in range(3) for encoder in "ab"]
    (found,) = differences_of(silent)
    assert math.isnan(found.wer_percent.value) and math.isnan(found.stoi.value) and math.isnan(found.wer_relative_percent)
    assert "b - a" in difference_table([found])
