"""What a link does to codes in training: frames lost in bursts, wrong bits, and which mel frames are left to judge."""

from __future__ import annotations

import torch
from torch import Tensor

from codec.config import MEL_FRAMES_PER_CODE
from codec.recognizer import REDUCTION
from stream.frame import CODE_DIMENSIONS


def lost_bursts(crops: int, frames: int, share: float, lengths: tuple[int, int]) -> Tensor:
    """Flags [B, T], 1 where a frame is lost: a `share` of the crops lose one to three bursts."""
    lost = torch.zeros(crops, frames)
    for row in lost:
        if float(torch.rand(())) < share:
            for _ in range(int(torch.randint(1, 4, ()))):
                length = int(torch.randint(lengths[0], lengths[1] + 1, ()))
                start = int(torch.randint(0, frames, ()))
                row[start : start + length] = 1
    return lost


def wrong_bits(crops: int, frames: int, share: float, rate: tuple[float, float]) -> Tensor:
    """Masks [B, T, 8] of 0..3 that flip the two bits of each code: a `share` of the crops has one bit error rate each."""
    rates = torch.empty(crops).uniform_(*rate) * (torch.rand(crops) < share)
    bits = (torch.rand(crops, frames, CODE_DIMENSIONS, 2) < rates[:, None, None, None]).long()
    return bits[..., 0] * 2 + bits[..., 1]


def arrived(lost: Tensor, delay_frames: int, mel_frames: int) -> Tensor:
    """Flags of lost code frames [B, T] -> 1 for each recogniser frame [B, mel_frames / 4] whose codes all arrived.

    What the codec should say in a gap nobody knows: asking the recogniser there would bury the rest in noise (measured:
    with 12 % of the frames lost, half of the divergence came from them).
    """
    gone = lost.repeat_interleave(MEL_FRAMES_PER_CODE, dim=1)[:, delay_frames : delay_frames + mel_frames]
    return 1 - gone.reshape(len(lost), mel_frames // REDUCTION, REDUCTION).amax(2)
