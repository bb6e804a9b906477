"""Stage 2 training: the encoder learns by reinforcement to be understood, everything behind the quantiser stays as it is.

    python -m codec.rl --config codec/configs/rl.toml --out runs/rl
    torchrun --nproc-per-node 2 -m codec.rl --config codec/configs/rl.toml --out runs/rl --threads 1

Group-relative policy optimisation as in ClariCodec (arXiv 2604.14654, 2605.19541): the encoder runs once per utterance,
its policy draws G sequences of codes, the frozen decoder turns each into log-mel, and a frozen recogniser says how well
each is understood. What is understood better than the rest of its group becomes more probable; the distance to the
original log-mel anchors the encoder. No vocoder runs, the recogniser hears log-mel. codec/RL.md has formulas and
experiments. Runs, resuming, averaging and processes are those of codec.train.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec import policy, train
from codec.batches import RECOGNIZER_FRAME_SAMPLES, set_aside
from codec.config import CODE_DIMENSIONS, HOP_SAMPLES, SAMPLE_RATE_HZ, Config, ConfigError
from codec.frontend import LOG_DEVIATION, LogMel
from codec.model import MelCodec
from codec.pictures import draw_spectrograms
from codec.quantizer import codes_to_values, damage, quantize
from codec.recognizer import greedy, recognizer_loss
from codec.rewards import REWARDS, Decoded, Reference, timed_total, total
from codec.rollouts import Spoken, Utterances, advantages, equal_groups, policy_loss, speech_frames, to_code_frames
from codec.tasks import Metrics, aligned, arrived
from codec.team import ALONE, Team
from codec.text import letters_to_text, text_to_letters
from codec.vocoder import DELAY_SAMPLES, Vocoder
from codec.weights import fill, load_recognizer, part, read_weights

REPORTED = ("wer", "cer", "per")  # logged in every run, whatever it is rewarded for


def check(config: Config) -> None:
    """Raise ConfigError for numbers that cannot be meant."""
    rl, settings = config.rl, config.train
    unknown = sorted(set(config.reward) - set(REWARDS))
    uneven = rl.updates < 1 or settings.save_every % rl.updates or settings.steps % rl.updates
    for wrong, message in (
        (unknown, f"[reward] knows no {unknown[:1]}; known are {', '.join(REWARDS)}"),
        (not any(config.reward.values()), "[reward] weighs nothing; give at least one weight, like cer = 1.0"),
        (not settings.initial, "train.initial is empty; name the trained codec to start from, a run folder or weights file"),
        (rl.group < 1 or (rl.group < 2 and rl.weight), f"rl.group is {rl.group}, nothing to compare; take 8 to 16"),
        (rl.temperature <= 0, f"rl.temperature is {rl.temperature:g}; it must be more than 0"),
        (rl.credit not in ("frame", "utterance"), f"rl.credit is {rl.credit!r}; write frame or utterance"),
        (rl.reference not in ("transcript", "heard"), f"rl.reference is {rl.reference!r}; write transcript or heard"),
        (rl.trainable not in ("encoder", "all"), f"rl.trainable is {rl.trainable!r}; write encoder or all"),
        (needs_samples(config) and not rl.vocoder, "rl.vocoder is empty, but a reward listens to samples; name a weights file"),
        (uneven, "train.steps and train.save_every must be multiples of rl.updates, or a resumed run would differ"),
        (not 0 <= min(rl.link_loss_rate) <= max(rl.link_loss_rate) < 1, "rl.link_loss_rate must lie in 0..1, below 1"),
        (rl.link_burst_packets < 1, "rl.link_burst_packets is the mean length of a burst; it is at least 1"),
    ):
        if wrong:
            raise ConfigError(message)


def needs_samples(config: Config) -> bool:
    """Whether a weighted reward listens to samples."""
    return any(weight and REWARDS[name].samples for name, weight in config.reward.items() if name in REWARDS)


@dataclass(frozen=True)
class Rollouts:
    """Draws of one step. codes: [B, G, T, 8]; log_probability: [B, G, T] when drawn; advantage: [B, G, T]; metrics."""

    codes: Tensor
    log_probability: Tensor
    advantage: Tensor
    metrics: Metrics


class PolicyTask:
    """The encoder as a policy, its anchor and its reward."""

    def __init__(self, config: Config, device: torch.device, team: Team = ALONE):
        check(config)
        self.config, self.device, self.team = config, device, team
        self.frontend = LogMel(config.model.mels).to(device)
        self.model = MelCodec(config.model).to(device)
        initial = Path(config.train.initial)
        fill(self.model, part(read_weights(initial)[0], "mel_codec."), initial)
        if config.rl.trainable == "encoder":
            self.model.decoder.requires_grad_(False)
        self.start = copy.deepcopy(self.model).eval().requires_grad_(False)  # the stage 1 codec, whatever is restored later
        self.recognizer = load_recognizer(Path(config.train.recognizer), config.model.mels).to(device)
        self.vocoder: Vocoder | None = None
        if needs_samples(config):
            source = Path(config.rl.vocoder)
            self.vocoder = Vocoder(config.model).to(device).eval().requires_grad_(False)
            fill(self.vocoder, part(read_weights(source)[0], "vocoder."), source)
        self.utterances = Utterances(config, team=team)
        aside = any(
            set_aside(entry.speaker) for corpus in self.utterances.noisy.corpora for entry in corpus.entries if entry.phones
        )
        self.validation = Utterances(config, validation=True) if aside else None
        self.before: Metrics = {}
        self.rollouts: Rollouts | None = None

    @property
    def delay_frames(self) -> int:
        return self.config.model.look_ahead_frames

    def batch(self, step: int) -> Spoken:
        """Several updates on the same draws begin with the same utterances."""
        updates = self.config.rl.updates
        return dataclasses.replace(self.utterances.draw(step // updates, self.config.rl.link_share), step=step)

    def _mels(self, batch: Spoken) -> tuple[Tensor, Tensor]:
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            heard, clean = (
                self.frontend(samples, self.frontend.initial_state(len(samples)))[0]
                for samples in (torch.from_numpy(each).float().to(self.device) for each in (batch.heard, batch.clean))
            )
        return heard, clean

    def _reference(self, batch: Spoken, clean: Tensor) -> Reference:
        phone_scores, _, letter_scores = self.recognizer.heads(self.recognizer.hidden(clean)[-1])
        frames = torch.from_numpy(batch.samples // RECOGNIZER_FRAME_SAMPLES)
        phones, letters = batch.phones, batch.letters
        if self.config.rl.reference == "heard":
            phones = greedy(phone_scores.cpu(), frames)
            letters = [text_to_letters(letters_to_text(heard)) for heard in greedy(letter_scores.cpu(), frames)]
        samples = torch.from_numpy(batch.clean)[:, : clean.shape[1] * HOP_SAMPLES] if self.vocoder else None
        return Reference(clean, frames, phones, letters, phone_scores, letter_scores, samples)

    def _decode(self, decoder: nn.Module, codes: Tensor, batch: Spoken, clean: Tensor) -> tuple[Decoded, Tensor]:
        """What codes [B, G, T, 8] sound like after the link, and the clean log-mel [B, L, mels] beside it."""
        rows, size = codes.shape[:2]
        lost = torch.from_numpy(batch.lost).to(self.device).repeat_interleave(size, 0)
        arriving = damage(codes, torch.from_numpy(batch.flips).to(self.device)[:, None])
        mel, _ = decoder(codes_to_values(arriving).flatten(0, 1), lost, decoder.initial_state(rows * size))
        mel, beside = aligned(mel, clean, self.delay_frames)
        phone_scores, _, letter_scores = self.recognizer.heads(self.recognizer.hidden(mel)[-1])
        samples = None
        if self.vocoder is not None:
            spoken, _ = self.vocoder(mel, self.vocoder.initial_state(len(mel)))
            samples = F.pad(spoken[:, DELAY_SAMPLES:], (0, DELAY_SAMPLES)).unflatten(0, (rows, size))
        frames = torch.from_numpy(batch.samples // RECOGNIZER_FRAME_SAMPLES)
        parts = (each.unflatten(0, (rows, size)) for each in (mel, phone_scores, letter_scores))
        return Decoded(*parts, frames, samples), beside

    @torch.no_grad()
    def roll(self, batch: Spoken, positions: Tensor, clean: Tensor) -> Rollouts:
        """Draw G sequences of codes per utterance, decode them, and compare them within their group."""
        rl = self.config.rl
        frames = positions.shape[1]
        uniform = torch.rand(batch.total, rl.group, frames, CODE_DIMENSIONS)[self.team.rank :: self.team.size]
        around = positions.detach().unsqueeze(1)
        codes = policy.sample(around, uniform.to(self.device), rl.temperature)
        decoded, beside = self._decode(self.model.decoder, codes, batch, clean)
        reference = self._reference(batch, beside)
        speech = speech_frames(batch.samples, frames, self.delay_frames).to(self.device)
        if rl.credit == "utterance":
            rewards = total(self.config.reward, decoded, reference)
            advantage = advantages(rewards, rl.deviation_floor).unsqueeze(2).expand(-1, -1, frames)
            reward, equal = rewards.mean(), equal_groups(rewards).mean()
        else:
            reach = round(rl.credit_reach_s * SAMPLE_RATE_HZ / RECOGNIZER_FRAME_SAMPLES)
            timed = timed_total(self.config.reward, decoded, reference)
            rewards = to_code_frames(timed, frames, self.delay_frames, reach)
            advantage = advantages(rewards, rl.deviation_floor)
            spoken = reference.frames[:, None].to(self.device)
            reward = (timed * (torch.arange(timed.shape[2], device=self.device) < spoken)[:, None]).sum(2).div(spoken).mean()
            equal = (equal_groups(rewards) * speech).sum() / speech.sum()
        metrics = {"reward": float(reward), "equal_groups": float(equal)}
        for name in REPORTED:
            metrics[name] = -float(REWARDS[name].whole(decoded, reference).mean())
        drawn = policy.log_probability(around, codes, rl.temperature)
        return Rollouts(codes, drawn, advantage, metrics)

    def _anchor(self, batch: Spoken, positions: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Mel distance per utterance [B] and the recogniser's stage 1 loss of what rounding sends over the same link."""
        lost = torch.from_numpy(batch.lost).to(self.device)
        _, values = quantize(positions, torch.from_numpy(batch.flips).to(self.device))
        decoded, _ = self.model.decoder(values, lost, self.model.decoder.initial_state(len(values)))
        decoded, target = aligned(decoded, clean, self.delay_frames)
        distance = (decoded - target).abs().mean((1, 2)) * LOG_DEVIATION
        if not self.config.loss.recognizer:
            return distance, distance.new_zeros(())
        weight = arrived(lost, self.delay_frames, target.shape[1])
        return distance, recognizer_loss(self.recognizer, decoded, target, weight, self.config.loss.posterior_kl)[0]

    def loss(self, batch: Spoken) -> tuple[Tensor, Metrics]:
        rl, weights, team = self.config.rl, self.config.loss, self.team
        heard, clean = self._mels(batch)
        positions, _ = self.model.encoder(heard, self.model.encoder.initial_state(len(heard)))
        # Before the draws: mixed precision keeps the weights that it casts, and those cast without gradient give none.
        mel, heard_loss = self._anchor(batch, positions, clean)
        if batch.step % rl.updates == 0:
            self.rollouts = self.roll(batch, positions, clean)
        assert self.rollouts is not None  # saved steps are multiples of the updates, so a resumed run begins with draws
        rollouts = self.rollouts
        with torch.no_grad():
            stage_1, _ = self.start.encoder(heard, self.start.encoder.initial_state(len(heard)))

        speech = speech_frames(batch.samples, positions.shape[1], self.delay_frames).to(self.device)
        reached = speech * (1 - torch.from_numpy(batch.lost).to(self.device))  # lost codes changed no reward
        log_probability = policy.log_probability(positions.unsqueeze(1), rollouts.codes, rl.temperature)
        gradient = policy_loss(log_probability, rollouts.log_probability, rollouts.advantage, reached, rl.clip)

        rows = torch.tensor(len(heard), device=self.device)

        def mean(per_utterance: Tensor) -> Tensor:
            return team.mean(per_utterance.sum(), rows)

        def over_speech(per_frame: Tensor) -> Tensor:
            return mean((per_frame * speech).sum(1) / speech.sum(1))

        kl = over_speech(policy.divergence(positions, stage_1, rl.temperature))
        entropy = over_speech(policy.entropy(positions, rl.temperature))
        policy_term, mel_term, heard_term = mean(gradient), mean(mel), team.mean(heard_loss * rows, rows)
        loss = rl.weight * policy_term + weights.mel * mel_term + weights.recognizer * heard_term
        loss = loss + rl.kl * kl - rl.entropy * entropy
        with torch.no_grad():
            ratio = (log_probability - rollouts.log_probability).exp()
            clipped = ((ratio - 1).abs() > rl.clip).float().mean() if rl.clip else torch.zeros(())
        return loss, {
            **rollouts.metrics,
            "policy": policy_term.item(),
            "mel": mel_term.item(),
            "recognizer": heard_term.item(),
            "kl": kl.item(),
            "entropy_bits": entropy.item() / math.log(2),
            "clipped": clipped.item(),
        }

    def _figures(self, model: MelCodec, link_share: float) -> tuple[Metrics, dict[str, Tensor]]:
        """Rounded codes of the speakers set aside: every reward weighed here or reported, and a pair of spectrograms."""
        assert self.validation is not None
        rounds = self.config.rl.validation_rounds
        names = sorted({*self.config.reward, *REPORTED, "mel"})
        figures: Metrics = dict.fromkeys(["reward", *names, "changed_codes"], 0.0)
        for step in range(rounds):
            batch = self.validation.draw(step, link_share)
            heard, clean = self._mels(batch)
            codes, before = (
                policy.mode(encoder(heard, encoder.initial_state(len(heard)))[0]) for encoder in (model.encoder, self.start.encoder)
            )
            decoded, beside = self._decode(model.decoder, codes[:, None], batch, clean)
            reference = self._reference(batch, beside)
            figures["changed_codes"] += float((codes != before).float().mean()) / rounds
            for name in names:
                value = float(REWARDS[name].whole(decoded, reference).mean())
                figures[name] += value / rounds
                figures["reward"] += self.config.reward.get(name, 0.0) * value / rounds
        return figures, {"original": beside[0], "decoded": decoded.mel[0, 0]}

    @torch.no_grad()
    def validate(self, model: nn.Module, picture: Path | None) -> Metrics:
        """Mean rewards of rounding, clean and, where the run trains for it, over the link; `before_*` is stage 1."""
        assert isinstance(model, MelCodec)
        if self.validation is None:
            return {}
        links = {"": 0.0, "link_": 1.0} if self.config.rl.link_share else {"": 0.0}
        if not self.before:
            for prefix, share in links.items():
                figures, _ = self._figures(self.start, share)
                self.before |= {f"before_{prefix}{name}": value for name, value in figures.items() if name != "changed_codes"}
        result: Metrics = {}
        for prefix, share in links.items():
            figures, pair = self._figures(model, share)
            result |= {f"{prefix}{name}": value for name, value in figures.items()}
        if picture is not None:
            draw_spectrograms(picture, {name: mel.cpu().numpy() for name, mel in pair.items()})
        return {**result, **self.before}


def main(argv: list[str] | None = None) -> int:
    return train.main(argv, {"rl": PolicyTask}, "codec.rl", "Train the encoder of a codec by reinforcement.")


if __name__ == "__main__":
    sys.exit(main())
