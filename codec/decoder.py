"""Decoder: code values at 12.5 Hz to log-mel at 100 Hz, strictly causal, with an input for what did not arrive."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codec.config import ModelConfig
from codec.network.layers import Stack, State, Upsample, blocks
from stream.frame import CODE_DIMENSIONS


class Decoder(nn.Module):
    """Values [B, T, 8] and lost flags [B, T] (1: no code arrived) -> log-mel [B, 8 T, mels].

    A lost frame enters as one learned vector in place of its code; trained with bursts of them, the network conceals
    a gap from what came before.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        first = config.decoder_widths[0]
        self.embed = nn.Linear(CODE_DIMENSIONS, first)
        self.lost = nn.Parameter(torch.zeros(first))
        layers: list[nn.Module] = []
        width = first
        for level, (next_width, count) in enumerate(zip(config.decoder_widths, config.decoder_blocks, strict=True)):
            if level:
                layers.append(Upsample(width, next_width, 2))
            layers += blocks(count, next_width, config.kernel, config.expansion)
            width = next_width
        self.stack = Stack(*layers)
        self.deep = config.decoder_blocks[0]  # layers at 12.5 Hz
        self.norm = nn.LayerNorm(width)
        self.output = Upsample(width, config.mels, 2)

    def initial_state(self, batch: int) -> State:
        return self.stack.initial_state(batch)

    def forward(self, values: Tensor, lost: Tensor, state: State) -> tuple[Tensor, State]:
        mel, _, state = self.decode(values, lost, state)
        return mel, state

    def decode(self, values: Tensor, lost: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """Log-mel as `forward` gives it, and what the network knows at 12.5 Hz before it draws it: [B, T, width]."""
        gone = lost.unsqueeze(2).to(values.dtype)
        knowledge, deep = self.stack.part(self.embed(values) * (1 - gone) + self.lost * gone, state, 0, self.deep)
        x, shallow = self.stack.part(knowledge, state, self.deep, len(self.stack.layers))
        mel, _ = self.output(self.norm(x), ())
        return mel.float(), knowledge, (*deep, *shallow)
