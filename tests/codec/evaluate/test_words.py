"""What counts as the same words, and how many are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.evaluate.words import TextErrors, normalize, number_in_words, text_errors


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Mr. Smith and Dr. Jones", "MISTER SMITH AND DOCTOR JONES"),
        ("in 1803, 1900 and 1925", "IN EIGHTEEN O THREE NINETEEN HUNDRED AND NINETEEN TWENTY FIVE"),
        ("in 2005 or 2012", "in two thousand five or twenty twelve"),
        ("the 1920s and the 90s", "the nineteen twenties and the nineties"),
        ("the 1st, 2nd, 3rd, 12th, 20th and 21st", "the first second third twelfth twentieth and twenty-first"),
        ("1,234 men, 105 women", "one thousand two hundred and thirty four men a hundred and five women"),
        ("$5, £1 and 3.05%", "five dollars one pound and three point o five per cent".replace(" o ", " zero ")),
        ("at 10:30, 10:05 and 11:00", "at ten thirty ten oh five and eleven"),
        ("The neighbours' colours; he realised he travelled", "the neighbors colors he realized he traveled"),
        ("to-day any one may", "today anyone may"),
        ("(music) It\u2019s [BLANK_AUDIO] 'a café' & more…", "it's a cafe and more"),
        ("  DON'T stop,\tnow!", "don't stop now"),
        ("hundreds and hundreds", "hundreds and hundreds"),
        ("five hundred and more", "five hundred and more"),
        ("...", ""),
    ],
)
def test_what_is_said_alike_is_spelled_alike(written: str, said: str) -> None:
    assert normalize(written) == normalize(said)


def test_words_that_only_look_like_british_ones_stay() -> None:
    text = "four hours of our flour our tour advise the wise to rise in the centre of surprise"
    assert normalize(text) == text.replace("centre", "center")


@given(st.text())
def test_normalised_text_is_words_and_stays(text: str) -> None:
    once = normalize(text)
    assert set(once) <= set("abcdefghijklmnopqrstuvwxyz' ") and once == " ".join(once.split())
    assert normalize(once) == once


@given(st.integers(0, 10**13))
def test_numbers_are_told_apart(number: int) -> None:
    assert number_in_words(number) != number_in_words(number + 1)
    assert normalize(number_in_words(number)) == number_in_words(number)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "found"),
    [
        ("A B C", "a b c", TextErrors(0, 3, 0, 5)),
        ("a b c", "a x c", TextErrors(1, 3, 1, 5)),
        ("a b c", "a c", TextErrors(1, 3, 2, 5)),
        ("a b c", "a b b c d", TextErrors(2, 3, 4, 5)),
        ("a b c", "", TextErrors(3, 3, 5, 5)),
        ("", "a b", TextErrors(0, 0, 0, 0)),
        ("", "", TextErrors(0, 0, 0, 0)),
        ("it's", "its", TextErrors(1, 1, 1, 4)),
        ("on 5 days", "on five days", TextErrors(0, 3, 0, 12)),
    ],
)
def test_errors_of_words_and_letters(reference: str, hypothesis: str, found: TextErrors) -> None:
    assert text_errors(reference, hypothesis) == found


def test_a_judge_that_runs_in_circles_gets_everything_wrong_and_no_more() -> None:
    assert text_errors("hello there", "and so on " * 200) == TextErrors(2, 2, 11, 11)
