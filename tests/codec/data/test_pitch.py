"""Pitch against signals whose pitch is known."""

from __future__ import annotations

import numpy as np
import pytest

from codec.data.pitch import track_pitch
from codec.evaluate.distances import voicing_error


def voice(pitch_hz: np.ndarray, seed: int = 0) -> np.ndarray:
    """Pulses at a pitch [N] in Hz through two formants, with a little noise: float32 [N]."""
    phase = np.cumsum(pitch_hz) / 16_000
    pulses = np.diff(np.floor(phase), prepend=0.0)
    time_s = np.arange(400) / 16_000
    response = sum(np.exp(-400 * time_s) * np.sin(2 * np.pi * formant_hz * time_s) for formant_hz in (600, 1700))
    spoken = 0.3 * np.convolve(pulses, response)[: len(pitch_hz)]
    return (spoken + np.random.default_rng(seed).normal(0, 0.002, len(spoken))).astype(np.float32)


@pytest.mark.parametrize("pitch_hz", [75, 110, 163.7, 220, 350])
def test_constant_pitch(pitch_hz: float) -> None:
    found = track_pitch(voice(np.full(16_000, pitch_hz)))
    assert found.shape == (100,)
    assert np.all(found[3:-3] > 0)
    np.testing.assert_allclose(found[3:-3], pitch_hz, rtol=0.01)


def test_gliding_pitch_is_followed_without_octave_jumps() -> None:
    time_s = np.arange(48_000) / 16_000
    pitch_hz = 150 * 2 ** (0.7 * np.sin(2 * np.pi * 0.4 * time_s))
    found = track_pitch(voice(pitch_hz))
    np.testing.assert_allclose(found[4:-4], pitch_hz[80::160][4:-4], rtol=0.03)


def test_noise_and_silence_are_unvoiced() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    assert np.mean(track_pitch(noise) > 0) < 0.05
    assert not track_pitch(np.zeros(1_601, np.float32)).any()
    assert track_pitch(np.zeros(1_601, np.float32)).shape == (11,)
    assert track_pitch(np.zeros(1, np.float32)).shape == (1,)


def test_voicing_begins_and_ends_where_the_voice_does() -> None:
    spoken = voice(np.full(32_000, 130.0))
    spoken[:8_000] = np.random.default_rng(2).normal(0, 0.002, 8_000)
    spoken[24_000:] = np.random.default_rng(3).normal(0, 0.002, 8_000)
    truth = np.where((np.arange(200) >= 50) & (np.arange(200) < 150), 130.0, 0.0)
    assert voicing_error(truth, track_pitch(spoken)) <= 0.02


def test_pitch_does_not_depend_on_level() -> None:
    spoken = voice(np.full(16_000, 180.0))
    np.testing.assert_allclose(track_pitch(spoken / 64), track_pitch(spoken))
