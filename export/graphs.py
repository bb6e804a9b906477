"""The two graphs that ship, as modules: one frame per call, the whole stream state in one tensor in and out."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from codec.model import Codec
from codec.network.layers import State, flatten_state, rebuild_state


class PackedState:
    """Packs the tensors of a stream's state into one row [1, S] and back."""

    def __init__(self, example: State):
        self.example = example
        self.shapes = [tuple(tensor.shape) for tensor in flatten_state(example)]
        self.sizes = [tensor.numel() for tensor in flatten_state(example)]

    def pack(self, state: State) -> Tensor:
        return torch.cat([tensor.reshape(1, -1) for tensor in flatten_state(state)], dim=1)

    def unpack(self, row: Tensor) -> State:
        parts = torch.split(row, self.sizes, dim=1)
        return rebuild_state(self.example, [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)])


class EncoderStep(nn.Module):
    """pcm [1, 1280], state [1, S] -> codes int64 [1, 8], state [1, S]."""

    def __init__(self, codec: Codec):
        super().__init__()
        self.codec = codec
        self.packed = PackedState(codec.encoder_state(1))

    def initial_state(self) -> Tensor:
        return self.packed.pack(self.codec.encoder_state(1))

    def forward(self, pcm: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        codes, after = self.codec.encode(pcm, self.packed.unpack(state))
        return codes[:, 0], self.packed.pack(after)


class DecoderStep(nn.Module):
    """codes int64 [1, 8], lost bool [1, 1], state [1, S] -> pcm [1, 1280], state [1, S]."""

    def __init__(self, codec: Codec):
        super().__init__()
        self.codec = codec
        self.packed = PackedState(codec.decoder_state(1))

    def initial_state(self) -> Tensor:
        return self.packed.pack(self.codec.decoder_state(1))

    def forward(self, codes: Tensor, lost: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        pcm, after = self.codec.decode(codes.unsqueeze(1), lost.to(torch.float32), self.packed.unpack(state))
        return pcm, self.packed.pack(after)


def decoder_id(codec: Codec) -> int:
    """16 bits that name the decoder: a hash of its weights and their shapes, whatever exported them.

    An encoder that was fine-tuned against a frozen decoder keeps the id, so that it talks to receivers in the field.
    """
    digest = hashlib.sha256()
    for part in (codec.mel_codec.decoder, codec.vocoder):
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().to(torch.float32).numpy().tobytes())
    return int.from_bytes(digest.digest()[:2], "big")
