"""A critic of envelopes: tells those of the teacher from those of the voice. It trains the voice and never ships.

What a regression cannot know it averages, and averaged formants and averaged noise sound muffled; the critic hears that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.network.envelope import KNOTS
from codec.network.phones import PHONE_CLASSES, STRESS_CLASSES
from codec.network.synthesis import FRAME_HOPS
from codec.network.voice import AMPLITUDE_RANGE, NUMBERS, TYPICAL_AMPLITUDE, Said

LAYERS = ((24, (3, 5), (1, 2)), (48, (3, 5), (2, 2)), (64, (3, 3), (2, 2)), (64, (3, 3), (1, 2)))  # channels, kernel, stride
SLOPE = 0.1


class Critic(nn.Module):
    """Envelopes [B, 2 T, KNOTS] and what was said -> marks of patches of about 0.3 s, and what the layers made of them.

    The envelopes are a picture of two channels; a third is drawn from what was said, so that a clear but wrong sound is found out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.draw = nn.Linear(PHONE_CLASSES + STRESS_CLASSES + NUMBERS, KNOTS)
        layers, channels = [], 3
        for outputs, kernel, stride in LAYERS:
            layer = nn.Conv2d(channels, outputs, kernel, stride, (kernel[0] // 2, kernel[1] // 2))
            nn.init.kaiming_normal_(layer.weight, SLOPE)  # torch's own is so small that the critic learns to see for 1,000 steps
            layers.append(layer)
            channels = outputs
        self.layers = nn.ModuleList(layers)
        self.mark = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, tone: Tensor, air: Tensor, said: Said) -> tuple[Tensor, list[Tensor]]:
        numbers = torch.stack([said.pitch - said.size, said.voicing, said.energy], dim=-1)
        drawn = self.draw(torch.cat([said.phones, said.stress, numbers], dim=-1)).repeat_interleave(FRAME_HOPS, dim=1)
        picture = torch.stack([(each - TYPICAL_AMPLITUDE) / AMPLITUDE_RANGE for each in (tone, air)] + [drawn], dim=1)
        found = []
        for layer in self.layers:
            picture = F.leaky_relu(layer(picture), SLOPE)
            found.append(picture)
        return self.mark(picture), found
