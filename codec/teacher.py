"""What a recogniser of everyday strength hears, laid on the frames of this project's own recogniser.

Its frames come every 24 ms, ours every 40 ms: linear interpolation at the middles of ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.batches import RECOGNIZER_FRAME_SAMPLES
from codec.moonshine_net import REACH_SAMPLES, STEP_SAMPLES
from codec.moonshine_weights import load_encoder
from codec.vocoder import DELAY_SAMPLES, Vocoder

COMPARED = (1, 3, -1)  # outputs of the teacher's layers 2 and 4, which hear sounds, and the one that its decoder reads words from


def on_our_frames(heard: Tensor, frames: int) -> Tensor:
    """[B, T, 288] every 24 ms -> [B, frames, 288] every 40 ms."""
    ours = (torch.arange(frames, device=heard.device) + 0.5) * RECOGNIZER_FRAME_SAMPLES
    places = ((ours - REACH_SAMPLES / 2) / STEP_SAMPLES).clamp(0, heard.shape[1] - 1)
    before = places.floor().long()
    after = (before + 1).clamp(max=heard.shape[1] - 1)
    share = (places - before).unsqueeze(1).to(heard.dtype)
    return heard[:, before] * (1 - share) + heard[:, after] * share


class Teacher(nn.Module):
    """Samples [B, N] -> what the frozen recogniser hears in its COMPARED layers, [B, frames, 288] each."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = load_encoder()

    def forward(self, samples: Tensor, frames: int) -> list[Tensor]:
        hidden = self.encoder(samples)
        return [on_our_frames(hidden[layer].float(), frames) for layer in COMPARED]


def speak(vocoder: Vocoder, mel: Tensor) -> Tensor:
    """Log-mel [B, T, mels] -> samples [B, 160 T] without the vocoder's delay; what it has not said at the end is silence."""
    spoken, _ = vocoder(mel, vocoder.initial_state(len(mel)))
    return F.pad(spoken[:, DELAY_SAMPLES:], (0, DELAY_SAMPLES))


def teacher_loss(heard: list[Tensor], original: list[Tensor], weight: Tensor) -> Tensor:
    """How differently the teacher hears decoded and original speech: L1 relative to the original's, mean over layers and crops.

    `weight` [B, T] says how much each frame counts.
    """
    distances = []
    for said, meant in zip(heard, original, strict=True):
        difference, size = ((x.abs().mean(2) * weight).sum(1) for x in (said - meant, meant))
        distances.append((difference / (size + 1e-6)).mean())
    return torch.stack(distances).mean()


def likeness(heard: Tensor, original: Tensor) -> Tensor:
    """Cosine of what is heard and what was meant, [..., 288] each, without what every frame has in common."""
    centre = original.flatten(0, -2).mean(0)
    return F.cosine_similarity(heard - centre, original - centre, dim=-1)
