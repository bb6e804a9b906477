"""The sending half: ear and head.

positions, state = sender(samples, state)        # one packet of any number of codes
positions = sender.whole(samples, block_frames)  # whole recordings, all packets at once, as training hears them
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codec.network.ear import Ear
from codec.network.encoder import Head
from codec.network.layers import State
from codec.settings import NetworkSettings


class Sender(nn.Module):
    """Samples [B, 1280 T] in -1..1 -> positions [B, T, 8]: ear and head."""

    def __init__(self, settings: NetworkSettings):
        super().__init__()
        self.ear = Ear()
        self.head = Head(settings.head_width, settings.head_blocks)

    def initial_state(self, batch: int) -> State:
        return self.ear.initial_state(batch), self.head.initial_state(batch)

    def forward(self, samples: Tensor, state: State) -> tuple[Tensor, State]:
        features, ear = self.ear(samples, state[0])
        positions, head = self.head(features, state[1])
        return positions, (ear, head)

    def whole(self, samples: Tensor, block_frames: Tensor | int) -> Tensor:
        """All packets of recordings at once; `block_frames`: ear frames per packet, one number or [B], 0 for no end."""
        positions, _ = self.head(self.ear.whole(samples, block_frames), self.head.initial_state(len(samples)))
        return torch.as_tensor(positions)
