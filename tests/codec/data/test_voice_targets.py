"""Lessons for the voice: what they teach sounds like hibari, and the mistakes put into their inputs are mild."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codec.data.phonemes import text_to_ids
from codec.data.voice_batches import misplaced, softened
from codec.data.voice_data import rough_durations, set_aside
from codec.data.voice_targets import Lesson, held, lesson, periodicity
from codec.network.envelope import KNOTS
from codec.network.phones import PHONE_CLASSES
from codec.network.synthesis import DELAY_SAMPLES
from codec.network.voice import Voice
from codec.pretrained.hibari import Hibari, Spoken

pytest.importorskip("hibari")
torch.set_num_threads(1)
IDS = text_to_ids("We saw a big fish.")


@pytest.fixture(scope="module")
def spoken() -> Spoken:
    return Hibari().speak(IDS)


@pytest.fixture(scope="module")
def taught(spoken: Spoken) -> Lesson:
    return lesson(spoken)


def test_shapes_and_ranges(taught: Lesson) -> None:
    frames = len(taught.phones)
    assert all(len(each) == frames for each in (taught.stress, taught.pitch, taught.voicing, taught.energy))
    assert taught.tone.shape == taught.air.shape == (2 * frames, KNOTS)
    assert taught.phones[0] == taught.phones[-1] == 0 and taught.phones.max() < PHONE_CLASSES
    assert 0.2 < taught.voicing.mean() < 0.8
    assert np.abs(taught.pitch).max() < 1.2


def test_the_envelopes_sound_as_the_teacher_at_the_same_time(spoken: Spoken, taught: Lesson) -> None:
    voice = Voice()
    pitch, tone, air = (torch.tensor(each)[None] for each in (taught.pitch, taught.tone, taught.air))
    samples, _ = voice.sound(pitch, torch.zeros_like(pitch), tone, air, voice.synthesis.initial_state(1))
    ours, theirs = samples[0, DELAY_SAMPLES:].numpy(), spoken.samples()

    def loudness(wave: np.ndarray, step: int) -> np.ndarray:
        """dB of each 10 ms."""
        power = (wave[: len(wave) // step * step].reshape(-1, step) ** 2).mean(1)
        return np.asarray(10 * np.log10(power + 1e-8))

    a, b = loudness(ours, 160), loudness(theirs, 240)
    count = min(len(a), len(b)) - 4
    errors = [np.abs(a[:count] - b[shift : shift + count]).mean() for shift in range(4)]
    assert int(np.argmin(errors)) == 0 and errors[0] < 3


def test_the_last_sound_ends_where_it_is_no_longer_heard(taught: Lesson) -> None:
    loud = np.exp(2 * taught.air).sum(1) + np.exp(2 * taught.tone).sum(1)
    last = int(np.flatnonzero(taught.phones)[-1])
    assert len(taught.phones) - last > 5
    assert 10 * np.log10(loud[2 * last : 2 * last + 8].max() / loud.max()) > -50


def test_pitch_is_held_and_periodicity_found() -> None:
    assert np.allclose(held(np.array([0, 200, 0, 400, 0.0])), [0, 0, 0.5, 1, 1])
    time = np.arange(24_000) / 24_000
    assert periodicity(np.sin(2 * np.pi * 150 * time), np.full(40, 150.0)).min() > 0.95
    assert periodicity(np.random.default_rng(0).standard_normal(24_000), np.full(40, 150.0)).mean() < 0.6


def test_no_sound_vanishes_from_rough_timing(spoken: Spoken) -> None:
    for seed in range(5):
        found = rough_durations(IDS, spoken.durations, np.random.default_rng(seed))
        sounds = spoken.durations[1:-1] > 0
        assert found.shape == spoken.durations.shape and found.min() >= 0
        assert 0.5 < found[1:-1][sounds].sum() / spoken.durations[1:-1][sounds].sum() < 3


def test_mistakes_are_mild() -> None:
    rng = np.random.default_rng(0)
    phones = np.repeat(rng.integers(0, PHONE_CLASSES, 100), 5)
    assert (phones[misplaced(phones, rng)] != phones).mean() < 0.12
    for _ in range(4):
        soft = softened(phones, PHONE_CLASSES, True, rng)
        assert np.allclose(soft.sum(1), 1, atol=1e-5)
        assert (soft[np.arange(len(phones)), phones] > 0.59).all()


def test_few_sentences_are_set_aside_and_always_the_same() -> None:
    found = [set_aside(f"sentence {number}") for number in range(2000)]
    assert 15 < sum(found) < 80
    assert found == [set_aside(f"sentence {number}") for number in range(2000)]
