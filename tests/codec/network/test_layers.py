"""Every layer, the head and the decoder: causal, and the same in any chunking."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from codec.network.decoder import Decoder
from codec.network.encoder import Head
from codec.network.layers import Block, CausalConv, Downsample, Stack, State, Upsample, flatten_state, rebuild_state

TOLERANCE = 1e-5


class LossyDecoder(nn.Module):
    """The decoder with every third frame lost, as a function of one input."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = Decoder((24, 16, 16), (2, 1, 1), 5)
        nn.init.normal_(self.decoder.lost)

    def initial_state(self, batch: int) -> State:
        return self.decoder.initial_state(batch)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        scores, state = self.decoder(x[..., :8], x[..., 8] > 0.5, state)
        rest = torch.stack((scores.pitch, scores.voiced, scores.energy, scores.size), 2)
        return torch.cat((scores.phones, scores.stress, rest), 2), state


# name -> (layer, input shape without batch for one step, output steps per input step)
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], float]] = {
    **{
        f"conv-k{k}-s{s}-d{d}{'-depthwise' if depthwise else ''}": (
            lambda k=k, s=s, d=d, depthwise=depthwise: CausalConv(6, 6, k, stride=s, dilation=d, depthwise=depthwise),
            (s, 6),
            1,
        )
        for k, s, d in ((1, 1, 1), (3, 1, 1), (7, 1, 1), (7, 1, 3), (4, 2, 1), (5, 3, 2), (2, 2, 1))
        for depthwise in (False, True)
    },
    "block": (lambda: Block(6, 7, 3), (1, 6), 1),
    "block-dilated": (lambda: Block(6, 3, 2, dilation=2), (1, 6), 1),
    "downsample": (lambda: Downsample(6, 5, 4), (4, 6), 1),
    "upsample": (lambda: Upsample(6, 5, 4), (1, 6), 4),
    "stack": (lambda: Stack(Downsample(6, 8, 2), Block(8, 5, 2), Upsample(8, 4, 2)), (2, 6), 2),
    "head": (lambda: Head(16, 2, inputs=12), (4, 12), 1),
    "decoder-with-losses": (LossyDecoder, (1, 9), 4),
}


def build(name: str) -> tuple[nn.Module, Tensor, int, int]:
    """A layer, 12 steps of input [2, ...], input frames per step, output frames per step."""
    torch.manual_seed(0)
    make, shape, outputs = CASES[name]
    layer = make().eval().requires_grad_(False)
    steps = 12
    return layer, torch.rand(2, steps * shape[0], *shape[1:]), shape[0], int(outputs)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("chunks", [(1,) * 12, (5, 1, 6), (2, 10)], ids=str)
def test_chunks_equal_whole(name: str, chunks: tuple[int, ...]) -> None:
    layer, x, inputs, _ = build(name)
    whole, end = layer(x, layer.initial_state(2))
    state, parts, start = layer.initial_state(2), [], 0
    for chunk in chunks:
        part, state = layer(x[:, start : start + chunk * inputs], state)
        parts.append(part)
        start += chunk * inputs
    assert (torch.cat(parts, dim=1) - whole).abs().max() < TOLERANCE
    for kept, expected in zip(flatten_state(state), flatten_state(end), strict=True):
        assert kept.shape == expected.shape
        assert kept.numel() == 0 or (kept - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_the_future_changes_nothing(name: str) -> None:
    layer, x, inputs, outputs = build(name)
    before, _ = layer(x, layer.initial_state(2))
    for step in (1, 5, 11):
        changed = x.clone()
        changed[:, step * inputs :] = 1 - changed[:, step * inputs :]
        after, _ = layer(changed, layer.initial_state(2))
        assert torch.equal(after[:, : step * outputs], before[:, : step * outputs])
        assert not torch.equal(after[:, step * outputs :], before[:, step * outputs :])


def test_a_kernel_shorter_than_its_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="skip frames"):
        CausalConv(4, 4, 2, stride=3)


def test_states_flatten_and_rebuild() -> None:
    state = LossyDecoder().initial_state(1)
    numbered = [torch.full_like(tensor, i) for i, tensor in enumerate(flatten_state(state))]
    again = flatten_state(rebuild_state(state, list(numbered)))
    assert all(torch.equal(a, b) for a, b in zip(again, numbered, strict=True))
