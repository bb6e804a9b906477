"""What is trained: the recogniser, the mel codec, the vocoder. Each task draws batches and computes a loss.

A task holds the trainable `model`; everything else it needs (front end, frozen recogniser) is its own. The loop in
train.py knows none of this.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.batches import UNKNOWN_PHONE, Batches, Crops, Labelled, validation_batches
from codec.config import CODE_DIMENSIONS, CODE_LEVELS, HOP_SAMPLES, MEL_FRAMES_PER_CODE, Config
from codec.frontend import LOG_DEVIATION, LogMel
from codec.losses import multi_resolution_stft_loss
from codec.model import MelCodec
from codec.pictures import draw_spectrograms
from codec.recognizer import REDUCTION, Recognizer, ctc_errors, recognizer_loss
from codec.team import ALONE, Team
from codec.vocoder import DELAY_SAMPLES, Vocoder
from codec.weights import fill, load_recognizer, part, read_weights

Metrics = dict[str, float]


class Task(Protocol):
    """One thing to train."""

    model: nn.Module

    def batch(self, step: int) -> Any:
        """Draw the batch of one step (numpy, called on another thread)."""

    def loss(self, batch: Any) -> tuple[Tensor, Metrics]:
        """Loss of `model` on a batch, and what to log."""

    def validate(self, model: nn.Module, picture: Path | None) -> Metrics:
        """Figures of `model` on the speakers set aside; draws a picture where a path is given."""


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
        self.validation = validation_batches(config.data, config.train.seed)

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


def code_entropy_bits(codes: Tensor) -> float:
    """Sum over dimensions of the marginal entropy of codes [B, T, 8]: 16 when every level is used equally."""
    counts = torch.stack([torch.bincount(codes[..., d].flatten(), minlength=CODE_LEVELS) for d in range(CODE_DIMENSIONS)])
    shares = counts / counts.sum(dim=1, keepdim=True)
    return float(-(shares * torch.log2(shares.clamp(min=1e-9))).sum())


class CodecTask:
    """The mel codec: mel distance, and how differently the frozen recogniser hears the decoded speech."""

    def __init__(self, config: Config, device: torch.device, team: Team = ALONE):
        self.config, self.device, self.team = config, device, team
        self.frontend = LogMel(config.model.mels).to(device)
        self.model = MelCodec(config.model).to(device)
        if config.train.initial:
            initial = Path(config.train.initial)
            fill(self.model, part(read_weights(initial)[0], "mel_codec."), initial)
        self.recognizer: Recognizer | None = None
        if config.loss.recognizer:
            self.recognizer = load_recognizer(Path(config.train.recognizer), config.model.mels).to(device)
        self.batches = Batches(config.data, config.train.seed, team=team)
        self.validation = validation_batches(config.data, config.train.seed)

    def batch(self, step: int) -> Crops:
        return self.batches.crops(step)

    def mels(self, batch: Crops) -> tuple[Tensor, Tensor]:
        """Log-mel of what is heard and of what should be said, [B, T, mels] each."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            both = torch.from_numpy(np.concatenate([batch.heard, batch.clean])).float().to(self.device)
            mel, _ = self.frontend(both, self.frontend.initial_state(len(both)))
        heard, clean = mel.chunk(2)
        return heard, clean

    def mine(self, rows: Tensor) -> Tensor:
        """This process's rows of what was drawn for the whole step."""
        return rows[self.team.rank :: self.team.size].to(self.device)

    def loss(self, batch: Crops) -> tuple[Tensor, Metrics]:
        train, weights = self.config.train, self.config.loss
        heard, clean = self.mels(batch)
        rows, frames = self.batches.rows, heard.shape[1] // MEL_FRAMES_PER_CODE
        lost = self.mine(lost_bursts(rows, frames, train.lost_burst_share, train.lost_burst_frames))
        flips = self.mine(wrong_bits(rows, frames, train.bit_error_share, train.bit_error_rate))
        decoded, codes = self.model(heard, lost, flips)
        decoded, target = aligned(decoded, clean, self.config.model.look_ahead_frames)
        mel_loss = F.l1_loss(decoded, target) * LOG_DEVIATION
        loss = weights.mel * mel_loss
        metrics = {"mel": mel_loss.item(), "entropy_bits": code_entropy_bits(codes)}
        if self.recognizer is not None:
            weight = arrived(lost, self.config.model.look_ahead_frames, target.shape[1])
            heard_loss, divergence = recognizer_loss(self.recognizer, decoded, target, weight, weights.posterior_kl)
            loss = loss + weights.recognizer * heard_loss
            metrics |= {"recognizer": heard_loss.item(), "kl": divergence.item()}
        return loss, metrics

    @torch.no_grad()
    def validate(self, model: nn.Module, picture: Path | None) -> Metrics:
        if self.validation is None:
            return {}
        figures: Metrics = {"mel": 0.0, "entropy_bits": 0.0}
        rounds = 3
        for step in range(rounds):
            heard, clean = self.mels(self.validation.crops(step))
            decoded, codes = model(heard, torch.zeros(len(heard), heard.shape[1] // MEL_FRAMES_PER_CODE, device=self.device))
            decoded, target = aligned(decoded, clean, self.config.model.look_ahead_frames)
            figures["mel"] += (F.l1_loss(decoded, target) * LOG_DEVIATION).item() / rounds
            figures["entropy_bits"] += code_entropy_bits(codes) / rounds
            if self.recognizer is not None:
                everything = torch.ones(len(target), target.shape[1] // REDUCTION, device=self.device)
                distance, divergence = recognizer_loss(self.recognizer, decoded, target, everything, self.config.loss.posterior_kl)
                figures["recognizer"] = figures.get("recognizer", 0.0) + distance.item() / rounds
                figures["kl"] = figures.get("kl", 0.0) + divergence.item() / rounds
        if picture is not None:
            draw_spectrograms(picture, {"original": target[0].cpu().numpy(), "decoded": decoded[0].cpu().numpy()})
        return figures


def aligned(decoded: Tensor, clean: Tensor, delay_frames: int) -> tuple[Tensor, Tensor]:
    """Lay decoded mel [B, T, mels], `delay_frames` late, beside its target and cut both to whole recogniser frames."""
    length = (clean.shape[1] - delay_frames) // REDUCTION * REDUCTION
    return decoded[:, delay_frames : delay_frames + length], clean[:, :length]


class VocoderTask:
    """The vocoder on original log-mel, or on what a frozen codec decodes: multi-resolution STFT and mel distance."""

    def __init__(self, config: Config, device: torch.device, team: Team = ALONE):
        self.config, self.device, self.team = config, device, team
        self.frontend = LogMel(config.model.mels).to(device)
        self.model = Vocoder(config.model).to(device)
        if config.train.initial:
            initial = Path(config.train.initial)
            fill(self.model, part(read_weights(initial)[0], "vocoder."), initial)
        self.codec: MelCodec | None = None
        if config.train.decoded_by:
            source = Path(config.train.decoded_by)
            self.codec = MelCodec(config.model).to(device).eval().requires_grad_(False)
            fill(self.codec, part(read_weights(source)[0], "mel_codec."), source)
        self.batches = Batches(config.data, config.train.seed, team=team)
        self.validation = validation_batches(config.data, config.train.seed)

    def batch(self, step: int) -> Crops:
        return self.batches.crops(step)

    def _input(self, clean: Tensor, decoded: bool) -> tuple[Tensor, Tensor]:
        """Log-mel that the vocoder hears and the samples that it should speak, frame beside frame."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            mel, _ = self.frontend(clean, self.frontend.initial_state(len(clean)))
            if self.codec is None or not decoded:
                return mel, clean
            late, _ = self.codec(mel, torch.zeros(len(mel), mel.shape[1] // MEL_FRAMES_PER_CODE, device=self.device))
            delay = self.config.model.look_ahead_frames
            return late[:, delay:], clean[:, : clean.shape[1] - delay * HOP_SAMPLES]

    def _distances(self, model: nn.Module, batch: Crops, decoded: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        assert isinstance(model, Vocoder)
        mel, clean = self._input(torch.from_numpy(batch.clean).float().to(self.device), decoded)
        samples, _ = model(mel, model.initial_state(len(mel)))
        with torch.autocast(self.device.type, enabled=False):
            spoken, target = samples[:, DELAY_SAMPLES:], clean[:, : clean.shape[1] - DELAY_SAMPLES]
            heard, _ = self.frontend(spoken, self.frontend.initial_state(len(spoken)))
            wanted, _ = self.frontend(target, self.frontend.initial_state(len(target)))
            mel_loss = F.l1_loss(heard, wanted) * LOG_DEVIATION
            return multi_resolution_stft_loss(spoken, target), mel_loss, wanted, heard

    def loss(self, batch: Crops) -> tuple[Tensor, Metrics]:
        decoded = float(torch.rand(())) < self.config.train.decoded_share
        stft, mel, _, _ = self._distances(self.model, batch, decoded)
        weights = self.config.loss
        return weights.stft * stft + weights.vocoder_mel * mel, {"stft": stft.item(), "mel": mel.item()}

    @torch.no_grad()
    def validate(self, model: nn.Module, picture: Path | None) -> Metrics:
        if self.validation is None:
            return {}
        stft, mel, original, again = self._distances(model, self.validation.crops(0), decoded=True)
        if picture is not None:
            draw_spectrograms(picture, {"original": original[0].cpu().numpy(), "resynthesised": again[0].cpu().numpy()})
        return {"stft": stft.item(), "mel": mel.item()}


Tasks = dict[str, Callable[[Config, torch.device, Team], Task]]
TASKS: Tasks = {
    "recognizer": RecognizerTask,
    "codec": CodecTask,
    "vocoder": VocoderTask,
}
