"""Two encoders for one decoder: what the ear hears, or phones that are known already, to eight positions at 12.5 Hz.

The head is what ships, behind the ear. The phone encoder needs no audio: the code is learned with it from text alone, and it
says what true phones lose in the bits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codec.network.ear import FEATURES
from codec.network.layers import Downsample, Stack, State, blocks
from codec.network.phones import PHONE_CLASSES, PHONE_FRAMES_PER_CODE, STRESS_CLASSES
from codec.network.quantizer import bound
from stream.frame import CODE_DIMENSIONS

PROSODY = 4  # pitch, voicing, energy, size


class Head(nn.Module):
    """Ear features [B, 4 T, 576] at 50 Hz -> positions [B, T, 8] in (-2, 2)."""

    def __init__(self, width: int, count: int, kernel: int = 5, inputs: int = FEATURES):
        super().__init__()
        self.scale = nn.LayerNorm(inputs)
        self.join = Downsample(inputs, width, PHONE_FRAMES_PER_CODE)
        self.stack = Stack(*blocks(count, width, kernel, 3))
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, CODE_DIMENSIONS)

    def initial_state(self, batch: int) -> State:
        return self.stack.initial_state(batch)

    def forward(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        x, _ = self.join(self.scale(features), ())
        x, state = self.stack(x, state)
        return bound(self.project(self.norm(x))), state


class PhoneEncoder(nn.Module):
    """Phones and stress [B, 4 T] (int64) and prosody [B, 4 T, 4] at 50 Hz -> positions [B, T, 8]."""

    def __init__(self, width: int = 384, count: int = 4):
        super().__init__()
        self.phone = nn.Embedding(PHONE_CLASSES, 64)
        self.stress = nn.Embedding(STRESS_CLASSES, 16)
        self.frame = nn.Linear(64 + 16 + PROSODY, 160)
        self.fine = Stack(*blocks(2, 160, 9, 2))
        self.head = Head(width, count, inputs=160)

    def forward(self, phones: Tensor, stress: Tensor, prosody: Tensor) -> Tensor:
        x = self.frame(torch.cat((self.phone(phones), self.stress(stress), prosody), 2))
        x, _ = self.fine(x, self.fine.initial_state(len(x)))
        positions, _ = self.head(x, self.head.initial_state(len(x)))
        return torch.as_tensor(positions)
