"""Which utterances are judged and which noise they get."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.data.manifest import Utterance
from codec.data.noises import Noises
from codec.evaluate.trials import Original, Trial, in_noise, make_trials, male_speakers, select_utterances
from stream.errors import UsageError
from tests.codec.data.test_pitch import voice


def utterance(
    speaker: str, number: int, split: str = "heldout", transcript: str = "HELLO THERE", corpus: str = "Some"
) -> Utterance:
    return Utterance(Path(f"{speaker}-{number}.wav"), 1.0, speaker, split, transcript, "CC0", corpus)


def white(samples: int, seed: int, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, samples).astype(np.float32)


@pytest.fixture
def noises(tmp_path: Path) -> Noises:
    """Half a second of noise, and a recording that is silent but for its end; both held out by their names."""
    folder = tmp_path / "noise"
    folder.mkdir()
    soundfile.write(folder / "kitchen.wav", white(8_000, 1), 16_000)
    soundfile.write(folder / "kitchen-A.flac", np.concatenate([np.zeros(160_000), white(16_000, 2)]), 16_000)
    return Noises(folder, held_out=True)


@pytest.fixture
def spoken(tmp_path: Path) -> list[Utterance]:
    found = []
    for number in range(6):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, white(20_000 + number, 10 + number, 0.05), 16_000)
        found.append(Utterance(path, 1.25, "a", "heldout", "HELLO", "CC0", "Some"))
    return found


def test_selection_is_deterministic_and_spread_over_speakers() -> None:
    everyone = [utterance(speaker, number) for speaker in "abcde" for number in range(10)]
    chosen = select_utterances(everyone, "", 12, seed=3)
    assert chosen == select_utterances(everyone[::-1], "", 12, seed=3)
    assert sorted(Counter(item.speaker for item in chosen).values()) == [2, 2, 2, 3, 3]
    assert chosen != select_utterances(everyone, "", 12, seed=4)
    assert len(select_utterances(everyone, "", None, seed=3)) == 50


def test_selection_takes_held_out_speech_with_words_of_the_named_corpus() -> None:
    good = utterance("a", 1, corpus="LibriSpeech")
    others = [
        utterance("b", 1, split="train", corpus="LibriSpeech"),
        utterance("a", 2, transcript=" ."),
        utterance("c", 1, corpus="Other"),
    ]
    assert select_utterances([good, *others], "libri", None, seed=1) == [good]
    with pytest.raises(UsageError, match="choose from: LibriSpeech, Other"):
        select_utterances([good, *others], "missing", None, seed=1)
    with pytest.raises(UsageError, match="held-out"):
        select_utterances(others[:2], "", None, seed=1)


def test_without_noise_everyone_hears_the_original(spoken: list[Utterance]) -> None:
    for trial in make_trials(spoken):
        assert trial.heard is trial.clean


@pytest.mark.parametrize("snr_db", [10.0, 20.0])
def test_noise_has_the_asked_level_and_the_reference_stays_clean(spoken: list[Utterance], noises: Noises, snr_db: float) -> None:
    clean = make_trials(spoken)
    for trial, without in zip(in_noise(clean, noises, snr_db, seed=1), clean, strict=True):
        assert trial.original is without.original and trial.utterance is without.utterance
        assert trial.heard.dtype == np.float32 and trial.heard.shape == trial.clean.shape
        ratio = np.mean(trial.clean**2) / np.mean((trial.heard - trial.clean) ** 2)
        assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.05)


def test_noise_comes_from_the_seed_and_the_utterance_alone(spoken: list[Utterance], noises: Noises) -> None:
    clean = make_trials(spoken)
    everything = in_noise(clean, noises, 10.0, seed=1)
    alone = in_noise(clean[3:4], noises, 10.0, seed=1)[0]
    np.testing.assert_array_equal(alone.heard, everything[3].heard)
    other_seed = in_noise(clean[3:4], noises, 10.0, seed=2)[0]
    assert np.abs(other_seed.heard - alone.heard).max() > 0.001


def test_men_are_told_by_the_median_pitch_of_all_that_they_say() -> None:
    def trial(speaker: str, pitch_hz: float, seconds: float = 1.0) -> Trial:
        samples = voice(np.full(int(16_000 * seconds), pitch_hz)) if pitch_hz else np.zeros(16_000, np.float32)
        return Trial(utterance(speaker, 0), Original(samples), samples)

    said = [trial("low", 110), trial("high", 210), trial("both", 120, 2.0), trial("both", 220), trial("neither", 0)]
    assert male_speakers(said) == {"low", "both"}
