"""What decoded speech is worth, as pure functions `(decoded, reference) -> [B, G]`: higher is better.

    total = sum(weight * REWARDS[name].whole(decoded, reference) for name, weight in config.reward.items())

The [reward] table of a configuration weighs them, so that intelligibility and quality are traded by numbers alone.
Another task is one line, for any function of decoded speech and reference:

    REWARDS["keyword"] = Reward(keyword_found)

Rewards that know when things were said have a second form `[B, G, T / 4]` in time, whose mean over the frames of an
utterance is the whole: from it each code frame gets its own credit. A reward without one is credited to all frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from codec.alignment import edit_distance, label_errors, spread
from codec.batches import RECOGNIZER_FRAME_SAMPLES
from codec.evaluate.distances import intelligibility
from codec.frontend import LOG_DEVIATION
from codec.heard import Aligned, Decoded, Reference
from codec.recognizer import REDUCTION
from codec.tasks.recognizer import ctc_per_label
from codec.teacher import likeness

Score = Callable[[Decoded, Reference], Tensor]


def _rates(heard: Sequence[Sequence[Sequence[object]]], targets: Sequence[Sequence[object]], like: Tensor) -> Tensor:
    """Errors per label of the target, negative, [B, G]."""
    rates = [
        [-edit_distance(said, target) / max(len(target), 1) for said in group] for group, target in zip(heard, targets, strict=True)
    ]
    return torch.tensor(rates, device=like.device)


def _timed_rates(
    heard: Sequence[Sequence[Sequence[object]]], targets: Sequence[Sequence[object]], owner: list[np.ndarray], like: Tensor
) -> Tensor:
    """The same errors where they were made, [B, G, T / 4]."""
    result = np.zeros(like.shape[:3], dtype=np.float32)
    for row, (group, target, owned) in enumerate(zip(heard, targets, owner, strict=True)):
        errors = np.array([label_errors(said, target) for said in group], dtype=float).reshape(len(group), len(target))
        result[row, :, : len(owned)] = -spread(errors, owned)
    return torch.from_numpy(result).to(like.device)


def phone_errors(decoded: Decoded, reference: Reference) -> Tensor:
    """Negative phone error rate."""
    return _rates(decoded.phones, reference.phones, decoded.phone_scores)


def timed_phone_errors(decoded: Decoded, reference: Reference) -> Tensor:
    return _timed_rates(decoded.phones, reference.phones, reference.phone_times.owner, decoded.phone_scores)


def letter_errors(decoded: Decoded, reference: Reference) -> Tensor:
    """Negative character error rate."""
    return _rates(decoded.letters, reference.letters, decoded.letter_scores)


def timed_letter_errors(decoded: Decoded, reference: Reference) -> Tensor:
    return _timed_rates(decoded.letters, reference.letters, reference.letter_times.owner, decoded.letter_scores)


def word_errors(decoded: Decoded, reference: Reference) -> Tensor:
    """Negative word error rate of the greedy letters; not capped at -1."""
    return _rates(decoded.words, reference.words, decoded.letter_scores)


def timed_word_errors(decoded: Decoded, reference: Reference) -> Tensor:
    return _timed_rates(decoded.words, reference.words, reference.word_owner, decoded.letter_scores)


def _likelihood(scores: Tensor, frames: Tensor, targets: list[list[int]]) -> Tensor:
    rows, size = scores.shape[:2]
    many = [target for target in targets for _ in range(size)]
    return -ctc_per_label(scores.flatten(0, 1), frames.repeat_interleave(size), many).reshape(rows, size)


def _timed_likelihood(scores: Tensor, times: Aligned, targets: list[list[int]]) -> Tensor:
    path = torch.from_numpy(times.path).to(scores.device)
    said = scores.gather(3, path[:, None, :, None].expand(-1, scores.shape[1], -1, 1)).squeeze(3)
    lengths = [len(owner) for owner in times.owner]
    scale = torch.tensor([length / max(len(target), 1) for length, target in zip(lengths, targets, strict=True)])
    inside = torch.arange(scores.shape[2]) < torch.tensor(lengths)[:, None]
    return said * (inside * scale[:, None]).to(scores.device)[:, None]


def phone_likelihood(decoded: Decoded, reference: Reference) -> Tensor:
    """Negative CTC loss of the phones, in nats per phone: it tells samples apart whose greedy phones are the same."""
    return _likelihood(decoded.phone_scores, reference.frames, reference.phones)


def timed_phone_likelihood(decoded: Decoded, reference: Reference) -> Tensor:
    """Log-probability of the path that the phones took in the original: its mean is no more than `phone_likelihood`."""
    return _timed_likelihood(decoded.phone_scores, reference.phone_times, reference.phones)


def letter_likelihood(decoded: Decoded, reference: Reference) -> Tensor:
    """Negative CTC loss of the letters, in nats per letter."""
    return _likelihood(decoded.letter_scores, reference.frames, reference.letters)


def timed_letter_likelihood(decoded: Decoded, reference: Reference) -> Tensor:
    return _timed_likelihood(decoded.letter_scores, reference.letter_times, reference.letters)


def timed_mel_closeness(decoded: Decoded, reference: Reference) -> Tensor:
    distance = (decoded.mel - reference.mel[:, None]).abs().mean(3) * LOG_DEVIATION
    distance = distance.reshape(*distance.shape[:2], -1, REDUCTION).mean(3)
    inside = torch.arange(distance.shape[2]) < reference.frames[:, None]
    return -distance * inside.to(distance.device)[:, None]


def mel_closeness(decoded: Decoded, reference: Reference) -> Tensor:
    """Negative mel distance in nepers per bin, over the frames that hold speech."""
    return timed_mel_closeness(decoded, reference).sum(2) / reference.frames[:, None].to(decoded.mel.device)


def stoi(decoded: Decoded, reference: Reference) -> Tensor:
    """STOI of the samples that the vocoder makes; 0 for all draws where it is not defined."""
    assert decoded.samples is not None and reference.samples is not None
    heard, original = decoded.samples.float().cpu().numpy(), reference.samples.float().cpu().numpy()
    lengths = (reference.frames * RECOGNIZER_FRAME_SAMPLES).tolist()
    values = [
        [intelligibility(clean[:length], said[:length]) for said in group]
        for group, clean, length in zip(heard, original, lengths, strict=True)
    ]
    return torch.nan_to_num(torch.tensor(values, dtype=torch.float32)).to(decoded.mel.device)


def timed_teacher_likeness(decoded: Decoded, reference: Reference) -> Tensor:
    assert decoded.taught is not None and reference.taught is not None
    result = decoded.taught.new_zeros(decoded.taught.shape[:3])
    for row, length in enumerate(reference.frames.tolist()):
        result[row, :, :length] = likeness(decoded.taught[row, :, :length], reference.taught[row, :length])
    return result


def teacher_likeness(decoded: Decoded, reference: Reference) -> Tensor:
    """Mean cosine of what the teacher hears in decoded and original speech, over the frames that hold speech; 1 is the same."""
    return timed_teacher_likeness(decoded, reference).sum(2) / reference.frames[:, None].to(decoded.mel.device)


def timed_word_likelihood(decoded: Decoded, reference: Reference) -> Tensor:
    assert decoded.token_scores is not None and reference.written is not None
    frames = reference.frames.to(decoded.mel.device)
    scale = frames / reference.written.counts.sum(1).clamp(min=1)
    return decoded.token_scores @ reference.written.places * scale[:, None, None]


def word_likelihood(decoded: Decoded, reference: Reference) -> Tensor:
    """Mean log-probability of what the teacher writes of the original with decoded speech in its ear, in nats per token."""
    assert decoded.token_scores is not None and reference.written is not None
    return decoded.token_scores.sum(2) / reference.written.counts.sum(1, keepdim=True).clamp(min=1)


@dataclass(frozen=True)
class Reward:
    """`whole` [B, G]; `timed` [B, G, T / 4], where it is known when things were said; `samples`, `taught`, `written`: it needs
    the vocoder, or what the teacher hears or writes too; `smooth`: it has a gradient."""

    whole: Score
    timed: Score | None = None
    samples: bool = False
    taught: bool = False
    written: bool = False
    smooth: bool = False


REWARDS: dict[str, Reward] = {
    "wer": Reward(word_errors, timed_word_errors),
    "cer": Reward(letter_errors, timed_letter_errors),
    "per": Reward(phone_errors, timed_phone_errors),
    "ctc_letters": Reward(letter_likelihood, timed_letter_likelihood, smooth=True),
    "ctc_phones": Reward(phone_likelihood, timed_phone_likelihood, smooth=True),
    "mel": Reward(mel_closeness, timed_mel_closeness, smooth=True),
    "stoi": Reward(stoi, samples=True),
    "teacher": Reward(teacher_likeness, timed_teacher_likeness, samples=True, taught=True, smooth=True),
    "words": Reward(word_likelihood, timed_word_likelihood, samples=True, written=True, smooth=True),
}


def rough(weights: dict[str, float]) -> list[str]:
    """Names of the weighed rewards that have no gradient."""
    return [name for name, weight in weights.items() if weight and not REWARDS[name].smooth]


def total(weights: dict[str, float], decoded: Decoded, reference: Reference) -> Tensor:
    """The weighted sum of whole rewards, [B, G]."""
    return torch.stack([weight * REWARDS[name].whole(decoded, reference) for name, weight in weights.items()]).sum(0)


def timed_total(weights: dict[str, float], decoded: Decoded, reference: Reference) -> Tensor:
    """The weighted sum in time, [B, G, T / 4]; what has no time lies on all frames alike."""
    parts = []
    for name, weight in weights.items():
        reward = REWARDS[name]
        timed = reward.timed(decoded, reference) if reward.timed else reward.whole(decoded, reference).unsqueeze(2)
        parts.append(weight * timed.expand(decoded.phone_scores.shape[:3]))
    return torch.stack(parts).sum(0)
