"""The recogniser of phones and letters: it tells the codec in training which differences change what is understood.

A convolutional network over log-mel frames with three heads: CTC over phones and CTC over letters (Graves et al. 2006)
for all speech with a transcript, and a frame classifier for synthetic speech whose phone times are known, which starts
the learning long before CTC finds its first alignment. It sees the future and never runs on air; it also never judges
a published result.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.alignment import edit_distance
from codec.config import RecognizerConfig
from codec.phones import CLASSES
from codec.text import LETTER_CLASSES

REDUCTION = 4  # mel frames per recogniser frame: 25 Hz


Heads = tuple[Tensor, Tensor, Tensor]
HEAD_CLASSES = (CLASSES, CLASSES, LETTER_CLASSES)


class Heard(NamedTuple):
    """Hidden layers, first to last, and log-probabilities of the three heads."""

    hidden: list[Tensor]
    heads: Heads


class CentredBlock(nn.Module):
    """ConvNeXt block that sees both sides; [B, T, width] -> [B, T, width]."""

    def __init__(self, width: int, kernel: int, expansion: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, 1, 1, kernel) * kernel**-0.5)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, expansion * width)
        self.project = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.2))

    def forward(self, x: Tensor) -> Tensor:
        padding = (0, self.weight.shape[3] // 2)
        y = F.conv2d(x.transpose(1, 2).unsqueeze(2), self.weight, padding=padding, groups=x.shape[2])
        y = self.project(F.gelu(self.expand(self.norm(y.squeeze(2).transpose(1, 2)))))
        return x + self.scale * y


class Recognizer(nn.Module):
    """Log-mel [B, T, mels], T a multiple of 4 -> hidden layers, phone scores and letter scores at 25 Hz."""

    def __init__(self, config: RecognizerConfig, mels: int):
        super().__init__()
        self.stem = nn.Linear(mels * REDUCTION, config.width)
        self.blocks = nn.ModuleList(CentredBlock(config.width, config.kernel, config.expansion) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.ctc = nn.Linear(config.width, CLASSES)
        self.frames = nn.Linear(config.width, CLASSES)
        self.letters = nn.Linear(config.width, LETTER_CLASSES)

    def hidden(self, mel: Tensor) -> list[Tensor]:
        """Output of every block, first to last: [B, T / 4, width] each."""
        x = self.stem(mel.reshape(mel.shape[0], mel.shape[1] // REDUCTION, -1))
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return outputs

    def listen(self, mel: Tensor) -> Heard:
        """Everything that the recogniser makes of log-mel [B, T, mels]."""
        hidden = self.hidden(mel)
        return Heard(hidden, self.heads(hidden[-1]))

    def heads(self, last: Tensor) -> Heads:
        """Last hidden layer -> log-probabilities at 25 Hz of CTC phones, frame phones and CTC letters, [B, T / 4, K] each."""
        x = self.norm(last)
        phones, frames, letters = (F.log_softmax(head(x).float(), dim=2) for head in (self.ctc, self.frames, self.letters))
        return phones, frames, letters


def divergences(heard: Heads, wanted: Heads, weight: Tensor) -> Tensor:
    """KL divergence of wanted from heard posteriors, summed over heads, in nats per frame that counts.

    Heads are log-probabilities [B, T, K] each; `weight` [B, T] says how much each frame counts. Every crop counts alike.
    """
    frames = weight.sum(1).clamp(min=1)
    each = [
        ((F.kl_div(h, w, log_target=True, reduction="none").sum(2) * weight).sum(1) / frames).mean()
        for h, w in zip(heard, wanted, strict=True)
    ]
    return torch.stack(each).sum()


def recognizer_loss(heard: Heard, original: Heard, weight: Tensor, kl_weight: float) -> tuple[Tensor, Tensor]:
    """How differently the frozen recogniser hears decoded and original speech.

    `weight` [B, T / 4] says how much each recogniser frame counts: 0 where nothing arrived and nothing can be asked
    for. Returns the mean over crops and hidden layers of the L1 distance relative to the original's magnitude, plus
    `kl_weight` times the KL divergence of the posteriors; and that divergence (nats per frame) alone. Every crop
    counts alike, so that the mean over the crops of several processes is the loss of all crops at once.
    """
    frames = weight.sum(1).clamp(min=1)

    def over_frames(x: Tensor) -> Tensor:
        return (x * weight).sum(1) / frames

    relative = [
        (over_frames((h - t).abs().mean(2)) / (over_frames(t.abs().mean(2)) + 1e-6)).mean()
        for h, t in zip(heard.hidden, original.hidden, strict=True)
    ]
    divergence = divergences(heard.heads, original.heads, weight)
    return torch.stack(relative).mean() + kl_weight * divergence, divergence.detach()


def greedy(log_probabilities: Tensor, frames: Tensor) -> list[list[int]]:
    """The best CTC path of every row of [B, T, K], repeats and blanks removed; frames [B]: how many of T are speech."""
    best = log_probabilities.argmax(dim=2)
    collapsed = (torch.unique_consecutive(path[: int(length)]).tolist() for path, length in zip(best, frames, strict=True))
    return [[label for label in path if label] for path in collapsed]


def ctc_errors(log_probabilities: Tensor, frames: Tensor, targets: list[list[int]]) -> tuple[int, int]:
    """Edit distance of the greedy CTC path to the targets, and the number of target labels."""
    heard = greedy(log_probabilities, frames)
    return sum(edit_distance(path, target) for path, target in zip(heard, targets, strict=True)), sum(map(len, targets))


if __name__ == "__main__":
    import sys

    from codec.stage1 import main

    sys.exit(main())  # `python -m codec.recognizer --config codec/configs/recognizer.toml` trains it like everything else
