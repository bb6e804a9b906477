"""High-pass against rumble, handling noise and mains hum: a second-order Butterworth filter, `y, state = f(x, state)`.

numpy has no recursive filter, and a loop over samples costs a processor. Samples are taken 64 at a time instead: their
response is a matrix product, and only the state, two numbers, goes from block to block. The numbers are those of the
plain recursion, whatever the chunking.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stream.frame import SAMPLE_RATE_HZ, Pcm

BLOCK_SAMPLES = 64
CUT_OFF_HZ = 80.0  # below the voice of nearly everybody, above most of the rumble

State = NDArray[np.float64]  # [2] of the transposed direct form II
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class HighPass:
    """The filter; its state belongs to the caller."""

    cut_off_hz: float = CUT_OFF_HZ

    @staticmethod
    def start() -> State:
        """The state before the first sample."""
        return np.zeros(2)

    def settled(self, offset: float) -> State:
        """The state after samples that were all `offset`: who begins with it hears no step."""
        b0, _, b2, _, _ = self._coefficients
        return np.array([-b0 * offset, b2 * offset])

    def __call__(self, x: Pcm, state: State) -> tuple[Pcm, State]:
        """Samples [N] and state -> samples [N] and state."""
        response, carried, entering, kept = self._matrices
        whole = len(x) // BLOCK_SAMPLES
        blocks = x[: whole * BLOCK_SAMPLES].astype(np.float64).reshape(whole, BLOCK_SAMPLES)
        fed, states = blocks @ entering.T, np.empty((whole, 2))
        for number in range(whole):
            states[number] = state
            state = kept @ state + fed[number]
        y = (blocks @ response.T + states @ carried.T).reshape(-1)
        rest = x[whole * BLOCK_SAMPLES :].astype(np.float64)
        if len(rest):
            count = len(rest)
            y = np.concatenate([y, response[:count, :count] @ rest + carried[:count] @ state])
            step, feed = self._step
            for sample in rest:
                state = step @ state + feed * sample
        filtered: Pcm = y.astype(np.float32)
        return filtered, state

    @cached_property
    def _coefficients(self) -> tuple[float, float, float, float, float]:
        """b0, b1, b2, a1, a2 by the bilinear transform (Bristow-Johnson, Cookbook formulae for audio EQ, Q = 1/sqrt 2)."""
        angle = 2 * math.pi * self.cut_off_hz / SAMPLE_RATE_HZ
        alpha, cosine = math.sin(angle) / math.sqrt(2), math.cos(angle)
        a0 = 1 + alpha
        b0 = (1 + cosine) / 2 / a0
        return b0, -2 * b0, b0, -2 * cosine / a0, (1 - alpha) / a0

    @cached_property
    def _step(self) -> tuple[Matrix, State]:
        """What one sample does to the state."""
        b0, b1, b2, a1, a2 = self._coefficients
        return np.array([[-a1, 1.0], [-a2, 0.0]]), np.array([b1 - a1 * b0, b2 - a2 * b0])

    @cached_property
    def _matrices(self) -> tuple[Matrix, Matrix, Matrix, Matrix]:
        """Of one block: samples -> samples, state -> samples, samples -> state, state -> state."""
        b0 = self._coefficients[0]
        step, feed = self._step
        powers = [np.eye(2)]
        for _ in range(BLOCK_SAMPLES):
            powers.append(step @ powers[-1])
        carried = np.array([power[0] for power in powers[:BLOCK_SAMPLES]])
        impulse = np.concatenate([[b0], [(power @ feed)[0] for power in powers[: BLOCK_SAMPLES - 1]]])
        response = np.zeros((BLOCK_SAMPLES, BLOCK_SAMPLES))
        for row in range(BLOCK_SAMPLES):
            response[row, : row + 1] = impulse[row::-1]
        entering = np.array([powers[BLOCK_SAMPLES - 1 - column] @ feed for column in range(BLOCK_SAMPLES)]).T
        return response, carried, entering, powers[BLOCK_SAMPLES]
