"""Training the vocoder: spectral distances, and discriminators where a machine can pay for them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.batches import Batches, Crops, validation_batches
from codec.config import HOP_SAMPLES, MEL_FRAMES_PER_CODE, Config
from codec.discriminators import Discriminators, adversarial_losses
from codec.frontend import LOG_DEVIATION, LogMel
from codec.losses import multi_resolution_stft_loss
from codec.model import MelCodec
from codec.pictures import draw_spectrograms
from codec.tasks.task import Metrics
from codec.team import ALONE, Team
from codec.vocoder import DELAY_SAMPLES, Vocoder
from codec.weights import fill, part, read_weights


class VocoderTask:
    """The vocoder on original log-mel, or on what a frozen codec decodes.

    Multi-resolution STFT and mel distance; with `loss.adversarial` also discriminators, which then train beside it in
    the same steps and are saved with it, so that such a run resumes as exactly as any other.
    """

    def __init__(self, config: Config, device: torch.device, team: Team = ALONE):
        self.config, self.device, self.team = config, device, team
        self.frontend = LogMel(config.model.mels).to(device)
        self.vocoder = Vocoder(config.model).to(device)
        if config.train.initial:
            initial = Path(config.train.initial)
            fill(self.vocoder, part(read_weights(initial)[0], "vocoder."), initial)
        self.discriminators: Discriminators | None = None
        self.model: nn.Module = self.vocoder
        if config.loss.adversarial:
            self.discriminators = Discriminators(config.discriminator).to(device)
            self.model = nn.ModuleDict({"vocoder": self.vocoder, "discriminators": self.discriminators})
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

    def _spoken(self, vocoder: nn.Module, batch: Crops, decoded: bool) -> tuple[Tensor, Tensor]:
        """What the vocoder says and what it should say, samples [B, N] each."""
        assert isinstance(vocoder, Vocoder)
        mel, clean = self._input(torch.from_numpy(batch.clean).float().to(self.device), decoded)
        samples, _ = vocoder(mel, vocoder.initial_state(len(mel)))
        return samples[:, DELAY_SAMPLES:], clean[:, : clean.shape[1] - DELAY_SAMPLES]

    def _distances(self, spoken: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Multi-resolution STFT and mel distance, and both log-mels."""
        with torch.autocast(self.device.type, enabled=False):
            heard, _ = self.frontend(spoken, self.frontend.initial_state(len(spoken)))
            wanted, _ = self.frontend(target, self.frontend.initial_state(len(target)))
            return multi_resolution_stft_loss(spoken, target), F.l1_loss(heard, wanted) * LOG_DEVIATION, wanted, heard

    def loss(self, batch: Crops) -> tuple[Tensor, Metrics]:
        decoded = float(torch.rand(())) < self.config.train.decoded_share
        spoken, target = self._spoken(self.vocoder, batch, decoded)
        stft, mel, _, _ = self._distances(spoken, target)
        weights = self.config.loss
        loss = weights.stft * stft + weights.vocoder_mel * mel
        metrics = {"stft": stft.item(), "mel": mel.item()}
        if self.discriminators is not None:
            judged = adversarial_losses(self.discriminators, spoken, target)
            loss = loss + judged.discriminator + weights.adversarial * judged.generator + weights.features * judged.features
            metrics |= {name: value.item() for name, value in judged._asdict().items()}
        return loss, metrics

    @torch.no_grad()
    def validate(self, model: nn.Module, picture: Path | None) -> Metrics:
        if self.validation is None:
            return {}
        vocoder = model["vocoder"] if isinstance(model, nn.ModuleDict) else model
        stft, mel, original, again = self._distances(*self._spoken(vocoder, self.validation.crops(0), decoded=True))
        if picture is not None:
            draw_spectrograms(picture, {"original": original[0].cpu().numpy(), "resynthesised": again[0].cpu().numpy()})
        return {"stft": stft.item(), "mel": mel.item()}
