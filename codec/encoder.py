"""Encoder: log-mel at 100 Hz to eight positions at 12.5 Hz, strictly causal."""

from __future__ import annotations

from torch import Tensor, nn

from codec.config import ModelConfig
from codec.layers import Block, Downsample, Stack, State, blocks
from codec.quantizer import bound
from stream.frame import CODE_DIMENSIONS


class Encoder(nn.Module):
    """Log-mel [B, 8 T, mels] -> positions [B, T, 8] in (-2, 2).

    Look-ahead is no part of this network: its target lies `look_ahead_frames` in the past.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        layers: list[nn.Module] = []
        width = config.mels
        for next_width, count in zip(config.encoder_widths, config.encoder_blocks, strict=True):
            layers += [Downsample(width, next_width, 2), *blocks(count, next_width, config.kernel, config.expansion)]
            width = next_width
        self.stack = Stack(*layers)
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, CODE_DIMENSIONS)

    @property
    def memory_mel_frames(self) -> int:
        """How many mel frames before the last one of a code frame can still change its positions."""
        memory, step = 0, 1
        for layer in self.stack.layers:
            if isinstance(layer, Downsample):
                memory, step = memory + (layer.factor - 1) * step, step * layer.factor
            elif isinstance(layer, Block):
                memory += layer.mix.context * step
        return memory

    def initial_state(self, batch: int) -> State:
        return self.stack.initial_state(batch)

    def forward(self, mel: Tensor, state: State) -> tuple[Tensor, State]:
        positions, _, state = self.encode(mel, state)
        return positions, state

    def encode(self, mel: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """As `forward`, with what it knows before eight numbers have to do: [B, T, width]."""
        x, state = self.stack(mel, state)
        knowledge = self.norm(x)
        return bound(self.project(knowledge).float()), knowledge, state
