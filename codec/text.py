"""Text as the recogniser learns it and as words are compared: lower-case letters, apostrophes and single spaces."""

from __future__ import annotations

import re

LETTERS = " 'abcdefghijklmnopqrstuvwxyz"
LETTER_INDEX = {letter: index for index, letter in enumerate(LETTERS, start=1)}  # 0 is CTC's blank
LETTER_CLASSES = len(LETTERS) + 1


def normalize(text: str) -> str:
    """Lower-case letters and apostrophes, words separated by one space."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def text_to_letters(text: str) -> list[int]:
    """Letter indices of `text` after normalisation."""
    return [LETTER_INDEX[letter] for letter in normalize(text)]


def letters_to_text(letters: list[int]) -> str:
    """Inverse of `text_to_letters`; blanks are left out."""
    return "".join(LETTERS[index - 1] for index in letters if index)
