"""Which noises evaluation keeps for itself, and what mixing does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.data.noises import Noises, is_held_out_noise, noise_paths, noise_stretch, with_noise
from stream.errors import FileError
from tests.conftest import speech_like

HELD_OUT, TRAINED = "kitchen", "hiss"  # CRC-32 of the first is a multiple of 5, that of the second is not


def white(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def test_the_side_of_a_noise_is_a_matter_of_its_source_alone() -> None:
    names = [f"{fold}-{clip}" for fold in range(1, 6) for clip in range(1000, 1400)]
    held_out = [is_held_out_noise(name) for name in names]
    assert np.mean(held_out) == pytest.approx(0.2, abs=0.02)
    for name, held in zip(names[:50], held_out, strict=False):
        for take in "ABC":
            assert is_held_out_noise(f"/a/b/{name}-{take}.opus") == is_held_out_noise(Path(f"c/{name}-{take}.wav")) == held
    assert is_held_out_noise(HELD_OUT) and not is_held_out_noise(TRAINED)


def test_each_side_gets_its_own_recordings(tmp_path: Path) -> None:
    for number, name in enumerate((f"{HELD_OUT}.wav", f"{TRAINED}.flac", f"below/{HELD_OUT}-A.wav")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, white(8_000, number), 16_000)
    sides = [[len(each) for each in Noises(tmp_path, held_out).recordings] for held_out in (True, False)]
    assert sides == [[8_000, 8_000], [8_000]]
    listed = tmp_path / "noises.tsv"
    listed.write_text(f"licence\tpath\nCC0\t{HELD_OUT}.wav\nCC0\t{TRAINED}.flac\n")
    assert noise_paths(listed) == [tmp_path / f"{TRAINED}.flac", tmp_path / f"{HELD_OUT}.wav"]
    assert len(Noises(listed, True).recordings) == len(Noises(listed, False).recordings) == 1


def test_silence_is_no_noise(tmp_path: Path) -> None:
    late = np.concatenate([np.zeros(160_000), white(16_000)])
    soundfile.write(tmp_path / f"{HELD_OUT}.wav", late, 16_000)
    soundfile.write(tmp_path / f"{HELD_OUT}-A.wav", np.zeros(16_000), 16_000)
    noises = Noises(tmp_path, held_out=True)
    assert len(noises.recordings) == 1
    rng = np.random.default_rng(0)
    assert all(np.mean(noises.draw(4_000, rng) ** 2) > 1e-7 for _ in range(20))


def test_a_place_without_noise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no recordings; give a folder"):
        Noises(tmp_path, True)
    with pytest.raises(FileError, match="no folder of noises and no list"):
        Noises(tmp_path / "missing", True)
    soundfile.write(tmp_path / f"{TRAINED}.wav", white(100), 16_000)
    with pytest.raises(FileError, match=r"is held out \(by file name"):
        Noises(tmp_path, True)
    soundfile.write(tmp_path / f"{HELD_OUT}.wav", np.zeros(100), 16_000)
    with pytest.raises(FileError, match="no noise that can be heard"):
        Noises(tmp_path, True)
    (tmp_path / f"{HELD_OUT}.wav").write_text("words")
    with pytest.raises(FileError, match="no usable noise"):
        Noises(tmp_path, True)
    (tmp_path / "list.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="no list of them"):
        noise_paths(tmp_path / "list.tsv")


def test_noise_comes_from_a_random_place_and_repeats() -> None:
    recording, rng = np.arange(10), np.random.default_rng(0)
    for samples in (4, 10, 23):
        stretch = noise_stretch(recording, samples, rng)
        assert np.array_equal(stretch, (stretch[0] + np.arange(samples)) % 10)
    assert len({int(noise_stretch(recording, 1, rng)[0]) for _ in range(200)}) == 10


def test_noise_has_the_asked_level() -> None:
    clean, noise = speech_like(1.0), np.random.default_rng(0).normal(0, 0.3, 16000).astype(np.float32)
    added = with_noise(clean, noise, 10.0) - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(added**2)) == pytest.approx(10.0, abs=0.01)
