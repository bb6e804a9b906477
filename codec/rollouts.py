"""Draws of a policy: the speech they start from, and how the draws of a group are compared with each other.

Everything that is drawn follows from (seed, step) alone, like every batch of this project.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.batches import RECOGNIZER_FRAME_SAMPLES, Batches, validation_batches
from codec.config import HOP_SAMPLES, MEL_FRAMES_PER_CODE, Config, RLConfig
from codec.heard import Decoded, Reference
from codec.link import Received, frames_per_packet, received, untouched
from codec.recognizer import REDUCTION
from codec.rewards import timed_total, total
from codec.team import ALONE, Team
from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

EQUAL = 1e-6  # rewards that differ by less are the same


@dataclass(frozen=True)
class Spoken:
    """Whole transcribed utterances, filled up with zeros to whole code frames of which the last lets the end come out.

    heard, clean: float32 [B, N], what the encoder gets and what it should say; samples: int [B], how many hold speech;
    phones, letters: CTC targets; lost: float32 [B, T] and flips: int64 [B, T, 8], what the link does to the codes;
    total: rows of the whole step; step: its number.
    """

    heard: np.ndarray
    clean: np.ndarray
    samples: np.ndarray
    phones: list[list[int]]
    letters: list[list[int]]
    lost: np.ndarray
    flips: np.ndarray
    total: int
    step: int


class Utterances:
    """Draws whole utterances, of the speakers trained on or of those set aside."""

    def __init__(self, config: Config, validation: bool = False, team: Team = ALONE):
        data, seed = config.data, config.train.seed
        self.rl, self.seed, self.team = config.rl, seed, team
        self.look_ahead_samples = config.model.look_ahead_frames * HOP_SAMPLES
        self.packet_frames = frames_per_packet(config.rl.link_profile)
        # A row's draws begin with what it says and end with what disturbs it, so a quiet twin says the same.
        self.noisy = Batches(data, seed, validation, team)
        quiet = dataclasses.replace(data, noise_share=0.0, room_share=0.0)
        self.quiet = self.noisy if data == quiet else Batches(quiet, seed, validation, team)
        self.noisy.require_transcripts()

    def draw(self, step: int, link_share: float) -> Spoken:
        """This process's utterances of one step, of which a `link_share` passes the narrow link."""
        noisy = self.noisy.utterances(step)
        clean = noisy.heard if self.quiet is self.noisy else self.quiet.utterances(step).heard
        length = clean.shape[1] + self.look_ahead_samples
        length += -length % SAMPLES_PER_FRAME
        padding = ((0, 0), (0, length - clean.shape[1]))
        links = [self._link(step, row, length // SAMPLES_PER_FRAME, link_share) for row in self.team.mine(range(noisy.total))]
        return Spoken(
            np.pad(noisy.heard, padding),
            np.pad(clean, padding),
            noisy.samples,
            noisy.phones,
            noisy.letters,
            np.stack([link.lost for link in links]).astype(np.float32),
            np.stack([link.flips for link in links]),
            noisy.total,
            step,
        )

    def _link(self, step: int, row: int, frames: int, share: float) -> Received:
        rng, rl = np.random.default_rng([self.seed, step, row, 1]), self.rl
        if rng.random() >= share:
            return untouched(frames)
        loss_rate, wrong = rng.uniform(*rl.link_loss_rate), rng.uniform(*rl.link_bit_error_rate)
        return received(rng, frames, self.packet_frames, loss_rate, rl.link_burst_packets, wrong)


def validation_utterances(config: Config) -> Utterances | None:
    """Utterances of the speakers set aside, or None where the corpora hold none that fits."""
    batches = validation_batches(config.data, config.train.seed, transcribed=True)
    return Utterances(config, validation=True) if batches else None


def speech_frames(samples: np.ndarray, frames: int, delay_frames: int) -> Tensor:
    """1 for each of `frames` code frames that carries speech of an utterance of `samples` [B], else 0: float32 [B, T].

    `delay_frames` is the look-ahead in mel frames: a code describes speech that much older than its frame.
    """
    last = np.ceil((samples / HOP_SAMPLES + delay_frames) / MEL_FRAMES_PER_CODE)
    return (torch.arange(frames) < torch.from_numpy(last)[:, None]).float()


def to_code_frames(timed: Tensor, frames: int, delay_frames: int, reach: int) -> Tensor:
    """What each of `frames` code frames answers for: [B, G, T / 4] on recogniser frames -> [B, G, frames].

    The mean over the speech that the code frame describes and `reach` recogniser frames before and after it.
    """
    step = MEL_FRAMES_PER_CODE // REDUCTION
    left = delay_frames // REDUCTION + reach
    right = (frames - 1) * step + step + 2 * reach - left - timed.shape[2]
    return F.avg_pool1d(F.pad(timed, (left, right)), step + 2 * reach, step)


def frame_credit(rl: RLConfig, timed: Tensor, frames: int, delay_frames: int) -> Tensor:
    """The reward of each of `frames` code frames, [B, G, frames], from rewards in time [B, G, T / 4]."""
    reach = round(rl.credit_reach_s * SAMPLE_RATE_HZ / RECOGNIZER_FRAME_SAMPLES)
    return to_code_frames(timed, frames, delay_frames, reach)


def advantages(rewards: Tensor, floor: float) -> Tensor:
    """Rewards [B, G, ...] relative to their group: minus its mean, divided by its standard deviation plus `floor`.

    Group-relative policy optimisation (Shao et al. 2024, arXiv 2402.03300): the group is its own baseline.
    """
    centred = rewards - rewards.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True).sqrt() + floor)


def equal_groups(rewards: Tensor) -> Tensor:
    """1 where all draws of a group have the same reward and nothing can be learned: [B, G, ...] -> [B, ...]."""
    return (rewards.amax(1) - rewards.amin(1) < EQUAL).float()


def group_slope(slopes: Tensor, rewards: Tensor, floor: float) -> Tensor:
    """Mean slope of a group: slopes [B, G, T, 8] of rewards [B, G], divided by the group's deviation as `advantages` are."""
    return slopes.mean(1) / (rewards.std(1, correction=0) + floor)[:, None, None]


@dataclass(frozen=True)
class Judged:
    """advantage: [B, G, T]; reward: mean over the draws; deviation, equal: what a group differs by, and how often by nothing."""

    advantage: Tensor
    reward: float
    deviation: float
    equal: float


def judge(
    rl: RLConfig, weights: dict[str, float], decoded: Decoded, reference: Reference, speech: Tensor, delay_frames: int
) -> Judged:
    """Compare draws by their weighted rewards and credit their code frames; `speech` [B, T] is 1 where somebody speaks."""
    if rl.credit == "utterance":
        rewards = total(weights, decoded, reference)
        reward, counts = rewards.mean(), torch.ones(len(rewards), device=rewards.device)
    else:
        timed = timed_total(weights, decoded, reference)
        spoken = reference.frames[:, None].to(timed.device)
        reward = ((timed * (torch.arange(timed.shape[2], device=timed.device) < spoken)[:, None]).sum(2) / spoken).mean()
        rewards, counts = frame_credit(rl, timed, speech.shape[1], delay_frames), speech

    def mean(figures: Tensor) -> float:
        return float((figures * counts).sum() / counts.sum())

    advantage = advantages(rewards, rl.deviation_floor)
    advantage = advantage if advantage.dim() == 3 else advantage.unsqueeze(2).expand(-1, -1, speech.shape[1])
    return Judged(advantage, float(reward), mean(rewards.std(1, correction=0)), mean(equal_groups(rewards)))


def policy_loss(log_probability: Tensor, drawn: Tensor, advantage: Tensor, weight: Tensor, clip: float) -> Tensor:
    """Policy gradient of each utterance [B] from [B, G, T] each; `weight` [B, T] says which frames the draws reached.

    The probability of a frame's codes relative to that at the draw, times the advantage. With `clip` the ratio earns
    nothing beyond 1 - clip .. 1 + clip (Schulman et al. 2017, arXiv 1707.06347). At the draw itself the ratio is 1 and
    its gradient that of REINFORCE.
    """
    ratio = torch.exp(log_probability - drawn)
    gain = ratio * advantage
    if clip:
        gain = torch.minimum(gain, ratio.clamp(1 - clip, 1 + clip) * advantage)
    weight = weight.unsqueeze(1)
    return -(gain * weight).sum((1, 2)) / (gain.shape[1] * weight.sum((1, 2)).clamp(min=1))


def slope_loss(expected: Tensor, slope: Tensor, weight: Tensor) -> Tensor:
    """Policy gradient of each utterance [B] where the reward is taken for a plane: what arrives on average, [B, T, 8], times
    the slope of the advantage, [B, T, 8]; `weight` [B, T] says which frames the draws reached.

    Were it a plane, the gradient would be that of `policy_loss` of infinitely many draws that all share the utterance's
    advantage. All levels are weighed by a first-order critic instead of one by its outcome, as in MuProp's deterministic
    term (Gu et al. 2016, arXiv 1511.05176).
    """
    return -((expected * slope).sum(2) * weight).sum(1) / weight.sum(1).clamp(min=1)
