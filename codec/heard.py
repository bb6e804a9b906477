"""Decoded speech and its reference, as the recogniser heard them: what rewards compare.

Both are frozen; what several rewards need, like greedy labels and their times, is worked out once and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from torch import Tensor

from codec.alignment import forced_path, owners
from codec.recognizer import greedy
from codec.teacher import Written
from codec.text import LETTER_INDEX

SPACE = LETTER_INDEX[" "]
Group = list[list[list[int]]]  # labels heard in each of [B][G]


def words_of(letters: Sequence[int]) -> list[tuple[int, ...]]:
    """Letter indices -> words: what stands between spaces."""
    words: list[tuple[int, ...]] = []
    begun: list[int] = []
    for letter in [*letters, SPACE]:
        if letter != SPACE:
            begun.append(letter)
        elif begun:
            words.append(tuple(begun))
            begun = []
    return words


@dataclass(frozen=True)
class Aligned:
    """When the labels of B references were said in the original, on recogniser frames.

    path: int64 [B, T], the CTC class of each frame; owner: per utterance [T of speech], the place of the label that the
    frame belongs to, -1 for nobody's.
    """

    path: np.ndarray
    owner: list[np.ndarray]


def align(log_probabilities: Tensor, frames: Tensor, targets: list[list[int]]) -> Aligned:
    """Force the targets through the recogniser's log-probabilities [B, T, K] of the original."""
    scores = log_probabilities.float().cpu().numpy()
    path, owner = np.zeros(scores.shape[:2], dtype=np.int64), []
    for row, (length, target) in enumerate(zip(frames.tolist(), targets, strict=True)):
        found = forced_path(scores[row, :length], target)
        if found is None:  # too short for its text: nobody is credited alone
            owner.append(np.full(length, -1))
        else:
            path[row, :length] = found[0]
            owner.append(owners(found[1]))
    return Aligned(path, owner)


@dataclass(frozen=True)
class Reference:
    """What should be heard in B utterances.

    mel: log-mel [B, T, mels] of the clean original; frames: int64 [B] on the CPU, how many recogniser frames hold
    speech; phones, letters: CTC targets; phone_scores, letter_scores: the recogniser's log-probabilities [B, T / 4, K]
    of the original; samples: [B, N] of the original, beside `mel`, where a reward listens to samples; taught:
    [B, T / 4, 288], what the teacher hears of them (codec/teacher.py), and written: what it writes, where a reward asks it.
    """

    mel: Tensor
    frames: Tensor
    phones: list[list[int]]
    letters: list[list[int]]
    phone_scores: Tensor
    letter_scores: Tensor
    samples: Tensor | None = None
    taught: Tensor | None = None
    written: Written | None = None

    @cached_property
    def words(self) -> list[list[tuple[int, ...]]]:
        return [words_of(letters) for letters in self.letters]

    @cached_property
    def phone_times(self) -> Aligned:
        return align(self.phone_scores, self.frames, self.phones)

    @cached_property
    def letter_times(self) -> Aligned:
        return align(self.letter_scores, self.frames, self.letters)

    @cached_property
    def word_owner(self) -> list[np.ndarray]:
        """Per utterance the place of the word that each frame of speech belongs to, -1 for nobody's."""
        result = []
        for letters, owner in zip(self.letters, self.letter_times.owner, strict=True):
            # Letters after n spaces stand in word n; the space itself counts to the word before it.
            place = np.cumsum(np.array([0, *letters]) == SPACE)[:-1]
            result.append(np.where(owner < 0, -1, np.append(place, -1)[owner]))
        return result


@dataclass(frozen=True)
class Decoded:
    """What comes out of the decoder for G draws of each of B utterances, laid beside the original.

    mel: log-mel [B, G, T, mels]; phone_scores, letter_scores: the recogniser's log-probabilities [B, G, T / 4, K];
    frames: int64 [B], how many recogniser frames hold speech; samples: [B, G, N] where a reward listens to samples;
    taught: [B, G, T / 4, 288], what the teacher hears of them, and token_scores: [B, G, L], log-probabilities of what it wrote
    of the original with them in its ear, where a reward asks it.
    """

    mel: Tensor
    phone_scores: Tensor
    letter_scores: Tensor
    frames: Tensor
    samples: Tensor | None = None
    taught: Tensor | None = None
    token_scores: Tensor | None = None

    def detached(self) -> Decoded:
        """The same without the way to what was drawn."""
        tensors = {item.name: getattr(self, item.name) for item in fields(self)}
        return Decoded(**{name: tensor if tensor is None else tensor.detach() for name, tensor in tensors.items()})

    def _greedy(self, scores: Tensor) -> Group:
        size = scores.shape[1]
        flat = greedy(scores.flatten(0, 1).cpu(), self.frames.repeat_interleave(size))
        return [flat[row : row + size] for row in range(0, len(flat), size)]

    @cached_property
    def phones(self) -> Group:
        return self._greedy(self.phone_scores)

    @cached_property
    def letters(self) -> Group:
        return self._greedy(self.letter_scores)

    @cached_property
    def words(self) -> list[list[list[tuple[int, ...]]]]:
        return [[words_of(letters) for letters in group] for group in self.letters]
