"""Linear layers that read, off what the decoder knows at 12.5 Hz, what a recogniser hears.

Distillation at the bottleneck, as Mimi does it with larger teachers (Defossez et al. 2024, arXiv 2410.00037): the codes learn
to carry speech sounds by a path shorter than that through the drawn spectrogram. Readers are trained beside the codec and
never ship.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from codec.config import MEL_FRAMES_PER_CODE
from codec.moonshine_net import WIDTH
from codec.recognizer import HEAD_CLASSES, REDUCTION, Heads


class Reader(nn.Module):
    """Reads the posteriors of our own recogniser."""

    def __init__(self, width: int):
        super().__init__()
        self.frames = MEL_FRAMES_PER_CODE // REDUCTION
        self.linear = nn.Linear(width, self.frames * sum(HEAD_CLASSES))

    def forward(self, knowledge: Tensor, late: int, frames: int) -> Heads:
        """[B, T, width] -> log-probabilities of `frames` recogniser frames, the first `late` of the decoded ones left out."""
        scores = self.linear(knowledge).float().reshape(len(knowledge), -1, sum(HEAD_CLASSES))[:, late : late + frames]
        phones, timed, letters = (F.log_softmax(part, dim=2) for part in scores.split(HEAD_CLASSES, dim=2))
        return phones, timed, letters


class TeacherReader(nn.Module):
    """Reads the last layer of the teacher (codec/teacher.py)."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(width, MEL_FRAMES_PER_CODE // REDUCTION * WIDTH)

    def forward(self, knowledge: Tensor, late: int, frames: int) -> Tensor:
        """[B, T, width] -> [B, frames, 288], the first `late` frames left out."""
        return self.linear(knowledge).float().reshape(len(knowledge), -1, WIDTH)[:, late : late + frames]
