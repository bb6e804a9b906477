"""Text and durations become phones at 50 Hz."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("hibari", reason="phones come from hibari's converter, of the extra train")
from codec.data.phonemes import frame_labels, marks_of, step_labels, text_to_ids
from codec.network.phones import CLASS_OF, PHONE_CLASSES, PHONES, SILENCE


def test_every_sound_of_plain_english_is_in_the_list() -> None:
    text = "The quick brown fox jumps over the lazy dog, and she measured the boy's unusual pleasure; judge which thing you chew."
    sounds = {mark for mark in marks_of(text_to_ids(text)) if mark.isalpha() and mark not in "ˈˌ"}
    assert sounds <= set(CLASS_OF) and len(sounds) > 25
    assert len(PHONES) == PHONE_CLASSES == len(set(PHONES)) == 45


def test_a_stress_mark_gives_its_time_to_the_vowel() -> None:
    ids = text_to_ids("again")
    marks = marks_of(ids)
    assert marks == ["", "ə", "ɡ", "ˈ", "ɛ", "n", ""]
    phones, stress = step_labels(ids, np.array([2, 1, 1, 3, 2, 1, 2]))
    assert [PHONES[index] for index in phones] == [""] * 4 + ["ə"] * 2 + ["ɡ"] * 2 + ["ɛ"] * 10 + ["n"] * 2 + [""] * 4
    assert list(stress) == [0] * 8 + [1] * 10 + [0] * 6


def test_a_space_is_half_of_what_was_before_and_half_of_what_comes() -> None:
    ids = text_to_ids("so we")
    marks = marks_of(ids)
    durations = np.array([2 if mark == " " else 1 for mark in marks])
    phones, _ = step_labels(ids, durations)
    assert SILENCE not in phones[2:-2]
    assert len(phones) == 2 * durations.sum()


def test_a_long_pause_is_silence() -> None:
    ids = text_to_ids("no, we")
    durations = np.array([8 if mark == "," else 1 for mark in marks_of(ids)])
    phones, _ = step_labels(ids, durations)
    assert (phones[3:-3] == SILENCE).sum() >= 16


def test_frames_are_twenty_milliseconds() -> None:
    ids = text_to_ids("hello there")
    durations = np.full(len(ids), 4)
    phones, stress = frame_labels(ids, durations)
    assert len(phones) == len(stress) == len(ids) * 5
