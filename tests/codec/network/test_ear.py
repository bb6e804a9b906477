"""The ear hears a packet whole and nothing after it, and the same in packets as at once."""

from __future__ import annotations

import pytest
import torch

from codec.network.ear import FRAMES_PER_CODE, MEMORY_FRAMES, OFFSETS, Ear, RunningNorm, block_mask, from_moonshine
from codec.network.layers import flatten_state
from stream.frame import SAMPLES_PER_FRAME


@pytest.fixture(scope="module")
def ear() -> Ear:
    torch.manual_seed(1)
    return Ear().eval().requires_grad_(False)


def speech(codes: int, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(1, codes * SAMPLES_PER_FRAME, generator=generator)


def in_packets(ear: Ear, samples: torch.Tensor, codes: list[int]) -> torch.Tensor:
    state, heard, begin = ear.initial_state(1), [], 0
    for count in codes:
        features, state = ear(samples[:, begin : begin + count * SAMPLES_PER_FRAME], state)
        heard.append(features)
        begin += count * SAMPLES_PER_FRAME
    return torch.cat(heard, 1)


@pytest.mark.parametrize("codes", [4, 8, 12])
def test_packets_one_by_one_are_the_whole(ear: Ear, codes: int) -> None:
    samples = speech(24)
    whole = ear.whole(samples, codes * FRAMES_PER_CODE)
    assert torch.allclose(in_packets(ear, samples, [codes] * (24 // codes)), whole, atol=1e-4)


def test_beyond_its_memory_packets_are_still_the_whole(ear: Ear) -> None:
    codes = 12
    count = MEMORY_FRAMES // (codes * FRAMES_PER_CODE) + 3
    samples = speech(codes * count)
    assert torch.allclose(in_packets(ear, samples, [codes] * count), ear.whole(samples, codes * FRAMES_PER_CODE), atol=1e-4)


def test_nothing_after_a_packet_is_heard_in_it(ear: Ear) -> None:
    samples = speech(16)
    changed = samples.clone()
    changed[:, 8 * SAMPLES_PER_FRAME :] = 0
    before = 8 * FRAMES_PER_CODE
    first, second = (ear.whole(each, before) for each in (samples, changed))
    assert torch.equal(first[:, :before], second[:, :before])
    assert not torch.allclose(first[:, before:], second[:, before:], atol=1e-3)


def test_the_end_of_a_packet_is_heard_at_its_beginning(ear: Ear) -> None:
    samples = speech(8)
    changed = samples.clone()
    changed[:, -SAMPLES_PER_FRAME:] = 0
    assert not torch.allclose(ear.whole(samples, 32)[:, 0], ear.whole(changed, 32)[:, 0], atol=1e-4)


def test_a_packet_of_any_size_continues_the_state(ear: Ear) -> None:
    state = ear.initial_state(1)
    sizes = [tensor.shape for tensor in flatten_state(state)]
    for count in (1, 7, 12):
        features, state = ear(speech(count), state)
        assert features.shape == (1, count * FRAMES_PER_CODE, 576)
        assert [tensor.shape for tensor in flatten_state(state)] == sizes


def test_mask_shows_eight_seconds_before_the_packet() -> None:
    mask = block_mask(MEMORY_FRAMES + 96, torch.tensor(32))
    last = mask[-1]
    begin = (MEMORY_FRAMES + 96) // 32 * 32 - MEMORY_FRAMES  # of the memory of the block that the last frame is in
    assert not last[:begin].any() and last[begin:].all()


def test_running_norm_is_the_norm_of_what_was_heard_in_the_long_run() -> None:
    norm = RunningNorm(4, 24)
    generator = torch.Generator().manual_seed(3)
    x = 0.3 + 2 * torch.randn(1, 24 * 400, 4, generator=generator)
    y, state = norm(x, norm.initial_state(1))
    assert float(y[:, -2400:].mean()) == pytest.approx(0, abs=0.02)
    assert float(y[:, -2400:].std()) == pytest.approx(1, abs=0.02)
    assert isinstance(state, torch.Tensor) and state.shape == (1, 3)


def test_first_filters_are_moonshines_at_three_offsets() -> None:
    """The same filter over the same samples, whichever of the three computes it."""
    generator = torch.Generator().manual_seed(4)
    kernel = torch.randn(288, 1, 127, generator=generator)
    names = {"conv1.weight": kernel, "groupnorm.weight": torch.ones(288), "groupnorm.bias": torch.zeros(288)}
    names |= {"conv2.weight": torch.zeros(576, 288, 7), "conv2.bias": torch.zeros(576), "layer_norm.weight": torch.ones(288)}
    names |= {"conv3.weight": torch.zeros(288, 576, 3), "conv3.bias": torch.zeros(288)}
    ear = Ear()
    ear.load_state_dict(from_moonshine(names), strict=False)
    samples = torch.randn(1, 1280, generator=generator)
    found, _ = ear.stem.filters(samples.unsqueeze(2), ear.stem.filters.initial_state(1))
    padded = torch.cat((torch.zeros(1, ear.stem.filters.context), samples), 1)
    for step in (0, 3):
        for index, offset in enumerate(OFFSETS):
            begin = 160 * step + offset
            by_hand = kernel[:, 0] @ padded[0, begin : begin + 127]
            assert torch.allclose(found[0, step, 288 * index : 288 * (index + 1)], by_hand, atol=1e-3)
