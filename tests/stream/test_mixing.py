"""Many channels to one: what is in opposite phase does not vanish, and everything else is the mean."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream.audio import read_file, read_pipe
from stream.mixing import Mixer
from tests.conftest import SAMPLE_RATE_HZ, speech_like


def mixed(sound: np.ndarray, block: int = 1280) -> tuple[np.ndarray, Mixer]:
    mixer = Mixer(SAMPLE_RATE_HZ)
    return np.concatenate([mixer(sound[k : k + block]) for k in range(0, len(sound), block)]), mixer


def power(pcm: np.ndarray) -> float:
    return float(np.mean(pcm.astype(np.float64) ** 2))


@pytest.mark.parametrize("gains", [(1, -1), (1, -0.8), (-1, 1), (1, 1, -1), (1, -1, 1, -1), (0.01, -0.01)])
def test_opposite_phase_adds_up(gains: tuple[float, ...]) -> None:
    voice = speech_like(4.0)
    out, mixer = mixed(voice[:, None] * np.array(gains, np.float32))
    expected = voice * np.mean(np.abs(gains))
    assert mixer.inverted and np.allclose(np.abs(out), np.abs(expected), atol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 0.2])
def test_opposite_phase_with_an_offset_and_noise(offset: float) -> None:
    rng, voice = np.random.default_rng(1), speech_like(4.0)
    stereo = np.stack([voice, -voice], axis=1) + 0.002 * rng.standard_normal((len(voice), 2)) + offset
    out, _ = mixed(stereo.astype(np.float32))
    assert power(out - out.mean()) > 0.8 * power(voice)


@pytest.mark.parametrize("kind", ["same", "left", "two voices", "noise"])
def test_everything_else_is_the_mean(kind: str) -> None:
    rng, voice = np.random.default_rng(2), speech_like(4.0)
    right = {
        "same": voice,
        "left": 0 * voice,
        "two voices": speech_like(4.0, seed=9),
        "noise": 0.1 * rng.standard_normal(len(voice)),
    }
    stereo = np.stack([voice, right[kind]], axis=1).astype(np.float32)
    out, mixer = mixed(stereo)
    assert not mixer.inverted and np.allclose(out, stereo.mean(axis=1), atol=1e-6)


def test_the_phase_may_change_without_a_click_and_without_turning_back_and_forth() -> None:
    voice = speech_like(12.0)
    wobble = 1 + 0.3 * np.sin(2 * np.pi * 0.7 * np.arange(len(voice)) / SAMPLE_RATE_HZ)  # now one is louder, now the other
    out, _ = mixed(np.stack([voice * wobble, -voice / wobble], axis=1).astype(np.float32))
    assert np.corrcoef(out, voice)[0, 1] > 0.9
    half = len(voice) // 2
    joined = np.stack([voice, np.where(np.arange(len(voice)) < half, voice, -voice)], axis=1).astype(np.float32)
    out, mixer = mixed(joined)
    assert mixer.inverted and power(out[-2 * SAMPLE_RATE_HZ :]) == pytest.approx(power(voice[-2 * SAMPLE_RATE_HZ :]), rel=1e-3)


def test_files_and_pipes_say_so_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voice = speech_like(1.0)
    for form in ("wav", "flac"):
        path = tmp_path / f"balanced.{form}"
        soundfile.write(path, np.stack([voice, -voice], axis=1), SAMPLE_RATE_HZ)
        heard = np.concatenate(list(read_file(str(path))))
        assert power(heard) == pytest.approx(power(voice), rel=1e-2)
        assert "opposite phase" in capsys.readouterr().err
    list(read_pipe(io.BytesIO((tmp_path / "balanced.wav").read_bytes()), raw=False))
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_is_not_finite_does_not_stay() -> None:
    stereo = np.stack([speech_like(2.0), speech_like(2.0)], axis=1)
    stereo[5000] = np.nan, np.inf
    out, _ = mixed(stereo)
    assert np.isfinite(out[6000:]).all() and power(out[6000:]) > 0
