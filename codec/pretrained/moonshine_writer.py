"""The half of Moonshine tiny that writes words, as a differentiable network.

Six transformer layers write one token (a piece of a word) after the other from those before it and from what the encoder
(codec/network/ear.py) hears. How probable the words of the original are from decoded speech is as near to a word error as
a gradient comes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.network.ear import HEADS, LAYERS, WIDTH, heads, rotate

TOKENS = 32768
BEGIN, END = 1, 2
# The layer and the heads that look where the next token is said: over twelve utterances their places rise with the token's
# number (correlation 0.98 and 0.99), within 60 to 110 ms.
FOLLOWING_LAYER, FOLLOWING_HEADS = 3, (0, 2, 5)
Past = tuple[Tensor, Tensor]  # keys and values [B, heads, L, 36] of what was written


class CrossAttention(nn.Module):
    """Attention of [B, L, 288] to other keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))

    def past(self, x: Tensor) -> Past:
        """Keys and values of [B, T, 288]."""
        return heads(self.k_proj(x)), heads(self.v_proj(x))

    def weights(self, x: Tensor, heard: Past) -> Tensor:
        """Where each of L places looks: [B, heads, L, T], one in sum over T."""
        return torch.softmax((heads(self.q_proj(x)) @ heard[0].transpose(2, 3)).float() * (WIDTH // HEADS) ** -0.5, 3)

    def forward(self, x: Tensor, heard: Past) -> Tensor:
        x = F.scaled_dot_product_attention(heads(self.q_proj(x)), *heard)
        return torch.as_tensor(self.o_proj(x.transpose(1, 2).flatten(2)))


class WrittenAttention(CrossAttention):
    """Attention to what is written already, each token to itself and those before it."""

    def read(self, x: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        """[B, L, 288] after `past` -> the same shape, and the past with it."""
        first = 0 if past is None else past[0].shape[2]
        places = torch.arange(first, first + x.shape[1], device=x.device)
        q, (k, v) = rotate(heads(self.q_proj(x)), places), self.past(x)
        k = rotate(k, places)
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
        x = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)  # one token at a time has no future
        return torch.as_tensor(self.o_proj(x.transpose(1, 2).flatten(2))), (k, v)


class GatedMLP(nn.Module):
    """Feed-forward half of a layer with a gate (SwiGLU, Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 8 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.fc1(x).chunk(2, 2)
        return torch.as_tensor(self.fc2(F.silu(gate) * x))


class WriterLayer(nn.Module):
    """Reads what is written, then what is heard, then thinks."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(WIDTH, bias=False)
        self.self_attn = WrittenAttention()
        self.post_attention_layernorm = nn.LayerNorm(WIDTH, bias=False)
        self.encoder_attn = CrossAttention()
        self.final_layernorm = nn.LayerNorm(WIDTH, bias=False)
        self.mlp = GatedMLP()

    def forward(self, x: Tensor, heard: Past, past: Past | None) -> tuple[Tensor, Past]:
        read, past = self.self_attn.read(self.input_layernorm(x), past)
        x = x + read
        x = x + self.encoder_attn(self.post_attention_layernorm(x), heard)
        return x + torch.as_tensor(self.mlp(self.final_layernorm(x))), past

    def looks(self, x: Tensor, heard: Past) -> Tensor:
        """Where this layer looks when it reads what is heard: [B, heads, L, T]."""
        x = x + self.self_attn.read(self.input_layernorm(x), None)[0]
        return self.encoder_attn.weights(self.post_attention_layernorm(x), heard)


class MoonshineWriter(nn.Module):
    """Tokens written so far [B, L] and what is heard [B, T, 288] -> scores of the next token after each: [B, L, TOKENS].

    Names are those of the exported network.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(TOKENS, WIDTH)
        self.layers = nn.ModuleList(WriterLayer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        self.proj_out = nn.Linear(WIDTH, TOKENS, bias=False)

    @property
    def _writing(self) -> list[WriterLayer]:
        return [layer for layer in self.layers if isinstance(layer, WriterLayer)]

    def _heard(self, heard: Tensor) -> list[Past]:
        return [layer.encoder_attn.past(heard) for layer in self._writing]

    def forward(self, tokens: Tensor, heard: Tensor) -> Tensor:
        x = self.embed_tokens(tokens)
        for layer, keys in zip(self.layers, self._heard(heard), strict=True):
            x, _ = layer(x, keys, None)
        return torch.as_tensor(self.proj_out(self.norm(x)))

    @torch.no_grad()
    def places(self, tokens: Tensor, heard: Tensor) -> Tensor:
        """Where the token after each of `tokens` [B, L] is said in what is heard [B, T, 288]: [B, L, T], one in sum over T."""
        x, following = self.embed_tokens(tokens), self._writing[FOLLOWING_LAYER]
        for layer in self._writing[:FOLLOWING_LAYER]:
            x, _ = layer(x, layer.encoder_attn.past(heard), None)
        return torch.as_tensor(following.looks(x, following.encoder_attn.past(heard))[:, FOLLOWING_HEADS].mean(1))

    @torch.no_grad()
    def write(self, heard: Tensor, longest: int) -> Tensor:
        """The most probable token after the most probable one: [B, L] from BEGIN on, END where nothing follows, L <= longest."""
        with torch.autocast(heard.device.type, enabled=False):
            keys = self._heard(heard.to(self.norm.weight.dtype))
            pasts: list[Past | None] = [None] * LAYERS
            tokens = torch.full((len(heard), 1), BEGIN, device=heard.device)
            while tokens.shape[1] < longest and not bool((tokens[:, -1] == END).all()):
                x = self.embed_tokens(tokens[:, -1:])
                for number, layer in enumerate(self.layers):
                    x, pasts[number] = layer(x, keys[number], pasts[number])
                following = self.proj_out(self.norm(x)).argmax(2)
                tokens = torch.cat((tokens, following.masked_fill(tokens[:, -1:] == END, END)), 1)
        return tokens
