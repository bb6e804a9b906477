"""Batches: the same whoever draws them, and what happens to the speech in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.batches import UNKNOWN_PHONE, Batches, phones_at
from codec.config import DataConfig
from codec.data.corpus import CorpusError, PackedCorpus, pack
from codec.data.manifest import Utterance, write_manifest
from codec.phones import PHONE_INDEX
from codec.team import Team


def test_a_batch_is_the_same_whoever_draws_it(corpus: Path) -> None:
    data = DataConfig(corpora=(str(corpus),), shares=(1.0,), noise_share=0.0, room_share=0.5, crop_s=0.96, batch_s=4.0)
    whole = Batches(data, 3)
    parts = [Batches(data, 3, team=Team(rank, 2)) for rank in range(2)]
    crops, halves = whole.crops(7), [part.crops(7) for part in parts]
    assert len(crops.heard) == 4
    for rank in range(2):
        assert np.array_equal(crops.heard[rank::2], halves[rank].heard)
        assert np.array_equal(crops.clean[rank::2], halves[rank].clean)
        assert np.array_equal(crops.phones[rank::2], halves[rank].phones)
    utterances, shares = whole.utterances(7), [part.utterances(7) for part in parts]
    for rank in range(2):
        assert np.array_equal(utterances.heard[rank::2], shares[rank].heard)
        assert utterances.letters[rank::2] == shares[rank].letters and shares[rank].total == len(utterances.heard)
    with pytest.raises(CorpusError, match="do not divide"):
        Batches(data, 3, team=Team(0, 3)).crops(0)


def test_no_transcripts_to_draw_are_one_line(corpus: Path, tones: Path) -> None:
    untold = DataConfig(corpora=(str(tones),), shares=(1.0,), noise_share=0.0)
    unheard = DataConfig(corpora=(str(tones), str(corpus)), shares=(1.0, 0.0), noise_share=0.0)  # told, but no share of it
    brief = DataConfig(corpora=(str(corpus),), shares=(1.0,), noise_share=0.0, longest_s=1.0)
    for data in (untold, unheard, brief):
        batches = Batches(data, 1)
        assert len(batches.crops(0).heard) and not batches.transcribed
        with pytest.raises(CorpusError, match=r"no transcribed speech of 1\.2 to \d s in .*; pack transcripts"):
            batches.utterances(0)


TONES_HZ = {"pau": 0, "aa": 250, "iy": 500, "s": 1000, "uw": 2000}  # an octave apart: no change of speed confuses them
SAID = [("pau", 0.3), ("aa", 0.8), ("iy", 1.1), ("pau", 1.25), ("s", 1.5), ("uw", 1.9), ("pau", 2.0)]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of "phones" that are pure tones, one of which does not tell when they were said."""
    folder = tmp_path_factory.mktemp("tones")
    hz = np.repeat([TONES_HZ[phone] for phone, _ in SAID], np.diff([0, *(round(16_000 * end_s) for _, end_s in SAID)]))
    soundfile.write(folder / "tones.wav", 0.1 * np.sin(2 * np.pi * np.cumsum(hz) / 16_000), 16_000)
    alignment = " ".join(f"{phone}:{end_s}" for phone, end_s in SAID)
    items = [
        Utterance(folder / "tones.wav", 2.0, speaker, "train", "", "CC0", "tones", known)
        for speaker, known in (("s:1", alignment), ("s:2", ""))
    ]
    write_manifest(folder / "speech.tsv", items)
    pack([folder / "speech.tsv"], folder / "packed", workers=1)
    return folder / "packed"


def test_phones_have_ends_and_silence_around_them(tones: Path) -> None:
    timed, untimed = PackedCorpus(tones).entries
    times_s = np.array([-1.0, 0.1, 0.31, 0.79, 0.81, 1.2, 1.4, 1.89, 1.95, 2.1])
    named = ["pau", "pau", "aa", "aa", "iy", "pau", "s", "uw", "pau", "pau"]
    assert phones_at(timed, times_s).tolist() == [PHONE_INDEX.get(phone, 0) for phone in named]
    assert phones_at(untimed, times_s).tolist() == [UNKNOWN_PHONE] * len(times_s)


@pytest.mark.parametrize("crop_s", [0.96, 2.56])
def test_phones_of_crops_lie_on_the_speech_at_any_speed(crop_s: float, tones: Path) -> None:
    """A crop shorter than the recording, and one that is filled up with silence at both ends."""
    data = DataConfig(corpora=(str(tones),), shares=(1.0,), noise_share=0.0, room_share=0.0, crop_s=crop_s, batch_s=16 * crop_s)
    crops = Batches(data, 1).crops(0)
    assert crops.phones.shape == (16, crops.clean.shape[1] // 640)
    known = (crops.phones != UNKNOWN_PHONE).all(axis=1)
    assert 0 < known.sum() < 16 and (crops.phones[~known] == UNKNOWN_PHONE).all()
    seconds = np.arange(-96, 96) / 16_000  # 12 ms around the middle of a frame
    waves = {phone: np.exp(-2j * np.pi * hz * np.outer((0.87, 0.93, 1.0, 1.08, 1.16), seconds)) for phone, hz in TONES_HZ.items()}
    heard, labels = [], []
    for audio, phones in zip(crops.clean[known], crops.phones[known], strict=True):
        for frame, label in enumerate(phones):
            window = audio[640 * frame + 320 - 96 : 640 * frame + 320 + 96]
            tone = max((phone for phone in waves if phone != "pau"), key=lambda phone: np.abs(waves[phone] @ window).max())
            heard.append(PHONE_INDEX[tone] if np.abs(window).mean() > 0.05 * np.abs(audio).max() else 0)
            labels.append(label)
    assert set(labels) == {0, *(PHONE_INDEX[phone] for phone in TONES_HZ if phone != "pau")}
    # Where a phone ends within the window either label is right.
    assert np.mean(np.array(heard) == np.array(labels)) > 0.93
