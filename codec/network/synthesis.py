"""Source and filter: pitch and two spectra become samples at 16 kHz, causally and in real arithmetic.

A train of pulses (every harmonic equally strong), in windows of 50 ms, is multiplied with the spectrum of the tone; white noise
from a fixed table, in windows of 20 ms (in longer ones a burst of air smears), with that of the air; both overlap to sound.
There is no switch between voiced and unvoiced: where there is no tone its spectrum is low.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.network.layers import State

SAMPLE_RATE_HZ = 16_000
HOP = 160  # samples, 10 ms, between spectra
TONE_WINDOW, AIR_WINDOW = 800, 320  # samples: 50 ms, 20 ms
TONE_BINS, AIR_BINS = TONE_WINDOW // 2 + 1, AIR_WINDOW // 2 + 1
TONE_BIN_HZ, AIR_BIN_HZ = SAMPLE_RATE_HZ / TONE_WINDOW, SAMPLE_RATE_HZ / AIR_WINDOW
FRAME_HOPS = 2  # spectra per input frame of 20 ms
FRAME_SAMPLES = FRAME_HOPS * HOP
REFERENCE_HZ = 195.0  # pitch at which a harmonic has amplitude exp(tone): the learned voice's own
TOP_HZ = 7800.0  # harmonics end here
PITCH_UNIT_HZ = 200.0  # pitch is in octaves above it
NOISE_HOPS = 400  # of the table: it repeats after 4 s
HERTZ_STEPS = 256  # per Hz, so that programs whose exp2 differs in its last digit count the same cycles
PHASE_STEPS = 2**20  # per cycle: sums of such steps are exact, so that no chunking changes a phase
SPREAD_S, SPREAD_BEND_HZ = 0.002, 500.0  # of a pulse's frequencies in time
_HISTORY = TONE_WINDOW - HOP

# The pitch goes in one frame from the middle of the last to the middle of this one; then the window of a tone must end.
DELAY_SAMPLES = FRAME_SAMPLES // 2 + TONE_WINDOW - HOP
# The spectra of hop m belong to the time m * HOP minus these, in the inputs' time.
TONE_LAG_SAMPLES = FRAME_SAMPLES // 2 + TONE_WINDOW // 2 - HOP
AIR_LAG_SAMPLES = DELAY_SAMPLES - AIR_WINDOW // 2


class Synthesis(nn.Module):
    """pitch [B, T] at 50 Hz, tone [B, 2 T, TONE_BINS], air [B, 2 T, AIR_BINS] -> samples [B, 320 T], late by DELAY_SAMPLES.

    tone is the logarithm of the amplitude of a harmonic, air that of white noise's standard deviation. The pulses carry the same
    power at any pitch. The state is six tensors: phase [B, 1] (cycles), newest pitch [B, 1], newest pulses [B, 640], the hop
    in the noise table [B, 1], and the sound that later windows add to, [B, 640] of the tone and [B, 160] of the air.
    """

    tone_basis: Tensor
    tone_window: Tensor
    tone_weights: Tensor
    tone_turns: Tensor
    air_inverse: Tensor
    noise: Tensor

    def __init__(self) -> None:
        super().__init__()
        basis, weights = _fourier(TONE_WINDOW)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(TONE_WINDOW) / TONE_WINDOW)
        self._keep("tone_basis", basis)
        self._keep("tone_window", hann)
        weights, angle = weights * HOP / (hann**2).sum(), np.tile(dispersion(), 2)
        self._keep("tone_weights", weights * np.cos(angle))
        self._keep("tone_turns", weights * np.sin(angle))
        basis, weights = _fourier(AIR_WINDOW)
        sine = np.sin(np.pi * (np.arange(AIR_WINDOW) + 0.5) / AIR_WINDOW)
        noise = np.random.default_rng(0).standard_normal(NOISE_HOPS * HOP)
        noise = np.concatenate([noise, noise[: AIR_WINDOW - HOP]])
        self._keep("noise", (np.lib.stride_tricks.sliding_window_view(noise, AIR_WINDOW)[::HOP] * sine) @ basis)
        self._keep("air_inverse", (basis * weights).T * sine)

    def _keep(self, name: str, value: np.ndarray) -> None:
        self.register_buffer(name, torch.tensor(value, dtype=torch.float32), persistent=False)

    def initial_state(self, batch: int) -> State:
        return tuple(self.noise.new_zeros(batch, length) for length in (1, 1, _HISTORY, 1, _HISTORY, AIR_WINDOW - HOP))

    def forward(self, pitch: Tensor, tone: Tensor, air: Tensor, state: State) -> tuple[Tensor, State]:
        phase, newest, history, place, tone_tail, air_tail = state
        assert isinstance(history, Tensor) and isinstance(tone_tail, Tensor) and isinstance(air_tail, Tensor)
        pulses, phase, newest = self._pulses(pitch, phase, newest)
        pulses = torch.cat([history, pulses], dim=1)
        spectrum = (pulses.unfold(1, TONE_WINDOW, HOP) * self.tone_window) @ self.tone_basis
        turned = torch.cat([-spectrum[..., TONE_BINS:], spectrum[..., :TONE_BINS]], dim=-1)
        spectrum = (spectrum * self.tone_weights + turned * self.tone_turns) * torch.exp(tone).repeat(1, 1, 2)
        voiced, tone_tail = overlap((spectrum @ self.tone_basis.T) * self.tone_window, tone_tail)
        noise, place = self._noise(place, air.shape[1])
        unvoiced, air_tail = overlap((noise * torch.exp(air).repeat(1, 1, 2)) @ self.air_inverse, air_tail)
        return voiced + unvoiced, (phase, newest, pulses[:, pulses.shape[1] - _HISTORY :], place, tone_tail, air_tail)

    def _pulses(self, pitch: Tensor, phase: State, newest: State) -> tuple[Tensor, Tensor, Tensor]:
        """pitch [B, T] -> pulses [B, 320 T], and the first two parts of the state."""
        assert isinstance(phase, Tensor) and isinstance(newest, Tensor)
        hertz = PITCH_UNIT_HZ * torch.exp2(torch.cat([newest, pitch], dim=1))
        hertz = hertz + (torch.round(hertz * HERTZ_STEPS) / HERTZ_STEPS - hertz).detach()
        start, end = hertz[:, :-1], hertz[:, 1:]
        way = torch.arange(1, FRAME_SAMPLES + 1, device=pitch.device) / FRAME_SAMPLES
        rise = (end - start)[:, :, None]
        inside = (start[:, :, None] + rise * way / 2) * (way * FRAME_SAMPLES / SAMPLE_RATE_HZ)  # cycles since the frame began
        advance = (start.double() + end.double()) * (FRAME_SAMPLES / SAMPLE_RATE_HZ / 2)
        advance = torch.round(advance * PHASE_STEPS) / PHASE_STEPS
        reached = torch.cat([phase.double(), phase.double() + torch.cumsum(advance, dim=1)], dim=1)
        reached = (reached - torch.floor(reached)).to(pitch.dtype)
        frequency = start[:, :, None] + rise * way
        train = harmonics(inside + reached[:, :-1, None], frequency) * torch.sqrt(frequency / REFERENCE_HZ)
        return train.flatten(1), reached[:, -1:], pitch[:, -1:]

    def _noise(self, place: State, hops: int) -> tuple[Tensor, Tensor]:
        """Spectra of the table [B, hops, 2 AIR_BINS] from `place` on, and the place after them."""
        assert isinstance(place, Tensor)
        at = place + torch.arange(hops + 1, device=place.device)
        at = at - NOISE_HOPS * torch.floor(at / NOISE_HOPS)
        return self.noise[at[:, :-1].long()], at[:, -1:]


def harmonics(cycle: Tensor, frequency: Tensor) -> Tensor:
    """Sum of the cosines of all harmonics below TOP_HZ at a place in the cycle; the highest fades in as the pitch falls."""
    count = TOP_HZ / frequency
    whole = torch.floor(count)
    angle = 2 * math.pi * (cycle - torch.floor(cycle + 0.5))  # -pi..pi
    below = 2 * torch.sin(angle / 2)
    near = below.abs() < 2e-3  # where the quotient loses its digits it has its limit
    quotient = torch.sin((whole + 0.5) * angle) / torch.where(near, torch.ones_like(below), below)
    quotient = torch.where(near, whole + 0.5, quotient)
    return quotient - 0.5 + (count - whole) * torch.cos((whole + 1) * angle)


def overlap(windows: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
    """windows [B, R, W] a hop apart, and the tail [B, W - 160] of those before -> what is complete [B, 160 R], and the new tail."""
    parts = windows.reshape(*windows.shape[:2], -1, HOP)
    rows, count = parts.shape[1], parts.shape[2]
    total = F.pad(tail.reshape(tail.shape[0], count - 1, HOP), (0, 0, 0, rows))
    for index in range(count):
        total = total + F.pad(parts[:, :, index], (0, 0, index, count - 1 - index))
    return total[:, :rows].flatten(1), total[:, rows:].flatten(1)


def dispersion() -> np.ndarray:
    """Phases [TONE_BINS] that spread each pulse: low frequencies up to 1.2 ms late, high ones 0.7 ms early.

    Without them the tone buzzes: DistillMOS of the teacher's own envelopes 3.9, with them 4.1.
    """
    late_s = SPREAD_S * (1 / (1 + np.arange(TONE_BINS) * TONE_BIN_HZ / SPREAD_BEND_HZ) - 0.4)
    return np.asarray(-2 * np.pi * TONE_BIN_HZ * np.cumsum(late_s))


def _fourier(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Real basis [length, 2 bins] (cosines, then negated sines), and the weights [2 bins] of the inverse transform."""
    bins = length // 2 + 1
    angle = 2 * np.pi * (np.outer(np.arange(length), np.arange(bins)) % length) / length
    weights = np.full(bins, 2.0 / length)
    weights[[0, -1]] = 1.0 / length
    return np.concatenate([np.cos(angle), -np.sin(angle)], axis=1), np.tile(weights, 2)
