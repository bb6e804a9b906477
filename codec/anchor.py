"""What keeps the policy near the speech it is to say: the distances of stage 1, of what rounding sends over the same link."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codec.batches import RECOGNIZER_FRAME_SAMPLES
from codec.config import HOP_SAMPLES, Config
from codec.frontend import LOG_DEVIATION
from codec.listener import Listener
from codec.network.quantizer import quantize
from codec.recognizer import recognizer_loss
from codec.rollouts import Spoken
from codec.tasks.codec import aligned
from codec.tasks.damage import arrived
from codec.teacher import lessons


class Anchor:
    """Mel distance, and, where [loss] weighs them, how differently recogniser and teacher hear."""

    def __init__(self, config: Config, listener: Listener):
        self.loss, self.listener = config.loss, listener

    def __call__(self, decoder: nn.Module, batch: Spoken, positions: Tensor, clean: Tensor) -> dict[str, Tensor]:
        """Distances at positions [B, T, 8] from the clean log-mel [B, 8 T, mels]: `mel` per utterance [B], means of the others."""
        listener = self.listener
        lost = torch.from_numpy(batch.lost).to(listener.device)
        _, values = quantize(positions, torch.from_numpy(batch.flips).to(listener.device))
        decoded, _ = decoder(values, lost, decoder.initial_state(len(values)))
        decoded, target = aligned(decoded, clean, listener.delay_frames)
        distances = {"mel": (decoded - target).abs().mean((1, 2)) * LOG_DEVIATION}
        weight = arrived(lost, listener.delay_frames, target.shape[1])
        if self.loss.recognizer:
            with torch.no_grad():
                original = listener.recognizer.listen(target)
            again = listener.recognizer.listen(decoded)
            distances["recognizer"], _ = recognizer_loss(again, original, weight, self.loss.posterior_kl)
        if self.loss.teacher or self.loss.words:
            distances |= self._taught(decoded, batch, weight)
        return distances

    def _taught(self, decoded: Tensor, batch: Spoken, weight: Tensor) -> dict[str, Tensor]:
        teacher, vocoder = self.listener.teacher, self.listener.vocoder
        assert teacher is not None and vocoder is not None
        spoken = torch.from_numpy(batch.samples // RECOGNIZER_FRAME_SAMPLES).to(decoded.device)
        outside = torch.arange(weight.shape[1], device=decoded.device) >= spoken[:, None]
        samples = torch.from_numpy(batch.clean)[:, : decoded.shape[1] * HOP_SAMPLES]
        with torch.no_grad():
            said = teacher.hear(samples.float().to(decoded.device))
        return lessons(teacher, vocoder, decoded, said, weight.masked_fill(outside, 0), weight.masked_fill(outside, 1).amin(1))
