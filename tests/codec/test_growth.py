"""A codec that grows computes what it computed before, and its new blocks learn."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from codec.config import ModelConfig
from codec.growth import grow
from codec.model import MelCodec
from codec.run import RunError

SMALL = ModelConfig(
    mels=16, encoder_widths=(8, 12), encoder_blocks=(1, 2), decoder_widths=(12, 8), decoder_blocks=(2, 1), kernel=3, expansion=2
)
LARGE = dataclasses.replace(SMALL, encoder_blocks=(3, 4), decoder_blocks=(3, 2))
SOURCE = Path("small")


def small_and_large() -> tuple[MelCodec, MelCodec]:
    torch.manual_seed(3)
    small, large = MelCodec(SMALL), MelCodec(LARGE)
    grow(large, small.state_dict(), SMALL, LARGE, SOURCE)
    return small, large


def outputs(codec: MelCodec) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    mel = torch.randn(2, 32, SMALL.mels, generator=generator)
    values = torch.randn(2, 8, 8, generator=generator)
    positions, _ = codec.encoder(mel, codec.encoder.initial_state(2))
    decoded, _ = codec.decoder(values, torch.zeros(2, 8), codec.decoder.initial_state(2))
    return positions, decoded


def test_a_grown_codec_computes_exactly_what_the_small_one_did() -> None:
    small, large = small_and_large()
    assert sum(p.numel() for p in large.parameters()) > sum(p.numel() for p in small.parameters())
    for before, after in zip(outputs(small), outputs(large), strict=True):
        assert torch.equal(before, after)


def test_every_added_block_learns_from_the_first_step() -> None:
    _, large = small_and_large()
    sum(output.square().sum() for output in outputs(large)).backward()
    projections = [p for name, p in large.named_parameters() if ".project.weight" in name and "layers" in name]
    assert len(projections) == sum((*LARGE.encoder_blocks, *LARGE.decoder_blocks))
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in projections)


def test_the_same_shape_is_a_plain_copy() -> None:
    torch.manual_seed(5)
    one, other = MelCodec(SMALL), MelCodec(SMALL)
    grow(other, one.state_dict(), SMALL, SMALL, SOURCE)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    "other",
    [dataclasses.replace(SMALL, decoder_blocks=(1, 1)), dataclasses.replace(SMALL, encoder_widths=(8, 16), decoder_widths=(16, 8))],
)
def test_a_codec_does_not_shrink_or_change_its_widths(other: ModelConfig) -> None:
    with pytest.raises(RunError, match="small"):
        grow(MelCodec(other), MelCodec(SMALL).state_dict(), SMALL, other, SOURCE)


def test_weights_of_before_feedback_get_one_that_changes_nothing() -> None:
    torch.manual_seed(6)
    known, codec = MelCodec(SMALL), MelCodec(SMALL)
    without = {name: tensor for name, tensor in known.state_dict().items() if ".feedback." not in name}
    torch.nn.init.ones_(codec.encoder.feedback.known.weight)
    grow(codec, without, SMALL, SMALL, SOURCE)
    assert all(torch.equal(before, after) for before, after in zip(outputs(known), outputs(codec), strict=True))
    assert codec.encoder.feedback.known.weight.min() == 1
