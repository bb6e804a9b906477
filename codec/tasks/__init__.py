"""What is trained: the recogniser, the mel codec, the vocoder. Each task draws batches and computes a loss.

A task holds the trainable `model`; everything else it needs (front end, frozen recogniser) is its own. The loop in
train.py knows none of this.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from codec.config import Config
from codec.tasks.codec import CodecTask
from codec.tasks.recognizer import RecognizerTask
from codec.tasks.task import Metrics, Task
from codec.tasks.vocoder import VocoderTask
from codec.team import Team

__all__ = ["TASKS", "Metrics", "Task", "Tasks"]

Tasks = dict[str, Callable[[Config, torch.device, Team], Task]]
TASKS: Tasks = {
    "recognizer": RecognizerTask,
    "codec": CodecTask,
    "vocoder": VocoderTask,
}
