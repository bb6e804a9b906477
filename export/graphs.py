"""The two graphs that ship, as modules: a packet of any length per call, the whole stream state in one tensor in and out."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from codec.network.layers import State, flatten_state, rebuild_state


class Codec(Protocol):
    """What a network must offer to be exported; `codec.network.codec.Codec` does.

    States are nested tuples of float32 tensors whose sizes never change.
    """

    @property
    def decoder(self) -> nn.Module: ...  # it and the voice are the receiver: their weights give the decoder its id

    @property
    def voice(self) -> nn.Module: ...

    @property
    def delay_samples(self) -> int: ...

    @property
    def shift_samples(self) -> int: ...

    @property
    def memory_frames(self) -> int: ...

    def encode(self, samples: Tensor, state: State) -> tuple[Tensor, State]:
        """Samples [B, 1280 n] of one packet -> codes int64 [B, n, 8]."""

    def decode(self, codes: Tensor, lost: Tensor, state: State) -> tuple[Tensor, State]:
        """Codes [B, n, 8] and lost flags float32 [B, n] -> samples [B, 1280 n] in -1..1."""

    def encoder_state(self, batch: int) -> State: ...

    def decoder_state(self, batch: int) -> State: ...


class PackedState:
    """Packs the tensors of a stream's state into one row [1, S] and back. The state that a stream begins with becomes zeros."""

    def __init__(self, initial: State):
        self.initial = initial
        self.parts = flatten_state(initial)
        self.begin_with_zeros = [not part.any() for part in self.parts]

    @property
    def size(self) -> int:
        return sum(part.numel() for part in self.parts)

    def zeros(self) -> Tensor:
        """The row before the first packet."""
        return torch.zeros(1, self.size)

    def pack(self, state: State) -> Tensor:
        parts = zip(flatten_state(state), self.parts, self.begin_with_zeros, strict=True)
        return torch.cat([(part if zero else part - first).reshape(1, -1) for part, first, zero in parts], dim=1)

    def unpack(self, row: Tensor) -> State:
        rows = torch.split(row, [part.numel() for part in self.parts], dim=1)
        parts = zip(rows, self.parts, self.begin_with_zeros, strict=True)
        tensors = [part.view(first.shape) if zero else part.view(first.shape) + first for part, first, zero in parts]
        return rebuild_state(self.initial, tensors)


class EncoderStep(nn.Module):
    """pcm [1, 1280 n], state [1, S] -> codes int64 [1, n, 8], state [1, S]."""

    def __init__(self, codec: Codec):
        super().__init__()
        self.codec = codec
        self.packed = PackedState(codec.encoder_state(1))

    def forward(self, pcm: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        codes, after = self.codec.encode(pcm, self.packed.unpack(state))
        return codes, self.packed.pack(after)


class DecoderStep(nn.Module):
    """codes int64 [1, n, 8], lost bool [1, n], state [1, S] -> pcm [1, 1280 n], state [1, S]."""

    def __init__(self, codec: Codec):
        super().__init__()
        self.codec = codec
        self.packed = PackedState(codec.decoder_state(1))

    def forward(self, codes: Tensor, lost: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        pcm, after = self.codec.decode(codes, lost.to(torch.float32), self.packed.unpack(state))
        return pcm, self.packed.pack(after)


def decoder_id(codec: Codec) -> int:
    """16 bits that name the decoder: a hash of its weights in shipped precision and their shapes, whatever exported them.

    An encoder that was fine-tuned against a frozen decoder keeps the id, so that it talks to receivers in the field.
    """
    digest = hashlib.sha256()
    for part in (codec.decoder, codec.voice):
        weights: dict[str, Any] = part.state_dict()
        for name, tensor in sorted(weights.items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().to(torch.float32).numpy().tobytes())
    return int.from_bytes(digest.digest()[:2], "big")
