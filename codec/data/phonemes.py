"""The way from text to phones, and from a synthesiser's tokens to frames of them.

A token is a sound, a stress mark before the stressed vowel, a space or punctuation. Punctuation and spaces are no sounds; where one
takes long, it is silence.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from codec.network.phones import CLASS_OF, PHONE_RATE_HZ, SILENCE, VOWELS
from codec.pretrained.hibari import STEP_S, vocabulary

STRESS_MARKS = {"ˈ": 1, "ˌ": 2}  # primary, secondary; 0 is none
PAUSES = frozenset(';:,.!?—…"()“” ')  # tokens that are no sound
SHORT_PAUSE_STEPS = 3  # a pause of at most 75 ms is no silence but the way from one sound to the next


@functools.cache
def _converter() -> Any:
    from hibari.g2p import G2P

    return G2P()


def text_to_ids(text: str) -> tuple[int, ...]:
    """A sentence -> hibari's tokens, 0 at both ends; words that it cannot read are left out."""
    known = vocabulary()
    return (0, *(known[mark] for mark in _converter()(text) or "" if mark in known), 0)


def marks_of(ids: tuple[int, ...]) -> list[str]:
    """Tokens -> their characters; "" for the ends."""
    names = {index: mark for mark, index in vocabulary().items()}
    return [names.get(index, "") for index in ids]


def step_labels(ids: tuple[int, ...], durations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and their durations in steps of 25 ms -> phone class and stress of each half step [2 F], int64.

    A stress mark's time belongs to the vowel that it stands before. A pause of at most SHORT_PAUSE_STEPS is given half to the
    sound before it and half to the one after, a longer one is silence, as are the ends.
    """
    marks = marks_of(ids)
    phones: list[int] = []
    stress: list[int] = []
    marked, early = 0, 0  # stress of the next vowel, half steps that it has already
    for place, (mark, steps) in enumerate(zip(marks, durations, strict=True)):
        halves = 2 * int(steps)
        if mark in STRESS_MARKS:
            marked, early = STRESS_MARKS[mark], early + halves
        elif mark in CLASS_OF:
            phones += [CLASS_OF[mark]] * (early + halves)
            stress += [marked if mark in VOWELS else 0] * (early + halves)
            marked, early = (0, 0) if mark in VOWELS else (marked, 0)
        elif mark == " " or (mark in PAUSES and steps <= SHORT_PAUSE_STEPS and place + 2 < len(marks)):
            halves += early
            before = halves // 2 if phones else 0
            phones += phones[-1:] * before
            stress += stress[-1:] * before
            early = halves - before
        else:
            phones += [SILENCE] * (early + halves)
            stress += [0] * (early + halves)
            early = 0
    phones += [SILENCE] * early
    stress += [0] * early
    return np.array(phones, np.int64), np.array(stress, np.int64)


def frame_labels(ids: tuple[int, ...], durations: np.ndarray, shift_s: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """As `step_labels`, at 50 Hz: each frame of 20 ms says what is said at its middle, `shift_s` later."""
    phones, stress = step_labels(ids, durations)
    count = int(len(phones) * STEP_S / 2 * PHONE_RATE_HZ)
    middles = ((np.arange(count) + 0.5) / PHONE_RATE_HZ + shift_s) / (STEP_S / 2)
    index = np.clip(middles.astype(int), 0, max(len(phones) - 1, 0))
    return phones[index], stress[index]
