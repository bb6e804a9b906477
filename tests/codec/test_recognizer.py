"""The recogniser: errors counted by hand, and what hides parts of its input."""

from __future__ import annotations

import torch

from codec.alignment import edit_distance
from codec.recognizer import ctc_errors
from codec.tasks.recognizer import masks_of


def test_ctc_errors_by_hand() -> None:
    assert edit_distance([1, 2, 3], [1, 3]) == 1 and edit_distance([], [4, 5]) == 2 and edit_distance([1, 2], [2, 1]) == 2
    path = torch.full((1, 6, 5), -9.0)
    for frame, phone in enumerate([1, 1, 0, 1, 2, 3]):
        path[0, frame, phone] = 0
    assert ctc_errors(path, torch.tensor([5]), [[1, 1, 2, 4]]) == (1, 4)


def test_masks_hide_a_part() -> None:
    torch.manual_seed(0)
    hidden = (masks_of(4, 100, 80) == 0).float().mean(dim=(1, 2))
    assert (hidden > 0).all() and (hidden < 0.7).all()
