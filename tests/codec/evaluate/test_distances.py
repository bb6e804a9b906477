"""Figures with exact values on inputs small enough to work out by hand."""

from __future__ import annotations

import math
from importlib.util import find_spec

import numpy as np
import pytest

from codec.evaluate import distances
from codec.evaluate.distances import (
    intelligibility,
    log_mel,
    mel_distance,
    perceptual_quality,
    pitch_correlation,
    spectral_distance_db,
    voicing_error,
)
from tests.conftest import speech_like


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(16_000 * seconds)).astype(np.float32)


def test_mel_distance_of_half_the_level_is_log_two() -> None:
    speech = noise(1)
    assert mel_distance(speech, speech) == 0
    assert mel_distance(speech, speech / 2) == pytest.approx(math.log(2), rel=0.01)


def test_log_mel_has_one_frame_per_started_10_ms_and_a_floor() -> None:
    mel = log_mel(np.zeros(161, np.float32))
    assert mel.shape == (2, 80)
    assert mel == pytest.approx(math.log(1e-4), abs=1e-6)


def test_log_mel_of_a_sine_peaks_at_its_band_with_its_amplitude() -> None:
    sine = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    mel = log_mel(sine.astype(np.float32))[10:-10]
    # 1 kHz is mel 15 of 27 ln 8 / ln 6.4 + 15 on Slaney's scale, of which 80 triangles share the range.
    place = 15 / (15 + 27 * math.log(8) / math.log(6.4)) * 81 - 1
    assert np.all(np.abs(mel.argmax(axis=1) - place) <= 1)
    assert mel.max() == pytest.approx(math.log(0.5), abs=0.7)  # a bin between two triangles' peaks


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


@pytest.mark.skipif(find_spec("pesq") is None, reason="PESQ needs the extra pesq: pip install 'clari[pesq]'")
def test_perceptual_quality() -> None:
    speech = speech_like(2.0)
    assert perceptual_quality(speech, speech) == pytest.approx(4.64, abs=0.01)
    some, much = (perceptual_quality(speech, speech + share * noise(2)) for share in (0.01, 0.3))
    assert 1 <= much < some < 4.6
    assert math.isnan(perceptual_quality(speech, np.zeros_like(speech)))
    assert math.isnan(perceptual_quality(speech[:1000], speech[:1000]))


def test_perceptual_quality_is_undefined_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "find_spec", lambda name: None if name == "pesq" else find_spec(name))
    assert math.isnan(perceptual_quality(noise(1), noise(1)))


def test_correlation_is_of_shape_not_of_height() -> None:
    first = 120 + 20 * np.sin(np.arange(100) / 9)
    unvoiced = np.where(np.arange(100) % 4 == 0, 0, first)
    assert pitch_correlation(first, 1.5 * unvoiced) == pytest.approx(1)
    assert pitch_correlation(first, 14_400 / first) == pytest.approx(-1)
    assert math.isnan(pitch_correlation(first, np.where(np.arange(100) < 19, first, 0)))
    assert math.isnan(pitch_correlation(first, np.full(100, 100.0)))


def test_voicing_error_counts_frames() -> None:
    assert voicing_error(np.array([0, 100, 100, 0]), np.array([0, 0, 120, 90])) == 0.5
