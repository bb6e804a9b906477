"""Training the mel codec: mel distance, and how differently the frozen recogniser hears the decoded speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.batches import UNKNOWN_PHONE, Batches, Crops, validation_batches
from codec.config import HOP_SAMPLES, MEL_FRAMES_PER_CODE, Config, ConfigError
from codec.discriminators import MelDiscriminator, adversarial_losses
from codec.frontend import LOG_DEVIATION, LogMel
from codec.growth import grow
from codec.losses import envelope_loss
from codec.model import MelCodec, Passed
from codec.pictures import draw_spectrograms
from codec.readers import Reader, TeacherReader
from codec.recognizer import REDUCTION, Recognizer, divergences, recognizer_loss
from codec.tasks.damage import arrived, lost_bursts, wrong_bits
from codec.tasks.task import Metrics
from codec.teacher import Teacher, lessons, on_our_frames, teacher_loss
from codec.team import ALONE, Team
from codec.weights import fill, load_recognizer, load_vocoder, part, read_weights
from stream.frame import CODE_DIMENSIONS, CODE_LEVELS


class CodecTask:
    """The mel codec: mel distance, and how differently the frozen recogniser hears the decoded speech."""

    def __init__(self, config: Config, device: torch.device, team: Team = ALONE):
        self.config, self.device, self.team = config, device, team
        self.frontend = LogMel(config.model.mels).to(device)
        self.codec = MelCodec(config.model).to(device)
        self.codec.train_only(config.train.trainable, "train.trainable")
        weights = config.loss
        if (weights.knowledge or weights.encoder_knowledge) and not weights.recognizer:
            raise ConfigError("what a linear layer reads is compared with the recogniser; give loss.recognizer a weight")
        if (weights.teacher or weights.words) and not config.train.vocoder:
            raise ConfigError("train.vocoder is empty, but the teacher listens to samples; name a weights file")
        sent, heard = config.model.encoder_widths[-1], config.model.decoder_widths[0]
        self.reader = Reader(heard).to(device) if weights.knowledge else None
        self.encoder_reader = Reader(sent).to(device) if weights.encoder_knowledge else None
        self.discriminator = MelDiscriminator(config.discriminator.mel_channels).to(device) if weights.adversarial else None
        self.teacher_reader = TeacherReader(heard).to(device) if weights.teacher_knowledge else None
        self.encoder_teacher_reader = TeacherReader(sent).to(device) if weights.encoder_teacher_knowledge else None
        beside = {  # these train with the codec and never ship
            "reader": self.reader,
            "encoder_reader": self.encoder_reader,
            "discriminator": self.discriminator,
            "teacher_reader": self.teacher_reader,
            "encoder_teacher_reader": self.encoder_teacher_reader,
        }
        parts: dict[str, nn.Module] = {"mel_codec": self.codec}
        parts |= {name: network for name, network in beside.items() if network is not None}
        self.teacher: Teacher | None = None
        if weights.teacher or weights.teacher_knowledge or weights.encoder_teacher_knowledge or weights.words:
            self.teacher = Teacher(writes=weights.words > 0).to(device)
        if weights.teacher or weights.words:
            self.vocoder = load_vocoder(Path(config.train.vocoder), config.model).to(device)
        self.model: nn.Module = nn.ModuleDict(parts) if len(parts) > 1 else self.codec
        if config.train.initial:
            initial = Path(config.train.initial)
            known, before, _ = read_weights(initial)
            for name, network in parts.items():
                if network is self.codec:
                    grow(self.codec, part(known, "mel_codec."), before.model, config.model, initial)
                elif any(key.startswith(f"{name}.") for key in known):  # a weights file that shipped does not have it
                    fill(network, part(known, f"{name}."), initial)
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
        passed = self.codec.listen(heard, lost, flips)
        delay = self.config.model.look_ahead_frames
        decoded, target = aligned(passed.decoded, clean, delay)
        mel_loss = F.l1_loss(decoded, target) * LOG_DEVIATION
        loss = weights.mel * mel_loss
        metrics = {"mel": mel_loss.item(), "entropy_bits": code_entropy_bits(passed.codes)}
        if weights.envelope:
            envelope = envelope_loss(decoded, target)
            loss = loss + weights.envelope * envelope
            metrics["envelope"] = envelope.item()
        if self.discriminator is not None:
            judged = adversarial_losses(self.discriminator, decoded, target)
            loss = loss + judged.discriminator + weights.adversarial * judged.generator + weights.features * judged.features
            metrics |= {name: value.item() for name, value in judged._asdict().items()}
        if self.recognizer is not None:
            weight = arrived(lost, delay, target.shape[1])
            with torch.no_grad():
                original = self.recognizer.listen(target)
            again = self.recognizer.listen(decoded)
            heard_loss, divergence = recognizer_loss(again, original, weight, weights.posterior_kl)
            loss = loss + weights.recognizer * heard_loss
            metrics |= {"recognizer": heard_loss.item(), "kl": divergence.item()}
            phones = torch.from_numpy(batch.phones).to(self.device)[:, : weight.shape[1]]
            surprise = phone_surprise(again.heads[1], phones, weight)
            if self.reader is not None:
                read = self.reader(passed.decoder_knowledge, delay // REDUCTION, weight.shape[1])
                known = divergences(read, original.heads, weight)
                loss = loss + weights.knowledge * known
                surprise = surprise + phone_surprise(read[1], phones, weight)
                metrics["knowledge"] = known.item()
            if self.encoder_reader is not None:  # what was sent may be lost, but not what the encoder knew
                read = self.encoder_reader(passed.encoder_knowledge, delay // REDUCTION, weight.shape[1])
                known = divergences(read, original.heads, torch.ones_like(weight))
                loss = loss + weights.encoder_knowledge * known
                metrics["encoder_knowledge"] = known.item()
            loss = loss + weights.phones * surprise
            metrics["phones"] = surprise.item()
        if self.teacher is not None:
            taught, lessons = self.lessons(self.teacher, batch, decoded, passed, lost)
            loss, metrics = loss + taught, metrics | lessons
        return loss, metrics

    def lessons(self, teacher: Teacher, batch: Crops, decoded: Tensor, passed: Passed, lost: Tensor) -> tuple[Tensor, Metrics]:
        """What the teacher has to say: the weighted loss and its parts."""
        weights, delay = self.config.loss, self.config.model.look_ahead_frames
        rows = max(1, round(weights.teacher_share * len(decoded)))
        decoded, lost = decoded[:rows], lost[:rows]
        passed = Passed(*(each[:rows] for each in passed))
        weight = arrived(lost, delay, decoded.shape[1])
        with torch.no_grad():
            said = teacher.hear(torch.from_numpy(batch.clean[:rows]).float().to(self.device)[:, : decoded.shape[1] * HOP_SAMPLES])
        parts: dict[str, Tensor] = {}
        if weights.teacher or weights.words:
            parts = lessons(teacher, self.vocoder, decoded, said, weight, weight.amin(1))
        last = on_our_frames(said[-1].float(), weight.shape[1])
        if self.teacher_reader is not None:
            read = self.teacher_reader(passed.decoder_knowledge, delay // REDUCTION, weight.shape[1])
            parts["teacher_knowledge"] = teacher_loss([read], [last], weight)
        if self.encoder_teacher_reader is not None:
            read = self.encoder_teacher_reader(passed.encoder_knowledge, delay // REDUCTION, weight.shape[1])
            parts["encoder_teacher_knowledge"] = teacher_loss([read], [last], torch.ones_like(weight))
        loss = torch.stack([getattr(weights, name) * part for name, part in parts.items()]).sum()
        return loss, {name: part.item() for name, part in parts.items()}

    @torch.no_grad()
    def validate(self, model: nn.Module, picture: Path | None) -> Metrics:
        if self.validation is None:
            return {}
        codec = model["mel_codec"] if isinstance(model, nn.ModuleDict) else model
        figures: Metrics = {"mel": 0.0, "entropy_bits": 0.0, "contrast": 0.0}
        used: list[Tensor] = []
        rounds = 3
        for step in range(rounds):
            crops = self.validation.crops(step)
            heard, clean = self.mels(crops)
            lost = torch.zeros(len(heard), heard.shape[1] // MEL_FRAMES_PER_CODE, device=self.device)
            passed = codec.listen(heard, lost)
            decoded, target = aligned(passed.decoded, clean, self.config.model.look_ahead_frames)
            figures["mel"] += (F.l1_loss(decoded, target) * LOG_DEVIATION).item() / rounds
            figures["entropy_bits"] += code_entropy_bits(passed.codes) / rounds
            figures["contrast"] += spectral_contrast(decoded, target).item() / rounds
            used.append(passed.codes.flatten(0, 1))
            if self.recognizer is not None:
                everything = torch.ones(len(target), target.shape[1] // REDUCTION, device=self.device)
                again, original = self.recognizer.listen(decoded), self.recognizer.listen(target)
                distance, divergence = recognizer_loss(again, original, everything, self.config.loss.posterior_kl)
                figures["recognizer"] = figures.get("recognizer", 0.0) + distance.item() / rounds
                figures["kl"] = figures.get("kl", 0.0) + divergence.item() / rounds
                exact, _ = aligned(codec.without_rounding(heard, lost), clean, self.config.model.look_ahead_frames)
                _, divergence = recognizer_loss(self.recognizer.listen(exact), original, everything, self.config.loss.posterior_kl)
                figures["kl_unrounded"] = figures.get("kl_unrounded", 0.0) + divergence.item() / rounds
            if self.teacher is not None:
                _, lessons = self.lessons(self.teacher, crops, decoded, passed, lost)
                for name, value in lessons.items():
                    figures[name] = figures.get(name, 0.0) + value / rounds
        figures["dead_levels"] = float((level_counts(torch.cat(used)) == 0).sum())
        if picture is not None:
            draw_spectrograms(picture, {"original": target[0].cpu().numpy(), "decoded": decoded[0].cpu().numpy()})
        return figures


def spectral_contrast(decoded: Tensor, target: Tensor, bands: int = 21) -> Tensor:
    """How far log-mel [B, T, mels] stands out from its mean over `bands` neighbours, relative to the target.

    1 is right; below, formants are flat: a codec that only minimises distances draws the mean of what might have been said.
    """

    def relief(mel: Tensor) -> Tensor:
        return (mel - F.avg_pool1d(mel, bands, 1, bands // 2, count_include_pad=False)).std()

    return relief(decoded) / relief(target)


def phone_surprise(heard: Tensor, phones: Tensor, weight: Tensor) -> Tensor:
    """Cross entropy of log-probabilities [B, T, K] to known phones [B, T], in nats per frame that is known and counts."""
    counts = weight * (phones != UNKNOWN_PHONE)
    wrong = F.nll_loss(heard.transpose(1, 2), phones, ignore_index=UNKNOWN_PHONE, reduction="none")
    return ((wrong * counts).sum(1) / counts.sum(1).clamp(min=1)).mean()


def level_counts(codes: Tensor) -> Tensor:
    """How often each level of each dimension occurs in codes [..., 8]: [8, 4]."""
    return torch.stack([torch.bincount(codes[..., d].flatten(), minlength=CODE_LEVELS) for d in range(CODE_DIMENSIONS)])


def code_entropy_bits(codes: Tensor) -> float:
    """Sum over dimensions of the marginal entropy of codes [B, T, 8]: 16 when every level is used equally."""
    counts = level_counts(codes)
    shares = counts / counts.sum(dim=1, keepdim=True)
    return float(-(shares * torch.log2(shares.clamp(min=1e-9))).sum())


def aligned(decoded: Tensor, clean: Tensor, delay_frames: int) -> tuple[Tensor, Tensor]:
    """Lay decoded mel [B, T, mels], `delay_frames` late, beside its target and cut both to whole recogniser frames."""
    length = (clean.shape[1] - delay_frames) // REDUCTION * REDUCTION
    return decoded[:, delay_frames : delay_frames + length], clean[:, :length]
