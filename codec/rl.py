"""Stage 2 training: the encoder learns by reinforcement to be understood, everything behind the quantiser stays as it is.

    python -m codec.rl --config codec/configs/rl.toml --out runs/rl
    torchrun --nproc-per-node 2 -m codec.rl --config codec/configs/rl.toml --out runs/rl --threads 1

Group-relative policy optimisation as in ClariCodec (arXiv 2604.14654, 2605.19541): the encoder runs once per utterance,
its policy draws G sequences of codes, the frozen decoder turns each into log-mel, and a frozen recogniser says how well
each is understood. What is understood better than the rest of its group becomes more probable; the distance to the
original log-mel anchors the encoder. No vocoder runs, the recogniser hears log-mel. codec/RL.md has formulas and
experiments. Runs, resuming, averaging and processes are those of codec.stage1.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from codec import policy, train
from codec.anchor import Anchor
from codec.config import Config
from codec.encoder import Meant
from codec.growth import grow
from codec.heard import Decoded, Reference
from codec.listener import Listener
from codec.model import MelCodec
from codec.pictures import draw_spectrograms
from codec.rewards import REWARDS, timed_total, total
from codec.rl_check import check
from codec.rollouts import (
    Spoken,
    Utterances,
    frame_credit,
    group_slope,
    judge,
    policy_loss,
    slope_loss,
    speech_frames,
    validation_utterances,
)
from codec.search import Stretches, best_of, versions_of
from codec.tasks.task import Metrics
from codec.team import ALONE, Team
from codec.weights import part, read_weights
from stream.frame import CODE_DIMENSIONS, CODE_LEVELS

REPORTED = ("wer", "cer", "per")  # logged in every run, whatever it is rewarded for


@dataclass(frozen=True)
class Rollouts:
    """Draws of one step. codes: [B, G, T, 8]; log_probability: [B, G, T] when drawn; advantage: [B, G, T]; metrics; slope:
    [B, T, 8], where the gradient follows it."""

    codes: Tensor
    log_probability: Tensor
    advantage: Tensor
    metrics: Metrics
    slope: Tensor | None = None


class PolicyTask:
    """The encoder as a policy, its anchor and its reward."""

    def __init__(self, config: Config, device: torch.device, team: Team = ALONE):
        check(config)
        self.config, self.device, self.team = config, device, team
        self.listener = Listener(config, device)
        self.anchor = Anchor(config, self.listener)
        self.model = MelCodec(config.model).to(device)
        initial = Path(config.train.initial)
        known, before, _ = read_weights(initial)
        grow(self.model, part(known, "mel_codec."), before.model, config.model, initial)
        self.model.train_only(config.rl.trainable, "rl.trainable")
        self.start = copy.deepcopy(self.model).eval().requires_grad_(False)  # the stage 1 codec, whatever is restored later
        self.utterances = Utterances(config, team=team)
        self.validation = validation_utterances(config)
        self.before: Metrics = {}
        self.before_sums: dict[str, np.ndarray] = {}
        self.rollouts: Rollouts | None = None

    def batch(self, step: int) -> Spoken:
        """Several updates on the same draws begin with the same utterances."""
        updates = self.config.rl.updates
        return dataclasses.replace(self.utterances.draw(step // updates, self.config.rl.link_share), step=step)

    def draw(self, batch: Spoken, meant: Meant) -> Tensor:
        """G sequences of codes per utterance from the policy, each drawn after those before it: [B, G, T, 8]."""
        rl, frames = self.config.rl, meant.intended.shape[1]
        uniform = torch.rand(batch.total, rl.group, frames, CODE_DIMENSIONS)[self.team.rank :: self.team.size]
        rows = uniform.to(self.device).flatten(0, 1)

        def sample(positions: Tensor, frame: int, dimension: int) -> Tensor:
            return policy.sample(positions, rows[:, frame, dimension], rl.temperature)

        return self.model.encoder.decide(meant, sample, rl.group)

    @torch.no_grad()
    def search(self, batch: Spoken, meant: Meant, clean: Tensor) -> Tensor:
        """The codes that a search around rounding finds, and the rounded ones: [B, 2, T, 8]."""
        rl, frames, mine = self.config.rl, meant.intended.shape[1], slice(self.team.rank, None, self.team.size)
        rounded = found = policy.mode(self.model.encoder.positions(meant))
        reference = None
        for number in range(rl.rounds):
            stretches = Stretches(frames, rl.stretch_frames, int(torch.randint(rl.stretch_frames, ())))
            place = torch.randint(rl.stretch_frames, (batch.total, rl.group, stretches.count))[mine].to(self.device)
            versions = versions_of(found, self.draw(batch, meant), place, stretches, number % 2)
            decoded, reference = self.listener.listen(self.model.decoder, versions, batch, clean, reference)
            timed = timed_total(self.config.reward, decoded, reference)
            found = best_of(versions, frame_credit(rl, timed, frames, self.listener.delay_frames), stretches)
        return torch.stack([found, rounded], 1)

    @torch.no_grad()
    def roll(self, batch: Spoken, meant: Meant, clean: Tensor) -> Rollouts:
        """Draw, listen, and compare the draws within their group."""
        rl = self.config.rl
        codes = self.search(batch, meant, clean) if rl.rounds else self.draw(batch, meant)
        slope = None
        if rl.gradient == "slope":
            slope, decoded, reference = self.slope(self.config.reward, batch, codes, clean)
        else:
            decoded, reference = self.listener.listen(self.model.decoder, codes, batch, clean)
        judged = judge(rl, self.config.reward, decoded, reference, self.speech(batch), self.listener.delay_frames)
        metrics = {"reward": judged.reward, "equal_groups": judged.equal}
        metrics |= {name: -float(REWARDS[name].whole(decoded, reference).mean()) for name in REPORTED}
        if rl.rounds:
            rewards = total(self.config.reward, decoded, reference)
            metrics |= {"found_gain": float((rewards[:, 0] - rewards[:, 1]).mean())}
            metrics |= {"found_codes": float((codes[:, 0] != codes[:, 1]).float().mean())}
        log_probability = policy.log_probability(self.model.encoder.positions_for(meant, codes), codes, rl.temperature)
        return Rollouts(codes, log_probability, judged.advantage, metrics, slope)

    def slope(self, reward: dict[str, float], batch: Spoken, codes: Tensor, clean: Tensor) -> tuple[Tensor, Decoded, Reference]:
        """Where the advantage of draws [B, G, T, 8] rises, [B, T, 8], and what was heard and should be."""
        slopes, decoded, reference = self.listener.slopes(reward, self.model.decoder, codes, batch, clean)
        return group_slope(slopes, total(reward, decoded, reference), self.config.rl.deviation_floor), decoded, reference

    def along(self, slope: Tensor, batch: Spoken, positions: Tensor, reached: Tensor) -> Tensor:
        """The loss of each utterance [B] whose descent follows the slope [B, T, 8]."""
        every = torch.arange(CODE_LEVELS, device=self.device)[:, None, None].expand(len(positions), -1, *positions.shape[1:])
        values = self.listener.arriving(every, batch).movedim(1, -1)
        return slope_loss(policy.expectation(positions, values, self.config.rl.temperature), slope, reached)

    def speech(self, batch: Spoken) -> Tensor:
        """1 for each code frame that carries speech, [B, T]."""
        return speech_frames(batch.samples, batch.lost.shape[1], self.listener.delay_frames).to(self.device)

    def loss(self, batch: Spoken) -> tuple[Tensor, Metrics]:
        rl, weights, team = self.config.rl, self.config.loss, self.team
        heard, clean = self.listener.mels(batch)
        meant, _ = self.model.encoder.listen(heard)
        positions = self.model.encoder.positions(meant)
        # Before the draws: mixed precision keeps the weights that it casts, and those cast without gradient give none.
        anchors = self.anchor(self.model.decoder, batch, positions, clean)
        if batch.step % rl.updates == 0:
            self.rollouts = self.roll(batch, meant, clean)
        assert self.rollouts is not None  # saved steps are multiples of the updates, so a resumed run begins with draws
        rollouts = self.rollouts
        with torch.no_grad():
            before, rounded = self.start.encoder, policy.mode(positions)[:, None]
            stage_1 = before.positions_for(before.listen(heard)[0], rounded)[:, 0]

        speech = self.speech(batch)
        reached = speech * (1 - torch.from_numpy(batch.lost).to(self.device))  # lost codes changed no reward
        log_probability = policy.log_probability(
            self.model.encoder.positions_for(meant, rollouts.codes), rollouts.codes, rl.temperature
        )
        if rollouts.slope is not None:
            gradient = self.along(rollouts.slope, batch, positions, reached)
        else:
            gradient = policy_loss(log_probability, rollouts.log_probability, rollouts.advantage, reached, rl.clip)

        rows = torch.tensor(len(heard), device=self.device)

        def mean(per_utterance: Tensor) -> Tensor:
            return team.mean(per_utterance.sum(), rows)

        def over_speech(per_frame: Tensor) -> Tensor:
            return mean((per_frame * speech).sum(1) / speech.sum(1))

        kl = over_speech(policy.divergence(positions, stage_1, rl.temperature))
        entropy = over_speech(policy.entropy(positions, rl.temperature))
        policy_term, terms = mean(gradient), {"mel": mean(anchors.pop("mel"))}
        terms |= {name: team.mean(distance * rows, rows) for name, distance in anchors.items()}
        loss = rl.weight * policy_term + rl.kl * kl - rl.entropy * entropy
        loss = loss + sum(getattr(weights, name) * term for name, term in terms.items())
        with torch.no_grad():
            ratio = (log_probability - rollouts.log_probability).exp()
            clipped = ((ratio - 1).abs() > rl.clip).float().mean() if rl.clip else torch.zeros(())
        return loss, {
            **rollouts.metrics,
            "policy": policy_term.item(),
            **{name: term.item() for name, term in terms.items()},
            "kl": kl.item(),
            "entropy_bits": entropy.item() / math.log(2),
            "clipped": clipped.item(),
        }

    def _figures(self, model: MelCodec, link_share: float) -> tuple[Metrics, np.ndarray, dict[str, Tensor]]:
        """Rounded codes of the speakers set aside: every reward weighed here or reported, their sum for each batch, and a pair
        of spectrograms."""
        assert self.validation is not None
        rounds = self.config.rl.validation_rounds
        names = sorted({*self.config.reward, *REPORTED, "mel"})
        figures: Metrics = dict.fromkeys(["reward", *names, "changed_codes"], 0.0)
        sums = np.zeros(rounds)
        for step in range(rounds):
            batch = self.validation.draw(step, link_share)
            heard, clean = self.listener.mels(batch)
            codes, before = (
                policy.mode(encoder(heard, encoder.initial_state(len(heard)))[0]) for encoder in (model.encoder, self.start.encoder)
            )
            decoded, reference = self.listener.listen(model.decoder, codes[:, None], batch, clean)
            figures["changed_codes"] += float((codes != before).float().mean()) / rounds
            for name in names:
                value = float(REWARDS[name].whole(decoded, reference).mean())
                figures[name] += value / rounds
                sums[step] += self.config.reward.get(name, 0.0) * value
        figures["reward"] = float(sums.mean())
        return figures, sums, {"original": reference.mel[0], "decoded": decoded.mel[0, 0]}

    @torch.no_grad()
    def validate(self, model: nn.Module, picture: Path | None) -> Metrics:
        """Mean rewards of rounding, clean and, where the run trains for it, over the link; `before_*` is stage 1. `gain` is the
        difference of their sums with its standard error over batches."""
        assert isinstance(model, MelCodec)
        if self.validation is None:
            return {}
        links = {"": 0.0, "link_": 1.0} if self.config.rl.link_share else {"": 0.0}
        if not self.before:
            for prefix, share in links.items():
                figures, self.before_sums[prefix], _ = self._figures(self.start, share)
                self.before |= {f"before_{prefix}{name}": value for name, value in figures.items() if name != "changed_codes"}
        result: Metrics = {}
        for prefix, share in links.items():
            figures, sums, pair = self._figures(model, share)
            result |= {f"{prefix}{name}": value for name, value in figures.items()}
            gains = sums - self.before_sums[prefix]
            error = float(gains.std(ddof=1)) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
            result |= {f"{prefix}gain": float(gains.mean()), f"{prefix}gain_error": error}
        if picture is not None:
            draw_spectrograms(picture, {name: mel.cpu().numpy() for name, mel in pair.items()})
        return {**result, **self.before}


def main(argv: list[str] | None = None) -> int:
    return train.main(argv, {"rl": PolicyTask}, "codec.rl", "Train the encoder of a codec by reinforcement.")


if __name__ == "__main__":
    sys.exit(main())
