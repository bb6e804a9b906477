"""Likeness of voices made of known formants and pitch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from codec.evaluate.distances import Voices, voiceprint
from tests.codec.data.test_pitch import voice

SPEAKERS = {"low": (100, 1.0), "middle": (150, 1.1), "high": (230, 1.2), "child": (300, 1.35)}


def utterance(speaker: str, seed: int) -> np.ndarray:
    """A second of a speaker whose pitch wanders and whose formants are stretched by playing slower or faster."""
    pitch_hz, stretch = SPEAKERS[speaker]
    rng = np.random.default_rng(seed)
    wander = 1 + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 3) * np.arange(24_000) / 16_000 + rng.uniform(0, 6))
    spoken = voice(pitch_hz / stretch * wander, seed)
    return np.interp(np.arange(16_000) * stretch, np.arange(24_000), spoken).astype(np.float32)


@pytest.fixture(scope="module")
def prints() -> dict[str, list[np.ndarray]]:
    return {speaker: [voiceprint(utterance(speaker, seed)) for seed in range(3)] for speaker in SPEAKERS}


@pytest.fixture(scope="module")
def voices(prints: dict[str, list[np.ndarray]]) -> Voices:
    return Voices([each for own in prints.values() for each in own], [speaker for speaker in prints for _ in range(3)])


def test_one_speaker_is_more_alike_than_several(voices: Voices, prints: dict[str, list[np.ndarray]]) -> None:
    assert voices.ceiling > 0.5 > 0 > voices.floor
    for speaker, own in prints.items():
        others = [each for other in prints if other != speaker for each in prints[other]]
        assert voices.similarity(own[0], own[1]) > max(voices.similarity(own[0], each) for each in others)


def test_a_voice_is_itself_at_any_level(voices: Voices, prints: dict[str, list[np.ndarray]]) -> None:
    own = prints["middle"][0]
    assert voices.similarity(own, own) == pytest.approx(1)
    quiet = voiceprint(utterance("middle", 0) / 4)
    assert voices.similarity(own, quiet) > 0.95


def test_an_unknown_pitch_counts_as_the_average(voices: Voices, prints: dict[str, list[np.ndarray]]) -> None:
    own = prints["high"][0]
    unknown = own.copy()
    unknown[-2:] = np.nan
    assert 0 < voices.similarity(own, unknown) < 1


def test_the_scale_needs_originals(prints: dict[str, list[np.ndarray]]) -> None:
    two = Voices([prints["low"][0], prints["high"][0]], ["low", "high"])
    assert math.isnan(two.similarity(prints["low"][0], prints["low"][0]))
    assert math.isnan(two.floor) and math.isnan(two.ceiling)
    one_each = Voices([own[0] for own in prints.values()], list(prints))
    assert math.isfinite(one_each.floor) and math.isnan(one_each.ceiling)
