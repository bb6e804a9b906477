"""Faster speech: shorter by no more than it may be, at the same pitch, without a click, and still the same words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.frame import SAMPLES_PER_FRAME
from stream.timescale import LEAST_SAMPLES, MOST_SAMPLES, QUIET_SAMPLES, Tempo, shorten
from tests.conftest import speech_like


def frames_of(pcm: np.ndarray) -> list[np.ndarray]:
    return list(pcm[: len(pcm) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME].reshape(-1, SAMPLES_PER_FRAME))


def voice(pitch_hz: float, seconds: float = 2.0) -> np.ndarray:
    time_s = np.arange(round(seconds * 16_000)) / 16_000
    return sum(0.1 * np.cos(2 * np.pi * k * pitch_hz * time_s + k * k) / k for k in range(1, 12)).astype(np.float32)


def pitch_hz(pcm: np.ndarray) -> float:
    """The fundamental of a steady voice, by the distance of its harmonics."""
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)), 1 << 18))
    product = np.prod([spectrum[:: 1 + k][: 1 << 14] for k in range(4)], axis=0)
    return float(product[800:].argmax() + 800) * 16_000 / (1 << 18)


@given(st.integers(0, 1000), st.floats(0, 1, allow_subnormal=False))
def test_between_the_least_and_the_most_is_left_out_and_both_ends_stay(seed: int, level: float) -> None:
    frame = (level * np.random.default_rng(seed).standard_normal(SAMPLES_PER_FRAME)).astype(np.float32)
    shorter = shorten(frame)
    assert LEAST_SAMPLES <= SAMPLES_PER_FRAME - len(shorter) <= MOST_SAMPLES
    assert shorter.dtype == np.float32
    assert shorter[-1] == frame[-1] and abs(shorter[0] - frame[0]) <= 0.02 * np.abs(frame).max() + 1e-6
    assert np.abs(shorter).max() <= np.abs(frame).max() + 1e-6


@pytest.mark.parametrize("hertz", [85, 100, 130, 180, 240, 320])
def test_a_voice_keeps_its_pitch_and_gets_no_clicks(hertz: float) -> None:
    pcm = voice(hertz)
    faster = np.concatenate([shorten(frame) for frame in frames_of(pcm)])
    assert 0.85 <= len(faster) / len(pcm) <= 0.93
    assert pitch_hz(faster) == pytest.approx(pitch_hz(pcm), rel=0.01)
    assert np.abs(np.diff(faster)).max() <= 1.15 * np.abs(np.diff(pcm)).max()
    assert np.mean(faster**2) == pytest.approx(np.mean(pcm**2), rel=0.1)


def test_resampling_would_not_keep_the_pitch() -> None:
    """The test above can fail: the same tempo by the plainest way."""
    pcm = voice(130)
    faster = np.interp(np.arange(0, len(pcm), 1 / 0.89), np.arange(len(pcm)), pcm)
    assert pitch_hz(faster[: len(pcm)]) != pytest.approx(pitch_hz(pcm), rel=0.05)


def test_of_a_pause_little_is_left_and_speech_is_not_taken_for_one() -> None:
    tempo, quiet = Tempo(), (0.001 * np.random.default_rng(0).standard_normal(SAMPLES_PER_FRAME)).astype(np.float32)
    for frame in frames_of(speech_like(2.0)):
        tempo.hear(frame)
        assert len(tempo.hurry(frame)) >= SAMPLES_PER_FRAME - MOST_SAMPLES
    tempo.hear(quiet)
    shorter = tempo.hurry(quiet)
    assert len(shorter) == QUIET_SAMPLES
    assert abs(shorter[0] - quiet[0]) < 1e-4 and abs(shorter[-1] - quiet[-1]) < 1e-4


def test_a_quiet_speaker_is_no_pause_once_the_loud_one_is_forgotten() -> None:
    tempo = Tempo()
    tempo.hear(voice(130, 0.08))
    whisper = 0.03 * voice(130, 0.08)
    tempo.hear(whisper)
    assert len(tempo.hurry(whisper)) == QUIET_SAMPLES
    for _ in range(50):  # 4 s
        tempo.hear(whisper)
    assert len(tempo.hurry(whisper)) >= SAMPLES_PER_FRAME - MOST_SAMPLES
