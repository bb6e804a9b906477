"""Rounding with a memory: what it did to the frames and dimensions before moves what is rounded next.

A frame's eight positions are rounded one after the other, and each knows the rounding errors of those before it and of the
last frames. So errors can make up for each other instead of adding up, as in noise shaping and in vector quantisation, where an
independent rounding to the nearest level is hardly ever the best one together with all others. The decoder knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.network.quantizer import LARGEST, bound, positions_to_codes
from stream.frame import CODE_DIMENSIONS

HIDDEN = 512
KNOWN = 2 * CODE_DIMENSIONS  # of a frame that was rounded: its levels and its errors
Choose = Callable[[Tensor, int, int], Tensor]  # codes [B] for positions [B] in (-2, 2) of a frame and a dimension


def nearest(positions: Tensor, frame: int, dimension: int) -> Tensor:
    """What ships."""
    return positions_to_codes(positions)


class Feedback(nn.Module):
    """Moves positions by what became of those before; begins as if it were not there.

    Args:
        width: of what the encoder knows; frames: how many rounded frames it remembers.

    The state is levels and errors of those frames, [B, frames, 16].
    """

    def __init__(self, width: int, frames: int):
        super().__init__()
        self.frames = frames
        self.known = nn.Linear(width, HIDDEN)
        self.past = nn.Linear(frames * KNOWN, HIDDEN, bias=False)
        self.move = nn.Linear(HIDDEN, CODE_DIMENSIONS)
        self.within = nn.Linear(HIDDEN, CODE_DIMENSIONS * CODE_DIMENSIONS)  # of which the part below the diagonal counts
        for layer in (self.move, self.within):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.register_buffer("below", torch.tril(torch.ones(CODE_DIMENSIONS, CODE_DIMENSIONS), -1), persistent=False)
        self.below: Tensor

    def initial_state(self, batch: int) -> Tensor:
        return self.past.weight.new_zeros(batch, self.frames, KNOWN)

    def _moved(self, known: Tensor, intended: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Before bounding: positions [..., 8] that know nothing of their own frame, and what errors in it do, [..., 8, 8]."""
        hidden = F.gelu(known + self.past(past))
        return intended + self.move(hidden), self.within(hidden).unflatten(-1, (CODE_DIMENSIONS, -1)) * self.below

    @torch.no_grad()
    def walk(self, known: Tensor, intended: Tensor, state: Tensor, choose: Choose = nearest) -> tuple[Tensor, Tensor]:
        """Choose codes one after the other: positions [B, T, 8] on the way, and levels and errors with those of before, [B,
        frames + T, 16]."""
        rounded, found = [state], []
        for frame in range(intended.shape[1]):
            past = state.flatten(1)
            moved, within = self._moved(known[:, frame], intended[:, frame], past)
            positions: list[Tensor] = []
            levels: list[Tensor] = []
            for dimension, answer in enumerate(within.unbind(2)):
                positions.append(bound(moved[:, dimension]))
                levels.append(choose(positions[-1], frame, dimension).to(moved.dtype) - LARGEST)
                moved = moved + answer * (levels[-1] - positions[-1]).unsqueeze(1)  # of the dimensions that are still open
            where, levels_now = torch.stack(positions, 1), torch.stack(levels, 1)
            found.append(where)
            rounded.append(torch.cat((levels_now, levels_now - where), 1).unsqueeze(1))
            state = torch.cat((state[:, 1:], rounded[-1]), 1)
        return torch.stack(found, 1), torch.cat(rounded, 1)

    def codes(self, knowledge: Tensor, intended: Tensor, state: Tensor, choose: Choose) -> Tensor:
        """Codes [B, T, 8] as they are chosen; see `forward`."""
        with torch.no_grad(), torch.autocast(knowledge.device.type, enabled=False):
            _, rounded = self.walk(self.known(knowledge.float()), intended.float(), state, choose)
        return (rounded[:, self.frames :, :CODE_DIMENSIONS] + LARGEST).to(torch.int64)

    def forward(self, knowledge: Tensor, intended: Tensor, state: Tensor, choose: Choose = nearest) -> tuple[Tensor, Tensor]:
        """What the encoder knows [B, T, width] and its positions before bounding [B, T, 8] -> positions in (-2, 2), state.

        Gradients take what was rounded before as given.
        """
        with torch.autocast(knowledge.device.type, enabled=False):
            known, intended = self.known(knowledge.float()), intended.float()
            positions, rounded = self.walk(known, intended, state, choose)
            if torch.is_grad_enabled():
                past = rounded[:, :-1].unfold(1, self.frames, 1).transpose(2, 3).flatten(2)
                moved, within = self._moved(known, intended, past)
                errors = rounded[:, self.frames :, CODE_DIMENSIONS:]
                positions = bound(moved + (within @ errors.unsqueeze(3)).squeeze(3))
        return positions, rounded[:, rounded.shape[1] - self.frames :]
