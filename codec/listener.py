"""The ears of stage 2: what a frozen recogniser hears of decoded codes, and what it should hear."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from codec.batches import RECOGNIZER_FRAME_SAMPLES
from codec.config import HOP_SAMPLES, Config
from codec.frontend import LogMel
from codec.heard import Decoded, Reference
from codec.network.quantizer import codes_to_values, damage
from codec.recognizer import REDUCTION, greedy
from codec.rewards import REWARDS, Reward, total
from codec.rollouts import Spoken
from codec.tasks.codec import aligned
from codec.teacher import Teacher, on_our_frames, speak, token_scores, write
from codec.text import letters_to_text, text_to_letters
from codec.vocoder import Vocoder
from codec.weights import load_recognizer, load_vocoder

# Draws decoded together on a processor: their hidden layers stay in its cache, which saves a tenth of the time.
ROWS_AT_ONCE = 16


def _weighed(config: Config) -> list[Reward]:
    return [REWARDS[name] for name, weight in config.reward.items() if weight and name in REWARDS]


def needs_samples(config: Config) -> bool:
    """Whether anything listens to samples: a weighted reward or the teacher beside the anchor."""
    return bool(config.loss.teacher or config.loss.words) or any(reward.samples for reward in _weighed(config))


class Listener:
    """Front end, frozen recogniser and, where something listens to samples, frozen vocoder and teacher."""

    def __init__(self, config: Config, device: torch.device):
        self.device = device
        self.delay_frames = config.model.look_ahead_frames
        self.own_reference = config.rl.reference == "heard"
        self.frontend = LogMel(config.model.mels).to(device)
        self.recognizer = load_recognizer(Path(config.train.recognizer), config.model.mels).to(device)
        self.samples = any(reward.samples for reward in _weighed(config))  # what rewards ask for
        self.taught = any(reward.taught for reward in _weighed(config))
        self.written = any(reward.written for reward in _weighed(config))
        self.teacher: Teacher | None = None
        if self.taught or self.written or config.loss.teacher or config.loss.words:
            self.teacher = Teacher(writes=self.written or config.loss.words > 0).to(device)
        self.vocoder: Vocoder | None = None
        if needs_samples(config):
            self.vocoder = load_vocoder(Path(config.train.vocoder), config.model).to(device)

    def mels(self, batch: Spoken) -> tuple[Tensor, Tensor]:
        """Log-mel of what is heard and of what should be said, [B, 8 T, mels] each."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            heard, clean = (
                self.frontend(samples, self.frontend.initial_state(len(samples)))[0]
                for samples in (torch.from_numpy(each).float().to(self.device) for each in (batch.heard, batch.clean))
            )
        return heard, clean

    def arriving(self, codes: Tensor, batch: Spoken) -> Tensor:
        """The values that the decoder gets for codes [B, ..., T, 8] after the link."""
        flips = torch.from_numpy(batch.flips).to(self.device)
        between = (1,) * (codes.dim() - flips.dim())
        return codes_to_values(damage(codes, flips.reshape(len(flips), *between, *flips.shape[1:])))

    @torch.no_grad()
    def listen(
        self, decoder: nn.Module, codes: Tensor, batch: Spoken, clean: Tensor, reference: Reference | None = None
    ) -> tuple[Decoded, Reference]:
        """What codes [B, G, T, 8] sound like after the link, and what should be heard, from the clean log-mel [B, 8 T, mels].

        `reference` is the second of both, if it is known from another listening to the same batch.
        """
        return self._listen(decoder, self.arriving(codes, batch), batch, clean, reference)

    def slopes(
        self, reward: dict[str, float], decoder: nn.Module, codes: Tensor, batch: Spoken, clean: Tensor
    ) -> tuple[Tensor, Decoded, Reference]:
        """How steeply the weighted whole reward of each draw rises with each value that arrives, [B, G, T, 8], and what `listen`
        returns."""
        with torch.enable_grad():
            values = self.arriving(codes, batch).requires_grad_()
            decoded, reference = self._listen(decoder, values, batch, clean)
            (slopes,) = torch.autograd.grad(total(reward, decoded, reference).sum(), values)
        return slopes, decoded.detached(), reference

    def _listen(
        self, decoder: nn.Module, arriving: Tensor, batch: Spoken, clean: Tensor, reference: Reference | None = None
    ) -> tuple[Decoded, Reference]:
        rows, size = arriving.shape[:2]
        lost = torch.from_numpy(batch.lost).to(self.device).repeat_interleave(size, 0)
        values = arriving.flatten(0, 1)
        at_once = ROWS_AT_ONCE if self.device.type == "cpu" else rows * size
        heard = [self._hear(decoder, *part, clean) for part in zip(values.split(at_once), lost.split(at_once), strict=True)]
        mel, phone_scores, letter_scores = (torch.cat(parts) for parts in zip(*heard, strict=True))
        frames = torch.from_numpy(batch.samples // RECOGNIZER_FRAME_SAMPLES)
        reference = reference or self._reference(batch, clean[:, : mel.shape[1]], frames)
        asked: dict[str, Tensor] = {}
        if self.samples:
            assert self.vocoder is not None
            spoken = [speak(self.vocoder, part) for part in mel.split(at_once)]
            asked["samples"] = torch.cat(spoken)
            if self.teacher is not None and (self.taught or self.written):
                ears = torch.cat([self.teacher.hear(part)[-1] for part in spoken])
                if self.taught:
                    asked["taught"] = on_our_frames(ears.float(), mel.shape[1] // REDUCTION)
                if self.teacher.writer is not None and reference.written is not None:
                    text = reference.written.repeated(size)
                    asked["token_scores"] = token_scores(self.teacher.writer, text.tokens, text.counts, ears)
        heard_all = {"mel": mel, "phone_scores": phone_scores, "letter_scores": letter_scores, **asked}
        return Decoded(frames=frames, **{name: each.unflatten(0, (rows, size)) for name, each in heard_all.items()}), reference

    def _hear(self, decoder: nn.Module, values: Tensor, lost: Tensor, clean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-mel of some draws, laid on the original, and the recogniser's phone and letter scores of it."""
        late, _ = decoder(values, lost, decoder.initial_state(len(values)))
        mel, _ = aligned(late, clean, self.delay_frames)
        phone_scores, _, letter_scores = self.recognizer.heads(self.recognizer.hidden(mel)[-1])
        return mel, phone_scores, letter_scores

    @torch.no_grad()
    def _reference(self, batch: Spoken, clean: Tensor, frames: Tensor) -> Reference:
        phone_scores, _, letter_scores = self.recognizer.heads(self.recognizer.hidden(clean)[-1])
        phones, letters = batch.phones, batch.letters
        if self.own_reference:
            phones = greedy(phone_scores.cpu(), frames)
            letters = [text_to_letters(letters_to_text(heard)) for heard in greedy(letter_scores.cpu(), frames)]
        samples = torch.from_numpy(batch.clean)[:, : clean.shape[1] * HOP_SAMPLES] if self.samples else None
        taught = written = None
        if samples is not None and self.teacher is not None and (self.taught or self.written):
            ears, count = self.teacher.hear(samples.float().to(self.device))[-1], clean.shape[1] // REDUCTION
            taught = on_our_frames(ears.float(), count) if self.taught else None
            written = write(self.teacher.writer, ears, frames, count) if self.written and self.teacher.writer is not None else None
        return Reference(clean, frames, phones, letters, phone_scores, letter_scores, samples, taught, written)
