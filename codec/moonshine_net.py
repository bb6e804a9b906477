"""Moonshine tiny as a differentiable network: a recogniser of everyday strength that tells training what is understood.

Jeffries et al. 2024, arXiv 2410.15608: three convolutions take 16 kHz samples to 41.7 Hz, six transformer layers listen in
both directions; codec/moonshine_writer.py is the half that writes words from it. Weights come from the package of the extra
`moonshine` (MIT licence, codec/moonshine_weights.py); gradients pass through to the samples.

A model that has learnt from this recogniser must not be judged by it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEADS, LAYERS = 288, 8, 6
ROTATED = 32  # of the 36 dimensions of a head
STEP_SAMPLES = 64 * 3 * 2  # 24 ms per frame
REACH_SAMPLES = 127 + 64 * (6 + 3 * 2)  # samples that one frame hears before the transformer


def rotate(x: Tensor, first: int = 0) -> Tensor:
    """Rotary positions (Su et al. 2021, arXiv 2104.09864) of [B, heads, T, 36] from place `first` on, pairs side by side."""
    rates = 10_000 ** -(torch.arange(0, ROTATED, 2, device=x.device) / ROTATED)
    angles = torch.outer(torch.arange(first, first + x.shape[2], device=x.device), rates)
    cosine, sine = angles.cos(), angles.sin()
    turned, rest = x[..., :ROTATED], x[..., ROTATED:]
    even, odd = turned[..., 0::2], turned[..., 1::2]
    pairs = torch.stack((even * cosine - odd * sine, odd * cosine + even * sine), -1).flatten(-2)
    return torch.cat((pairs.to(x.dtype), rest), -1)


class Attention(nn.Module):
    """Multi-head self-attention of [B, T, 288] in both directions, without biases."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (project(x).unflatten(2, (HEADS, -1)).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj))
        x = F.scaled_dot_product_attention(rotate(q), rotate(k), v)
        return torch.as_tensor(self.o_proj(x.transpose(1, 2).flatten(2)))


class MLP(nn.Module):
    """The feed-forward half of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.fc2(F.gelu(self.fc1(x))))


class Layer(nn.Module):
    """Attention and MLP, each added to what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(WIDTH, bias=False)
        self.self_attn = Attention()
        self.post_attention_layernorm = nn.LayerNorm(WIDTH, bias=False)
        self.mlp = MLP()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x))
        return x + torch.as_tensor(self.mlp(self.post_attention_layernorm(x)))


class MoonshineEncoder(nn.Module):
    """Samples [B, N] in -1..1 -> what is heard every 24 ms: [B, T, 288] after each layer and, last, after the final norm.

    Names are those of the exported network.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, WIDTH, 127, 64, bias=False)
        self.groupnorm = nn.GroupNorm(1, WIDTH)
        self.conv2 = nn.Conv1d(WIDTH, 2 * WIDTH, 7, 3)
        self.conv3 = nn.Conv1d(2 * WIDTH, WIDTH, 3, 2)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.layer_norm = nn.LayerNorm(WIDTH, bias=False)

    def forward(self, samples: Tensor) -> list[Tensor]:
        x = self.groupnorm(torch.tanh(self.conv1(samples.unsqueeze(1))))
        x = F.gelu(self.conv3(F.gelu(self.conv2(x)))).transpose(1, 2)
        hidden = []
        for layer in self.layers:
            x = layer(x)
            hidden.append(x)
        return [*hidden, self.layer_norm(x)]
