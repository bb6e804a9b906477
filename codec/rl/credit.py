"""Who said what when: CTC paths forced through a known sequence, and errors charged to the labels that suffered them.

Credit in time needs both: a word that the recogniser lost in one decoded sample but not in another should move the
codes under that word, not the whole utterance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

REACH_FRAMES = 5  # of 40 ms: how far from its own frames a label still owns blanks; silence beyond is nobody's
Label = TypeVar("Label")


def _costs(heard: Sequence[object], target: Sequence[object]) -> list[list[int]]:
    """Levenshtein distances of all beginnings of two sequences, [heard + 1][target + 1]."""
    cost = [list(range(len(target) + 1))]
    for i, left in enumerate(heard, start=1):
        above, row = cost[-1], [i]
        for j, right in enumerate(target, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (left != right)))
        cost.append(row)
    return cost


def edit_distance(heard: Sequence[object], target: Sequence[object]) -> int:
    """Levenshtein distance of two sequences."""
    return _costs(heard, target)[-1][-1]


def label_errors(heard: Sequence[Label], target: Sequence[Label]) -> list[int]:
    """Errors of the best alignment of two sequences, charged to the labels of `target`; their sum is the edit distance.

    A substituted or missing label costs 1. An inserted one is charged to the label before it, at the start to the first.
    An empty target has nobody to charge.
    """
    cost = _costs(heard, target)
    errors = [0] * len(target)
    i, j = len(heard), len(target)
    while target and (i or j):
        if i and j and cost[i][j] == cost[i - 1][j - 1] + (heard[i - 1] != target[j - 1]):
            errors[j - 1] += heard[i - 1] != target[j - 1]
            i, j = i - 1, j - 1
        elif j and cost[i][j] == cost[i][j - 1] + 1:
            errors[j - 1] += 1
            j -= 1
        else:
            errors[max(j - 1, 0)] += 1
            i -= 1
    return errors


def forced_path(
    log_probabilities: np.ndarray, target: Sequence[int], repeats_apart: bool = True
) -> tuple[np.ndarray, np.ndarray] | None:
    """The most probable path [T] through `log_probabilities` [T, K] that spells `target`, each label at least once.

    With `repeats_apart`, as CTC wants it, equal neighbours need a blank between them; a frame classifier, whose class 0
    is silence, needs none. Returns the class of every frame, 0 is the blank, and the place in `target` of the label it
    belongs to, -1 where it is blank. None where the target does not fit into the frames. Viterbi over the labels with
    blanks between them (Graves et al. 2006).
    """
    states = np.zeros(2 * len(target) + 1, dtype=int)
    states[1::2] = target
    skips = np.zeros(len(states), dtype=bool)
    skips[3::2] = (states[3::2] != states[1:-2:2]) | (not repeats_apart)
    scores = np.full(len(states), -np.inf)
    came_from = np.zeros((len(log_probabilities), len(states)), dtype=int)
    for frame, emitted in enumerate(log_probabilities[:, states]):
        if frame == 0:
            scores[:2] = emitted[:2]
            continue
        ways = np.full((3, len(states)), -np.inf)
        ways[0], ways[1, 1:] = scores, scores[:-1]
        ways[2, skips] = scores[np.flatnonzero(skips) - 2]
        came_from[frame] = ways.argmax(0)
        scores = ways.max(0) + emitted
    state = len(states) - 1 - int(len(states) > 1 and scores[-2] > scores[-1])
    if not len(log_probabilities) or scores[state] == -np.inf:
        return None
    path = np.zeros(len(log_probabilities), dtype=int)
    for frame in range(len(path) - 1, -1, -1):
        path[frame] = state
        state -= came_from[frame, state]
    return states[path], np.where(path % 2 == 1, path // 2, -1)


def owners(places: np.ndarray) -> np.ndarray:
    """Which label each frame [T] belongs to, given the frames that the labels themselves take (-1: blank).

    A blank belongs to the nearest label, the earlier one if both are as near; farther than REACH_FRAMES it is nobody's, -1.
    """
    taken = np.flatnonzero(places >= 0)
    if not len(taken):
        return places
    frames = np.arange(len(places))
    after = np.searchsorted(taken, frames).clip(max=len(taken) - 1)
    before = (after - 1).clip(min=0)
    nearest = np.where(np.abs(taken[before] - frames) <= np.abs(taken[after] - frames), taken[before], taken[after])
    return np.where(np.abs(nearest - frames) <= REACH_FRAMES, places[nearest], -1)


def spread(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Lay one value per label [..., U] on the frames that own it, `owner` [T]: [..., T], with the mean over frames sum / U.

    What belongs to labels without frames lies on all frames alike.
    """
    frames, labels = len(owner), values.shape[-1]
    result = np.zeros((*values.shape[:-1], frames))
    if not labels or not frames:
        return result
    counts = np.bincount(owner[owner >= 0], minlength=labels)
    result[..., owner >= 0] = (values / np.maximum(counts, 1))[..., owner[owner >= 0]]
    homeless = values[..., counts == 0].sum(-1, keepdims=True) / frames
    spread_out: np.ndarray = (result + homeless) * frames / labels
    return spread_out
