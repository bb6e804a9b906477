"""Causal layers as pure functions of input and state: `y, state = layer(x, state)`.

x is [B, T, C] and state is a tensor or a tuple of states; `initial_state(batch)` is the state before the first frame.
Training calls a layer once with a long x, streaming calls it frame by frame, ONNX exports the same call: no second
network exists. No layer looks ahead; what the codec calls look-ahead is a delay of its target.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = Tensor | tuple["State", ...]


class CausalConv(nn.Module):
    """Convolution over time whose output frame sees no later input frame.

    Args:
        inputs, outputs: channels; kernel, dilation: frames; stride: input frames per output frame.
        depthwise: every channel on its own (inputs == outputs).

    The state holds the `(kernel - 1) * dilation + 1 - stride` newest input frames that the next output still sees.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1, depthwise: bool = False):
        super().__init__()
        self.context = (kernel - 1) * dilation + 1 - stride
        if self.context < 0:
            raise ValueError(f"kernel {kernel} x dilation {dilation} is shorter than stride {stride}; it would skip frames")
        self.stride, self.dilation = stride, dilation
        self.groups = inputs if depthwise else 1
        self.channels = inputs
        # [O, I, 1, K]: as a two-dimensional convolution over a channels-last view, depthwise training on a CPU is
        # several times faster than Conv1d and needs no copy of the transposed input.
        self.weight = nn.Parameter(torch.empty(outputs, inputs // self.groups, 1, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.trunc_normal_(self.weight, std=(kernel * inputs // self.groups) ** -0.5)

    def initial_state(self, batch: int) -> Tensor:
        return self.weight.new_zeros(batch, self.context, self.channels)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x [B, T, inputs], T a multiple of the stride -> [B, T / stride, outputs]."""
        assert isinstance(state, Tensor)
        x = torch.cat([state.to(x.dtype), x], dim=1)
        y = F.conv2d(x.transpose(1, 2).unsqueeze(2), self.weight, self.bias, (1, self.stride), 0, (1, self.dilation), self.groups)
        return y.squeeze(2).transpose(1, 2), x[:, x.shape[1] - self.context :]


class Block(nn.Module):
    """ConvNeXt block: depthwise causal convolution, then a two-layer perceptron per frame, added to the input.

    Follows Liu et al. 2022 (arXiv 2201.03545) with one learned residual scale per channel, started small so that a
    deep stack begins as the identity.
    """

    def __init__(self, width: int, kernel: int, expansion: int, dilation: int = 1):
        super().__init__()
        self.mix = CausalConv(width, width, kernel, dilation=dilation, depthwise=True)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, expansion * width)
        self.project = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.2))

    def initial_state(self, batch: int) -> Tensor:
        return self.mix.initial_state(batch)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x [B, T, width] -> [B, T, width]."""
        y, state = self.mix(x, state)
        y = self.project(F.gelu(self.expand(self.norm(y))))
        return x + self.scale * y, state


class Downsample(nn.Module):
    """Join `factor` frames into one: [B, T, inputs] -> [B, T / factor, outputs]."""

    def __init__(self, inputs: int, outputs: int, factor: int):
        super().__init__()
        self.factor = factor
        self.linear = nn.Linear(inputs * factor, outputs)

    def initial_state(self, batch: int) -> State:
        return ()

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self.linear(x.reshape(x.shape[0], x.shape[1] // self.factor, -1)), state


class Upsample(nn.Module):
    """Split each frame into `factor` frames: [B, T, inputs] -> [B, T * factor, outputs]."""

    def __init__(self, inputs: int, outputs: int, factor: int):
        super().__init__()
        self.outputs = outputs
        self.factor = factor
        self.linear = nn.Linear(inputs, outputs * factor)

    def initial_state(self, batch: int) -> State:
        return ()

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self.linear(x).reshape(x.shape[0], x.shape[1] * self.factor, self.outputs), state


class Stack(nn.Module):
    """Layers one after another; the state is the tuple of their states."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def initial_state(self, batch: int) -> State:
        return tuple(layer.initial_state(batch) for layer in self.layers)  # type: ignore[operator]

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self.part(x, state, 0, len(self.layers))

    def part(self, x: Tensor, state: State, first: int, last: int) -> tuple[Tensor, tuple[State, ...]]:
        """Layers `first` to `last` - 1 alone, with the state of the whole stack; returns their part of the new state."""
        states: list[State] = []
        for index in range(first, last):
            x, after = self.layers[index](x, state[index])
            states.append(after)
        return x, tuple(states)


def blocks(count: int, width: int, kernel: int, expansion: int) -> list[nn.Module]:
    """`count` blocks of one width."""
    return [Block(width, kernel, expansion) for _ in range(count)]


def flatten_state(state: State) -> list[Tensor]:
    """The tensors of a state in a fixed order."""
    if isinstance(state, Tensor):
        return [state]
    return [tensor for part in state for tensor in flatten_state(part)]


def rebuild_state(like: State, tensors: list[Tensor]) -> State:
    """Inverse of `flatten_state` for a state of the same structure; takes tensors from the front of the list."""
    if isinstance(like, Tensor):
        return tensors.pop(0)
    return tuple(rebuild_state(part, tensors) for part in like)
