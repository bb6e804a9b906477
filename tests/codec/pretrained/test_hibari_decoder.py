"""hibari's decoder in torch: it gives what the graph gives, but for the graph's 8-bit products."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codec.data.phonemes import text_to_ids
from codec.pretrained.hibari import SPECTRA, Hibari
from codec.pretrained.hibari_decoder import load_decoder

pytest.importorskip("hibari")
torch.set_num_threads(1)


def test_equals_the_graph() -> None:
    spoken = Hibari().speak(text_to_ids("Seven ships sailed home."))
    found = load_decoder()(torch.from_numpy(spoken.decoder_input)[None])
    for name in SPECTRA:
        ours, theirs = found[name][0].numpy(), spoken.spectra[name]
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).mean() < 0.02 * theirs.std(), name
        assert np.abs(ours - theirs).max() < 0.8, name


def test_gradients_reach_its_input() -> None:
    given = torch.zeros(1, 130, 9, requires_grad=True)
    load_decoder()(given)["lh"].sum().backward()
    assert given.grad is not None and bool(given.grad.abs().sum() > 0)
