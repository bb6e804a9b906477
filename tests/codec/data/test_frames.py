"""Frames: what a voice is to say, kept and read back; and varied without losing a phone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("hibari", reason="frames are made of hibari's speech, of the extra train")
from codec.data.frames import FrameFile, Frames, at_phone_rate, continuous_pitch, median_pitch, write_frames
from codec.data.spoken import stretched
from codec.data.variation import SIZE_OCTAVES, revoiced, roughened
from stream.errors import ClariError


def utterance(count: int, seed: int) -> Frames:
    rng = np.random.default_rng(seed)
    phones = np.repeat(rng.integers(0, 45, count), rng.integers(2, 8, count))[:count].astype(np.uint8)
    voiced = (phones % 2).astype(np.uint8)
    return Frames(
        phones, (phones % 3).astype(np.uint8), rng.normal(0, 0.2, count).astype(np.float32), voiced, np.ones(count, np.float32)
    )


def test_written_frames_are_read_back(tmp_path: Path) -> None:
    items = [utterance(count, count) for count in (40, 0, 7)]
    assert write_frames(tmp_path / "frames.npz", items) == 3
    file = FrameFile(tmp_path / "frames.npz")
    assert len(file) == 3 and list(file.lengths) == [40, 0, 7]
    for item, found in zip(items, (file[index] for index in range(3)), strict=True):
        assert np.array_equal(item.phones, found.phones) and np.array_equal(item.voiced, found.voiced)
        assert np.allclose(item.pitch, found.pitch, atol=2e-3)


def test_missing_frames_name_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ClariError, match=r"make them: python -m codec\.data"):
        FrameFile(tmp_path / "frames.npz")


def test_pitch_is_bridged_where_unvoiced() -> None:
    pitch, voiced = continuous_pitch(np.array([0, 100, 0, 0, 200, 0], float))
    assert list(voiced) == [0, 1, 0, 0, 1, 0]
    assert np.allclose(pitch, np.interp(range(6), [1, 4], [-1, 0]), atol=1e-6)


def test_silence_has_the_pitch_of_the_voice() -> None:
    pitch, voiced = continuous_pitch(np.zeros(9))
    assert not voiced.any() and median_pitch(pitch, voiced) == pytest.approx(np.log2(195 / 200), abs=1e-6)


def test_values_of_another_rate_are_taken_at_the_middle() -> None:
    line = np.arange(80, dtype=np.float32)
    assert np.allclose(at_phone_rate(line, 80, 50), (np.arange(50) + 0.5) * 1.6 - 0.5, atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_rougher_timing_keeps_every_phone_in_order(seed: int) -> None:
    frames = utterance(200, seed)
    rough = roughened(frames, np.random.default_rng(seed))
    runs = [each.phones[np.concatenate(([True], np.diff(each.phones) != 0))] for each in (frames, rough)]
    assert np.array_equal(*runs)
    assert len(rough) != len(frames)


def test_another_speaker_has_another_pitch_and_the_same_words() -> None:
    frames = utterance(200, 1)
    other, size = revoiced(frames, np.random.default_rng(3))
    assert np.array_equal(frames.phones, other.phones) and SIZE_OCTAVES[0] <= size <= SIZE_OCTAVES[1]
    assert float(np.mean(other.pitch) - np.mean(frames.pitch)) == pytest.approx(size - frames.size, abs=0.4)


def test_faster_is_shorter_and_higher() -> None:
    frames = utterance(120, 2)
    fast = stretched(frames, 1.2)
    assert len(fast) == 100
    assert float(np.mean(fast.pitch)) == pytest.approx(float(np.mean(frames.pitch)) + np.log2(1.2), abs=0.02)
