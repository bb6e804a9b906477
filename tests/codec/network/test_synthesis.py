"""Source and filter: pitch, loudness, delay and streaming are what the module says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.network.envelope import KNOTS, Envelope, knot_frequencies_hz
from codec.network.synthesis import (
    AIR_BINS,
    AIR_LAG_SAMPLES,
    DELAY_SAMPLES,
    FRAME_SAMPLES,
    HOP,
    PITCH_UNIT_HZ,
    SAMPLE_RATE_HZ,
    TONE_BIN_HZ,
    TONE_BINS,
    TONE_LAG_SAMPLES,
    Synthesis,
)

torch.set_num_threads(1)
SILENT = -30.0
SYNTHESIS = Synthesis()


def octaves(hertz: float) -> float:
    return float(np.log2(hertz / PITCH_UNIT_HZ))


def sound(pitch: Tensor, tone: Tensor, air: Tensor) -> np.ndarray:
    return np.asarray(SYNTHESIS(pitch, tone, air, SYNTHESIS.initial_state(pitch.shape[0]))[0][0])


def tones(frames: int, level: float = -3.0) -> Tensor:
    return torch.full((1, 2 * frames, TONE_BINS), level)


def airs(frames: int, level: float = SILENT) -> Tensor:
    return torch.full((1, 2 * frames, AIR_BINS), level)


def only_first_harmonic(frames: int, top_hz: float) -> Tensor:
    tone = tones(frames)
    tone[..., int(top_hz / TONE_BIN_HZ) :] = SILENT
    return tone


def instant_hz(wave: np.ndarray) -> np.ndarray:
    """Frequency of a single wave, by the angle of its analytic signal."""
    spectrum = np.fft.fft(wave.astype(float))
    spectrum[len(wave) // 2 :] = 0
    turns = np.unwrap(np.angle(np.fft.ifft(spectrum))) / (2 * np.pi)
    return np.asarray(np.diff(turns) * SAMPLE_RATE_HZ)


@pytest.mark.parametrize("hertz", [62.3, 123.4, 310.0])
def test_pitch_is_the_input_s_within_a_cent(hertz: float) -> None:
    wave = sound(torch.full((1, 60), octaves(hertz)), tones(60), airs(60))[3200:]
    step = 0.01
    near = np.arange(hertz - 1, hertz + 1, step)
    time = np.arange(len(wave)) / SAMPLE_RATE_HZ
    power = [
        np.abs(np.exp(-2j * np.pi * order * near[:, None] * time) @ (wave * np.hanning(len(wave)))) ** 2 for order in (1, 2, 3)
    ]
    found = near[int(np.sum(power, axis=0).argmax())]
    assert abs(1200 * np.log2(found / hertz)) < 1


def test_pitch_comes_late_by_the_delay() -> None:
    frames, slope = 100, 20.0  # Hz per second
    hertz = 200 + slope * (np.arange(frames) + 0.5) * FRAME_SAMPLES / SAMPLE_RATE_HZ
    pitch = torch.tensor(np.log2(hertz / PITCH_UNIT_HZ), dtype=torch.float32)[None]
    found = instant_hz(sound(pitch, only_first_harmonic(frames, 320), airs(frames)))[8000:-8000]
    due = 200 + slope * (np.arange(8000, 8000 + len(found)) + 1.0 - DELAY_SAMPLES) / SAMPLE_RATE_HZ
    assert abs((found - due).mean() / slope * SAMPLE_RATE_HZ) < 16  # samples; dispersion takes ten of them


@pytest.mark.parametrize("part", ["tone", "air"])
def test_a_burst_in_a_spectrum_comes_late_by_the_delay(part: str) -> None:
    frames, hop = 40, 37
    tone, air = tones(frames, SILENT), airs(frames)
    lag = TONE_LAG_SAMPLES if part == "tone" else AIR_LAG_SAMPLES
    (tone if part == "tone" else air)[:, hop] = -3.0
    power = np.zeros(frames * FRAME_SAMPLES)
    for shift in np.linspace(0, 1, 20):  # pulses at many places
        state = list(SYNTHESIS.initial_state(1))
        state[0] = torch.full((1, 1), float(shift))
        state[3] = torch.full((1, 1), float(int(300 * shift)))
        power += SYNTHESIS(torch.full((1, frames), octaves(300)), tone, air, tuple(state))[0][0].numpy() ** 2
    middle = (power * np.arange(len(power))).sum() / power.sum()
    assert abs(middle - (hop * HOP - lag + DELAY_SAMPLES)) < 16


def test_as_loud_at_any_pitch() -> None:
    loud = [sound(torch.full((1, 50), octaves(hertz)), tones(50), airs(50))[3200:].std() for hertz in (70, 110, 195, 290)]
    assert np.ptp(20 * np.log10(loud)) < 0.5


def test_air_has_the_strength_that_its_spectrum_says() -> None:
    wave = sound(torch.zeros(1, 200), tones(200, SILENT), airs(200, float(np.log(0.1))))
    assert abs(wave[800:].std() - 0.1) < 0.003


def test_stretching_moves_a_formant() -> None:
    for size in (-1.0, 0.0, 0.6):
        knots = torch.tensor(-np.abs(knot_frequencies_hz() - 2000) / 300, dtype=torch.float32).expand(1, 1, KNOTS)
        found = Envelope(TONE_BINS, TONE_BIN_HZ)(knots, torch.full((1, 1), size))[0, 0]
        assert abs(float(found.argmax()) * TONE_BIN_HZ - 2000 * 2 ** (0.25 * size)) < 80


def test_chunks_are_the_whole_and_no_later_input_is_heard() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = 32
    pitch = torch.rand(2, frames, generator=generator) * 2 - 1.5
    tone = torch.rand(2, 2 * frames, TONE_BINS, generator=generator) * 4 - 8
    air = torch.rand(2, 2 * frames, AIR_BINS, generator=generator) * 4 - 8
    whole, last = SYNTHESIS(pitch, tone, air, SYNTHESIS.initial_state(2))
    state = SYNTHESIS.initial_state(2)
    parts = []
    for start in range(0, frames, 4):
        end = start + 4
        part, state = SYNTHESIS(pitch[:, start:end], tone[:, 2 * start : 2 * end], air[:, 2 * start : 2 * end], state)
        parts.append(part)
    assert float((torch.cat(parts, dim=1) - whole).abs().max()) < 1e-5
    assert all(float((a - b).abs().max()) < 1e-5 for a, b in zip(last, state, strict=True))
    cut, _ = SYNTHESIS(pitch[:, :20], tone[:, :40], air[:, :40], SYNTHESIS.initial_state(2))
    assert float((cut - whole[:, : cut.shape[1]]).abs().max()) < 1e-5


def test_gradients_are_finite() -> None:
    pitch = torch.full((1, 8), -1.0, requires_grad=True)
    tone, air = tones(8).requires_grad_(), airs(8, -4.0).requires_grad_()
    SYNTHESIS(pitch, tone, air, SYNTHESIS.initial_state(1))[0].square().sum().backward()
    for given in (pitch, tone, air):
        assert given.grad is not None and bool(given.grad.isfinite().all()) and bool(given.grad.abs().sum() > 0)
