"""Decoder: code values at 12.5 Hz to what the voice is to say at 50 Hz, causal, with an input for what did not arrive."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from codec.network.layers import Stack, State, Upsample, blocks
from codec.network.phones import PHONE_CLASSES, STRESS_CLASSES
from stream.frame import CODE_DIMENSIONS

DELAY_FRAMES = 5  # of 20 ms: at code t the decoder says frames 4 t - 5 to 4 t - 2
CONTINUOUS = 4  # pitch, voicing, energy, size


class Scores(NamedTuple):
    """What the decoder makes of the codes, at 50 Hz, before anything is decided."""

    phones: Tensor  # scores [B, T, PHONE_CLASSES]
    stress: Tensor  # scores [B, T, STRESS_CLASSES]
    pitch: Tensor  # log2(Hz / 200) [B, T]
    voiced: Tensor  # score [B, T]
    energy: Tensor  # on the scale of hibari's channel [B, T]
    size: Tensor  # octaves of the speaker's median pitch above the voice's [B, T]


class Decoder(nn.Module):
    """Values [B, T, 8] and lost flags [B, T] (1: no code arrived) -> what to say [B, 4 T], DELAY_FRAMES late.

    A lost frame enters as one learned vector in place of its code; trained with bursts of them, the network fades a gap out.
    """

    def __init__(self, widths: tuple[int, int, int], counts: tuple[int, int, int], kernel: int = 7):
        super().__init__()
        self.embed = nn.Linear(CODE_DIMENSIONS, widths[0])
        self.lost = nn.Parameter(torch.zeros(widths[0]))
        layers = [*blocks(counts[0], widths[0], kernel, 3)]
        for level in (1, 2):
            layers.append(Upsample(widths[level - 1], widths[level], 2))
            layers += blocks(counts[level], widths[level], kernel, 3)
        self.stack = Stack(*layers)
        self.norm = nn.LayerNorm(widths[-1])
        self.project = nn.Linear(widths[-1], PHONE_CLASSES + STRESS_CLASSES + CONTINUOUS)

    def initial_state(self, batch: int) -> State:
        return self.stack.initial_state(batch)

    def forward(self, values: Tensor, lost: Tensor, state: State) -> tuple[Scores, State]:
        gone = lost.unsqueeze(2).to(values.dtype)
        x, state = self.stack(self.embed(values) * (1 - gone) + self.lost * gone, state)
        y = self.project(self.norm(x)).float()
        phones, stress, rest = torch.split(y, [PHONE_CLASSES, STRESS_CLASSES, CONTINUOUS], 2)
        return Scores(phones, stress, *rest.unbind(2)), state
