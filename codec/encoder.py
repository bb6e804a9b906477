"""Encoder: log-mel at 100 Hz to eight positions at 12.5 Hz, strictly causal."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from codec.config import ModelConfig
from codec.feedback import Choose, Feedback
from codec.network.layers import Block, Downsample, Stack, State, blocks
from codec.network.quantizer import LARGEST
from stream.frame import CODE_DIMENSIONS


class Meant(NamedTuple):
    """What is to be said before any of it is rounded."""

    knowledge: Tensor  # what the encoder heard and understood, [B, T, width]
    intended: Tensor  # positions before they are bounded and moved by rounding, [B, T, 8]

    def repeated(self, times: int) -> Meant:
        """Each row `times` times in a row."""
        return Meant(*(each.repeat_interleave(times, 0) for each in self))


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
        self.feedback = Feedback(width, config.feedback_frames)

    @property
    def memory_mel_frames(self) -> int:
        """How many mel frames before the last one of a code frame can still change what is meant by it."""
        memory, step = 0, 1
        for layer in self.stack.layers:
            if isinstance(layer, Downsample):
                memory, step = memory + (layer.factor - 1) * step, step * layer.factor
            elif isinstance(layer, Block):
                memory += layer.mix.context * step
        return memory

    def initial_state(self, batch: int) -> State:
        return self.stack.initial_state(batch), self.feedback.initial_state(batch)

    def forward(self, mel: Tensor, state: State) -> tuple[Tensor, State]:
        positions, _, state = self.encode(mel, state)
        return positions, state

    def encode(self, mel: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """As `forward`, with what it knows before eight numbers have to do: [B, T, width]."""
        assert not isinstance(state[1], tuple)
        meant, stack = self.listen(mel, state[0])
        positions, rounded = self.feedback(*meant, state[1])
        return positions, meant.knowledge, (stack, rounded)

    def listen(self, mel: Tensor, state: State | None = None) -> tuple[Meant, State]:
        """What is to be said of log-mel [B, 8 T, mels]. The state is that of `stack`; None: nothing came before."""
        x, state = self.stack(mel, self.stack.initial_state(len(mel)) if state is None else state)
        knowledge = self.norm(x)
        return Meant(knowledge, self.project(knowledge)), state

    def positions(self, meant: Meant) -> Tensor:
        """Positions [B, T, 8] where each is rounded to the nearest level, which is what ships."""
        return torch.as_tensor(self.feedback(*meant, self.feedback.initial_state(len(meant.knowledge)))[0])

    def exact_positions(self, meant: Meant) -> Tensor:
        """Positions [B, T, 8] if none were rounded and no error had to be made up for."""

        def exact(positions: Tensor, frame: int, dimension: int) -> Tensor:
            return positions + LARGEST

        return torch.as_tensor(self.feedback(*meant, self.feedback.initial_state(len(meant.knowledge)), exact)[0])

    def decide(self, meant: Meant, choose: Choose, versions: int) -> Tensor:
        """Codes [B, versions, T, 8] where `choose` decides in place of rounding, of B x versions rows at a time."""
        many = meant.repeated(versions)
        found = self.feedback.codes(*many, self.feedback.initial_state(len(many.knowledge)), choose)
        return found.unflatten(0, (-1, versions))

    def positions_for(self, meant: Meant, codes: Tensor) -> Tensor:
        """The positions at which each of codes [B, versions, T, 8] is decided after those before it: the same shape."""
        rows, many = codes.flatten(0, 1), meant.repeated(codes.shape[1])

        def given(positions: Tensor, frame: int, dimension: int) -> Tensor:
            return rows[:, frame, dimension]

        positions, _ = self.feedback(*many, self.feedback.initial_state(len(rows)), given)
        return torch.as_tensor(positions.unflatten(0, codes.shape[:2]))
