"""Better codes than the policy's own, found by trying: draws that change a little here and there, of which the best parts stay.

One draw against its group says little about one of its codes: every other code of the utterance was drawn too. So a round
of the search changes single frames, far enough apart to be heard apart, and each stretch of speech keeps the version that
was best there; the next round goes on from what was kept. What comes out is understood better than any draw, and the policy
learns the difference (expert iteration: Anthony et al. 2017, arXiv 1705.08439).

Shapes: codes [B, T, 8], versions of them [B, G, T, 8], credit of code frames [B, G, T].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# A stretch answers for itself and for the frames around it, in which its codes are heard as well.
FRAMES_BEFORE, FRAMES_AFTER = 1, 3


@dataclass(frozen=True)
class Stretches:
    """`frames` code frames cut into stretches of `length`; the first one lacks its first `offset` frames."""

    frames: int
    length: int
    offset: int

    @property
    def count(self) -> int:
        return -(-(self.frames + self.offset) // self.length)

    @property
    def number(self) -> Tensor:
        """The stretch of each frame, int64 [T]."""
        return (torch.arange(self.frames) + self.offset) // self.length

    @property
    def place(self) -> Tensor:
        """Where in its stretch each frame stands, int64 [T]."""
        return (torch.arange(self.frames) + self.offset) % self.length


def versions_of(codes: Tensor, drawn: Tensor, place: Tensor, stretches: Stretches, parity: int) -> Tensor:
    """`codes` with one frame of every second stretch replaced by the one of a draw; the first version is `codes` itself.

    drawn: [B, G, T, 8]; place: int64 [B, G, stretches.count], which frame of each stretch; parity: 0 or 1, which stretches.
    """
    numbers = stretches.number.to(codes.device)
    changed = (stretches.place.to(codes.device) == place[..., numbers]) & (numbers % 2 == parity)
    versions = torch.where(changed.unsqueeze(-1), drawn, codes.unsqueeze(1))
    versions[:, 0] = codes
    return versions


def best_of(versions: Tensor, credit: Tensor, stretches: Stretches) -> Tensor:
    """Of each stretch the version with the highest credit: [B, G, T, 8] -> [B, T, 8]. The first one wins a draw."""
    length, offset = stretches.length, stretches.offset
    right = stretches.count * length - offset - stretches.frames + FRAMES_AFTER
    padded = F.pad(credit, (offset + FRAMES_BEFORE, right))
    scores = F.avg_pool1d(padded, length + FRAMES_BEFORE + FRAMES_AFTER, length)
    top = scores.amax(1, keepdim=True)
    best = (scores >= top).int().argmax(1)  # [B, stretches]; the first of equals
    chosen = best[:, stretches.number.to(best.device)]
    return versions.gather(1, chosen[:, None, :, None].expand(-1, 1, -1, versions.shape[3])).squeeze(1)
