"""Figures with exact values on inputs small enough to work out by hand."""

from __future__ import annotations

import math
from importlib.util import find_spec

import numpy as np
import pytest

from codec import metrics
from codec.frontend import LOG_DEVIATION, LOG_MEAN
from codec.metrics import (
    TextErrors,
    intelligibility,
    log_mel,
    mel_distance,
    perceptual_quality,
    pesq_is_missing,
    spectral_distance_db,
    text_errors,
)
from tests.conftest import speech_like


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(16_000 * seconds)).astype(np.float32)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "found"),
    [
        ("A B C", "a b c", TextErrors(0, 3, 0, 5)),
        ("a b c", "a x c", TextErrors(1, 3, 1, 5)),
        ("a b c", "a c", TextErrors(1, 3, 2, 5)),
        ("a b c", "a b b c d", TextErrors(2, 3, 4, 5)),
        ("a b c", "", TextErrors(3, 3, 5, 5)),
        ("", "a b", TextErrors(2, 0, 3, 0)),
        ("", "", TextErrors(0, 0, 0, 0)),
        ("it's", "its", TextErrors(1, 1, 1, 4)),
    ],
)
def test_errors_of_words_and_letters(reference: str, hypothesis: str, found: TextErrors) -> None:
    assert text_errors(reference, hypothesis) == found


def test_mel_distance_of_half_the_level_is_log_two() -> None:
    speech = noise(1)
    assert mel_distance(speech, speech) == 0
    assert mel_distance(speech, speech / 2) == pytest.approx(math.log(2), rel=0.01)


def test_log_mel_has_one_frame_per_started_10_ms_and_a_floor() -> None:
    mel = log_mel(np.zeros(161, np.float32))
    assert mel.shape == (1, 2, 80)
    assert mel.numpy() * LOG_DEVIATION + LOG_MEAN == pytest.approx(math.log(1e-4), abs=1e-4)


@pytest.mark.parametrize("extended", [False, True])
def test_intelligibility(extended: bool) -> None:
    speech, other = noise(1), noise(1, seed=1)
    assert intelligibility(speech, speech, extended) == pytest.approx(1, abs=1e-6)
    assert intelligibility(speech, other, extended) < 0.5
    assert math.isnan(intelligibility(speech[:1600], speech[:1600], extended))


def test_intelligibility_of_silence_repeats_and_spares_the_global_random_state() -> None:
    speech, silence = noise(1), np.zeros(16_000, np.float32)
    np.random.seed(5)
    first = intelligibility(speech, silence, extended=True)
    drawn = np.random.random()
    assert intelligibility(speech, silence, extended=True) == first
    np.random.seed(5)
    assert np.random.random() == drawn


def test_spectral_distance_of_half_the_level_is_6_db() -> None:
    speech = noise(1)
    assert spectral_distance_db(speech, speech) == 0
    assert spectral_distance_db(speech, speech / 2) == pytest.approx(20 * math.log10(2), abs=0.01)
    assert spectral_distance_db(speech, 10 * speech) == pytest.approx(20, abs=0.01)


def test_spectral_distance_ignores_how_silent_silence_is() -> None:
    speech, silence = noise(1), np.zeros(16_000, np.float32)
    original = np.concatenate([speech, silence])
    assert spectral_distance_db(original, np.concatenate([speech, silence + 1e-6])) == pytest.approx(0, abs=1e-3)
    assert math.isfinite(spectral_distance_db(silence, speech))


@pytest.mark.skipif(pesq_is_missing(), reason="PESQ needs the extra pesq: pip install 'clari[pesq]'")
def test_perceptual_quality() -> None:
    speech = speech_like(2.0)
    assert perceptual_quality(speech, speech) == pytest.approx(4.64, abs=0.01)
    some, much = (perceptual_quality(speech, speech + share * noise(2)) for share in (0.01, 0.3))
    assert 1 <= much < some < 4.6
    assert math.isnan(perceptual_quality(speech, np.zeros_like(speech)))
    assert math.isnan(perceptual_quality(speech[:1000], speech[:1000]))


def test_perceptual_quality_is_undefined_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "find_spec", lambda name: None if name == "pesq" else find_spec(name))
    assert math.isnan(perceptual_quality(noise(1), noise(1)))
