"""Which utterances are judged and which noise they get."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.data.corpus import pack_noise
from codec.data.manifest import Utterance
from codec.trials import Noises, make_trials, select_utterances
from stream.errors import FileError, UsageError


def utterance(
    speaker: str, number: int, split: str = "heldout", transcript: str = "HELLO THERE", corpus: str = "Some"
) -> Utterance:
    return Utterance(Path(f"{speaker}-{number}.wav"), 1.0, speaker, split, transcript, "CC0", corpus)


def white(samples: int, seed: int, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, samples).astype(np.float32)


@pytest.fixture
def noise_folder(tmp_path: Path) -> Path:
    """Half a second of noise, a recording that is silent but for its end, and one that is nothing but silence."""
    folder = tmp_path / "noise"
    folder.mkdir()
    soundfile.write(folder / "short.wav", white(8_000, 1), 16_000)
    soundfile.write(folder / "late.flac", np.concatenate([np.zeros(160_000), white(16_000, 2)]), 16_000)
    soundfile.write(folder / "silent.wav", np.zeros(16_000), 16_000)
    return folder


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
    for trial in make_trials(spoken, None, 10.0, seed=1):
        assert trial.heard is trial.clean


@pytest.mark.parametrize("snr_db", [10.0, 20.0])
def test_noise_has_the_asked_level_and_the_reference_stays_clean(
    spoken: list[Utterance], noise_folder: Path, snr_db: float
) -> None:
    clean = make_trials(spoken, None, snr_db, seed=1)
    for trial, without in zip(make_trials(spoken, Noises(noise_folder), snr_db, seed=1), clean, strict=True):
        np.testing.assert_array_equal(trial.clean, without.clean)
        assert trial.heard.dtype == np.float32 and trial.heard.shape == trial.clean.shape
        ratio = np.mean(trial.clean**2) / np.mean((trial.heard - trial.clean) ** 2)
        assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.05)


def test_noise_comes_from_the_seed_and_the_utterance_alone(spoken: list[Utterance], noise_folder: Path) -> None:
    noises = Noises(noise_folder)
    everything = make_trials(spoken, noises, 10.0, seed=1)
    alone = make_trials(spoken[3:4], Noises(noise_folder), 10.0, seed=1)[0]
    np.testing.assert_array_equal(alone.heard, everything[3].heard)
    other_seed = make_trials(spoken[3:4], noises, 10.0, seed=2)[0]
    assert np.abs(other_seed.heard - alone.heard).max() > 0.001


def test_packed_noise_is_the_same_noise(noise_folder: Path, tmp_path: Path) -> None:
    pack_noise(noise_folder, tmp_path / "packed")
    packed, plain = Noises(tmp_path / "packed"), Noises(noise_folder)
    assert len(packed.recordings) == len(plain.recordings) == 2  # silence is none
    for one, two in zip(packed.recordings, plain.recordings, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)


def test_a_folder_without_noise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"missing: no recordings .* give --noise a folder"):
        Noises(tmp_path / "missing")
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), 16_000)
    with pytest.raises(FileError, match="can be heard"):
        Noises(tmp_path)
    (tmp_path / "text.wav").write_text("words")
    with pytest.raises(FileError, match="no usable noise"):
        Noises(tmp_path)
    for index in ("words\nmore\n", "start\tsamples\n1\n", "start\tsamples\nx\ty\n"):
        (tmp_path / "index.tsv").write_text(index)
        with pytest.raises(FileError, match="no usable noise"):
            Noises(tmp_path)
