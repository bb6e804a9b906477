"""Losses of stage 1: zero for equals, and what they do not hear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from codec.data.noises import with_noise
from codec.effects import in_room, room_response
from codec.evaluate.distances import intelligibility
from codec.frontend import LOG_DEVIATION, LogMel
from codec.losses import envelope_loss, multi_resolution_stft_loss, third_octaves
from tests.conftest import speech_like

CLIP = Path(__file__).parents[2] / "stream" / "clips" / "pirates.flac"


def log_mel(samples: np.ndarray) -> Tensor:
    frontend = LogMel(80)
    with torch.no_grad():
        return frontend(torch.from_numpy(samples.astype(np.float32))[None], frontend.initial_state(1))[0]


@pytest.fixture(scope="module")
def said() -> np.ndarray:
    """Four seconds of real speech, whole mel frames."""
    samples, _ = soundfile.read(CLIP, dtype="float32", start=16_000, frames=64_000)
    return np.asarray(samples)


@pytest.fixture(scope="module")
def mel(said: np.ndarray) -> Tensor:
    return log_mel(said)


def test_the_stft_loss_is_zero_for_equals_and_grows_with_noise() -> None:
    x = torch.from_numpy(speech_like(1.0))[None]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    losses = [multi_resolution_stft_loss(x + level * noise, x).item() for level in (0.0, 0.001, 0.01, 0.1)]
    assert losses[0] == pytest.approx(0, abs=1e-6) and losses == sorted(losses) and losses[1] > 0.01


def test_every_third_octave_hears_mel_bands_of_its_own() -> None:
    bands = third_octaves(80, torch.device("cpu"))
    assert bands.shape == (80, 15) and (bands.sum(0) >= 1).all() and (bands.sum(1) <= 1).all()
    lowest = bands.argmax(0)
    assert (lowest.diff() > 0).all()  # from low to high
    assert not bands[-1].any()  # 8 kHz is above the last band


def test_equal_envelopes_cost_nothing_at_any_level(mel: Tensor) -> None:
    assert envelope_loss(mel, mel).item() == pytest.approx(0, abs=1e-3)
    crops = torch.cat([mel, mel, mel])
    gains_db = torch.tensor([-6.0, 0.0, 6.0])
    louder = crops + (gains_db * np.log(10) / 20 / LOG_DEVIATION)[:, None, None]
    assert envelope_loss(louder, crops).item() == pytest.approx(0, abs=5e-3)
    silence = torch.full_like(mel, -3.0)
    assert torch.isfinite(envelope_loss(mel, silence)) and torch.isfinite(envelope_loss(silence, silence))


def test_shuffled_envelopes_are_worth_nothing(mel: Tensor) -> None:
    order = torch.randperm(mel.shape[1], generator=torch.Generator().manual_seed(0))
    assert envelope_loss(mel[:, order], mel).item() == pytest.approx(1, abs=0.1)
    flat = mel.mean(1, keepdim=True).expand_as(mel)
    assert envelope_loss(flat, mel).item() > 0.9


def test_envelopes_and_stoi_agree_which_speech_is_worse(said: np.ndarray, mel: Tensor) -> None:
    rng = np.random.default_rng(0)
    white = rng.standard_normal(len(said)).astype(np.float32)
    worse = [with_noise(said, white, snr_db) for snr_db in (20.0, 5.0, -10.0)]
    worse += [in_room(said, room_response(np.random.default_rng(1), decay_s, -6.0)) for decay_s in (0.3, 1.5)]
    worse.append(np.roll(said, 8000))
    stoi = np.array([intelligibility(said, each) for each in worse])
    losses = np.array([envelope_loss(log_mel(each), mel).item() for each in worse])
    assert np.corrcoef(1 - stoi, losses)[0, 1] > 0.95
    apart = stoi[:, None] - stoi > 0.03  # closer ones are a draw
    assert apart.sum() > 10 and (losses[:, None] < losses)[apart].all()


def test_envelopes_teach(mel: Tensor) -> None:
    """Descent on the loss alone restores the correlation of what was disturbed."""
    disturbed = (mel + 0.5 * torch.randn(mel.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
    before = envelope_loss(disturbed, mel)
    optimizer = torch.optim.Adam([disturbed], lr=0.02)
    for _ in range(20):
        optimizer.zero_grad()
        loss = envelope_loss(disturbed, mel)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.7 * before.item()
