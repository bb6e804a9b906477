"""Training the recogniser: CTC over phones and letters, and phones of synthetic speech frame by frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.batches import UNKNOWN_PHONE, Batches, Labelled, validation_batches
from codec.config import HOP_SAMPLES, Config
from codec.frontend import LogMel
from codec.recognizer import REDUCTION, Recognizer, ctc_errors
from codec.tasks.task import Metrics
from codec.team import ALONE, Team
from codec.weights import fill, read_weights


class RecognizerTask:
    """CTC over phones and letters plus frame classification of synthetic speech."""

    def __init__(self, config: Config, device: torch.device, team: Team = ALONE):
        self.config, self.device, self.team = config, device, team
        self.frontend = LogMel(config.model.mels).to(device)
        self.model = Recognizer(config.recognizer, config.model.mels).to(device)
        if config.train.initial:
            initial = Path(config.train.initial)
            fill(self.model, read_weights(initial)[0], initial)
        self.batches = Batches(config.data, config.train.seed, team=team)
        self.batches.require_transcripts()
        self.validation = validation_batches(config.data, config.train.seed, transcribed=True)

    def batch(self, step: int) -> Labelled:
        return self.batches.utterances(step)

    def _mel(self, batch: Labelled) -> Tensor:
        heard = torch.from_numpy(batch.heard).float().to(self.device)
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            mel, _ = self.frontend(heard, self.frontend.initial_state(len(heard)))
        return mel

    def loss(self, batch: Labelled) -> tuple[Tensor, Metrics]:
        model, team = self.model, self.team
        assert isinstance(model, Recognizer)
        mel = self._mel(batch)
        masks = masks_of(batch.total, mel.shape[1], mel.shape[2])
        mel = mel * torch.stack(list(team.mine(list(masks)))).to(self.device)
        phones, frames, letters = model.heads(model.hidden(mel)[-1])
        heard_frames = torch.from_numpy(batch.samples) // (HOP_SAMPLES * REDUCTION)
        rows = torch.tensor(len(mel), device=self.device)
        phone_loss = team.mean(ctc_per_label(phones, heard_frames, batch.phones).sum(), rows)
        letter_loss = team.mean(ctc_per_label(letters, heard_frames, batch.letters).sum(), rows)
        labels = torch.from_numpy(batch.frames).to(self.device)
        known = labels != UNKNOWN_PHONE
        frame_loss = team.mean(F.nll_loss(frames.transpose(1, 2), labels, ignore_index=UNKNOWN_PHONE, reduction="sum"), known.sum())
        weights = self.config.loss
        loss = phone_loss + weights.frame_phones * frame_loss + weights.letters * letter_loss
        accuracy = ((frames.argmax(2) == labels) & known).sum() / known.sum().clamp(min=1)
        return loss, {
            "phones": phone_loss.item(),
            "letters": letter_loss.item(),
            "frame": frame_loss.item(),
            "frame_accuracy": accuracy.item(),
        }

    @torch.no_grad()
    def validate(self, model: nn.Module, picture: Path | None) -> Metrics:
        assert isinstance(model, Recognizer)
        if self.validation is None:
            return {}
        wrong = np.zeros((2, 2))
        for step in range(3):
            batch = self.validation.utterances(step)
            phones, _, letters = model.heads(model.hidden(self._mel(batch))[-1])
            frames = torch.from_numpy(batch.samples) // (HOP_SAMPLES * REDUCTION)
            wrong += [ctc_errors(phones, frames, batch.phones), ctc_errors(letters, frames, batch.letters)]
        rates = wrong[:, 0] / np.maximum(wrong[:, 1], 1)
        return {"phone_error_rate": rates[0], "letter_error_rate": rates[1]}


def ctc_per_label(log_probabilities: Tensor, frames: Tensor, targets: list[list[int]]) -> Tensor:
    """CTC loss of every row of [B, T, K] per label of its target; 0 where the target does not fit into its frames."""
    lengths = torch.tensor([len(target) for target in targets])
    flat = torch.tensor([label for target in targets for label in target], dtype=torch.int64, device=log_probabilities.device)
    losses = F.ctc_loss(log_probabilities.transpose(0, 1), flat, frames, lengths, reduction="none", zero_infinity=True)
    return losses / lengths.clamp(min=1).to(losses.device)


def masks_of(rows: int, frames: int, mels: int) -> Tensor:
    """SpecAugment (Park et al. 2019): two bands and two stretches of every row of [rows, frames, mels] are 0, the rest 1."""
    masks = torch.ones(rows, frames, mels)
    for row in masks:
        for _ in range(2):
            width, start = int(torch.randint(0, 12, ())), int(torch.randint(0, mels - 12, ()))
            row[:, start : start + width] = 0
            length = int(torch.randint(0, 20, ()))
            start = int(torch.randint(0, max(1, frames - length), ()))
            row[start : start + length] = 0
    return masks
