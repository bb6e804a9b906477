"""Text as letters and back."""

from __future__ import annotations

from codec.text import LETTER_CLASSES, letters_to_text, normalize, text_to_letters


def test_normalize() -> None:
    assert normalize("  DON'T stop,\tnow! 42 ") == "don't stop now"


def test_letters_round_trip_without_blanks() -> None:
    letters = text_to_letters("Don't  STOP.")
    assert letters_to_text([0, *letters, 0]) == "don't stop"
    assert max(text_to_letters("xyz")) < LETTER_CLASSES and min(text_to_letters("a b'c")) > 0
