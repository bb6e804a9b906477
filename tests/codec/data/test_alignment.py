"""Forced alignment finds when phones were said, and leaves out pauses that were not made."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("hibari", reason="phones come from hibari's converter, of the extra train")
from codec.data.alignment import Tokens, forced_path, transcript_tokens
from codec.data.targets import energy_of
from codec.network.phones import PHONE_CLASSES, PHONES, SILENCE
from stream.errors import ClariError


def scores_for(phones: list[int], confidence: float = 0.9) -> np.ndarray:
    scores = np.full((len(phones), PHONE_CLASSES), (1 - confidence) / (PHONE_CLASSES - 1))
    scores[np.arange(len(phones)), phones] = confidence
    return np.log(scores)


def tokens_of(phones: list[int]) -> Tokens:
    both = [SILENCE, *phones, SILENCE]
    return Tokens(np.array(both), np.zeros(len(both), int), np.array([phone == SILENCE for phone in both]))


def test_the_path_follows_the_scores() -> None:
    said = [0, 0, 5, 5, 5, 7, 9, 9, 0]
    path, score = forced_path(scores_for(said), tokens_of([5, 7, 9])) or (None, 0)
    assert path is not None and list(np.array([0, 5, 7, 9, 0])[path]) == said
    assert score == pytest.approx(np.log(0.9))


def test_a_pause_that_was_not_made_is_left_out() -> None:
    said = [5, 5, 7, 7]
    path, _ = forced_path(scores_for(said), tokens_of([5, SILENCE, 7])) or (None, 0)
    assert path is not None and list(path) == [1, 1, 3, 3]


def test_the_same_phone_twice_is_found_twice() -> None:
    path, _ = forced_path(scores_for([5, 5, 5, 5]), tokens_of([5, 5])) or (None, 0)
    assert path is not None and set(path) == {1, 2}


def test_too_few_frames_have_no_path() -> None:
    assert forced_path(scores_for([5, 7]), tokens_of([5, 7, 9])) is None


def test_a_transcript_may_pause_between_words() -> None:
    tokens = transcript_tokens("Go home")
    names = [PHONES[phone] for phone in tokens.phones]
    assert names[0] == names[-1] == "" and tokens.optional.sum() == 3
    assert "".join(names) == "ɡOhOm"


def test_nothing_to_say_is_an_error() -> None:
    with pytest.raises(ClariError, match="nothing to say"):
        transcript_tokens("?!")


def test_energy_does_not_know_the_level_of_the_recording() -> None:
    rng = np.random.default_rng(1)
    samples = rng.standard_normal(16_000) * np.repeat([0.1, 0.001], 8_000)
    loud, quiet = energy_of(samples, 50), energy_of(samples * 0.1, 50)
    assert np.allclose(loud[:24], quiet[:24], atol=0.01)
    assert float(loud[:20].mean()) == pytest.approx(1.5, abs=0.1) and float(loud[30:].mean()) < 0.3
