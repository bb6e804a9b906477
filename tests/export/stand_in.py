"""A codec with everything that makes export hard, at any size: packets of any length, and a state that is mostly keys and values.

Ear at 50 Hz (a running level that does not begin with zero, convolution with a stride, transformer that sees the packet and a
while before it), head, rounding; decoder and voice frame by frame, up to 100 Hz. Untrained: what it says means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.network.layers import CausalConv, Downsample, Stack, State, Upsample, blocks
from codec.network.quantizer import bound, codes_to_values, positions_to_codes
from stream.frame import CODE_DIMENSIONS, SAMPLES_PER_FRAME

EAR_FRAMES, VOICE_FRAMES = 4, 8  # in a frame of the code
NOT_SEEN = -1e4  # added to the score of what was never heard


@dataclass(frozen=True)
class Size:
    """Widths, numbers of layers, and frames of the ear that are remembered."""

    ear_width: int = 24
    ear_layers: int = 2
    heads: int = 2
    remembered: int = 40
    head_width: int = 16
    head_blocks: int = 2
    decoder_width: int = 16
    decoder_blocks: int = 2
    voice_width: int = 16
    voice_blocks: int = 2


def rotated(x: Tensor) -> Tensor:
    """Rotary positions, counted from the oldest: x [B, H, T, D] -> [B, H, T, D]."""
    half = x.shape[-1] // 2
    rates = 1e4 ** (-torch.arange(half, device=x.device, dtype=x.dtype) / half)
    angles = torch.arange(x.shape[2], device=x.device, dtype=x.dtype)[:, None] * rates
    cosine, sine = angles.cos(), angles.sin()
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1)


class PacketLayer(nn.Module):
    """Transformer layer whose frames see all of this call and `remembered` frames before it."""

    def __init__(self, width: int, heads: int, remembered: int):
        super().__init__()
        self.heads, self.remembered, self.width = heads, remembered, width
        self.norm, self.mixed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.expand, self.project = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def initial_state(self, batch: int) -> State:
        zeros = torch.zeros(batch, self.heads, self.remembered, self.width // self.heads)
        return zeros, zeros, torch.zeros(batch, 1, 1, self.remembered)  # the last: 1 where something was heard

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x [B, T, width] -> [B, T, width]."""
        keys, values, seen = state
        y = self.norm(x)
        query, key, value = (
            part(y).reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        keys, values = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
        seen = torch.cat([seen, torch.ones_like(x[:, None, None, :, 0])], dim=3)
        turned = rotated(keys)
        places = rotated(torch.cat([torch.zeros_like(keys[:, :, : self.remembered]), query], dim=2))[:, :, self.remembered :]
        mixed = F.scaled_dot_product_attention(places, turned, values, attn_mask=(1 - seen) * NOT_SEEN)
        x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
        x = x + self.project(F.gelu(self.expand(self.mixed_norm(x))))
        kept = -self.remembered
        return x, (keys[:, :, kept:], values[:, :, kept:], seen[..., kept:])


class StandIn(nn.Module):
    """Samples to codes to samples, with the interface that export asks for."""

    memory_frames = 100
    shift_samples = 320
    delay_samples = SAMPLES_PER_FRAME + shift_samples

    def __init__(self, size: Size = Size(), seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        stride = SAMPLES_PER_FRAME // EAR_FRAMES
        self.ear = Stack(
            CausalConv(1, size.ear_width, 2 * stride, stride=stride),
            *[PacketLayer(size.ear_width, size.heads, size.remembered) for _ in range(size.ear_layers)],
        )
        self.head = Stack(
            Downsample(size.ear_width, size.head_width, EAR_FRAMES),
            *blocks(size.head_blocks, size.head_width, kernel=5, expansion=4),
        )
        self.positions = nn.Linear(size.head_width, CODE_DIMENSIONS)
        self.decoder = Stack(
            linear(CODE_DIMENSIONS + 1, size.decoder_width),
            *blocks(size.decoder_blocks, size.decoder_width, kernel=5, expansion=4),
            Upsample(size.decoder_width, size.voice_width, VOICE_FRAMES),
        )
        self.voice = Stack(
            *blocks(size.voice_blocks, size.voice_width, kernel=7, expansion=4),
            Upsample(size.voice_width, SAMPLES_PER_FRAME // VOICE_FRAMES, 1),
        )
        with torch.no_grad():  # as it is drawn, a network hardly hears what is around a frame
            self.positions.weight *= 8
            for layer in self.ear.layers[1:]:
                layer.out.weight *= 8

    def encoder_state(self, batch: int) -> State:
        return self.ear.initial_state(batch), self.head.initial_state(batch), torch.full((batch, 1), 0.01)

    def decoder_state(self, batch: int) -> State:
        return self.decoder.initial_state(batch), self.voice.initial_state(batch)

    def encode(self, samples: Tensor, state: State) -> tuple[Tensor, State]:
        """Samples [B, 1280 n] -> codes [B, n, 8]."""
        power = 0.9 * state[2] + 0.1 * samples.square().mean(1, keepdim=True)
        heard, ear = self.ear((samples * torch.rsqrt(power + 1e-4)).unsqueeze(2), state[0])
        known, head = self.head(heard, state[1])
        return positions_to_codes(bound(self.positions(known))), (ear, head, power)

    def decode(self, codes: Tensor, lost: Tensor, state: State) -> tuple[Tensor, State]:
        """Codes [B, n, 8] and lost flags [B, n] -> samples [B, 1280 n]."""
        flags = lost.unsqueeze(2)
        x = torch.cat([codes_to_values(codes) * (1 - flags), flags], dim=2)
        known, decoder = self.decoder(x, state[0])
        drawn, voice = self.voice(known, state[1])
        return torch.tanh(drawn).reshape(len(codes), -1), (decoder, voice)


def linear(inputs: int, outputs: int) -> Upsample:
    """A linear layer with the interface of a stack's layers."""
    return Upsample(inputs, outputs, 1)
