"""The ear: Moonshine tiny's encoder (Jeffries et al. 2024, arXiv 2410.15608), made causal in blocks.

A packet's frames leave together, so all of them may hear the whole packet, and MEMORY_FRAMES before it, and nothing after it.
Two things differ from the recogniser that the weights come from:

* It steps by 20 ms instead of 24: its first filters are applied at three offsets every 160 samples, which gives them 300 times
  a second in place of 250, each over the same 127 samples. Frames then divide packets, and the network hears the same speech
  a fifth slower.
* Its group norm took mean and variance over the whole utterance, the future included. Here they are running sums that forget
  with NORM_MEMORY_S and begin with a prior.

`y, state = ear(samples, state, block_frames)` serves training, with the blocks of many packets side by side, and streaming, one
packet per call; the state holds samples and frames that the convolutions still need, the sums, keys and values.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.network.layers import CausalConv, State
from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

WIDTH, HEADS, LAYERS = 288, 8, 6
ROTATED = 32  # of the 36 dimensions of a head
FILTER_SAMPLES = 127
OFFSETS = (0, 53, 107)  # of the filters within STEP_SAMPLES: thirds, rounded to samples
STEP_SAMPLES = 160
SAMPLES_PER_EAR_FRAME = 320
FRAMES_PER_CODE = SAMPLES_PER_FRAME // SAMPLES_PER_EAR_FRAME
MEMORY_FRAMES = 400  # 8 s before the packet
FEATURES = 2 * WIDTH
MIDDLE_LAYER = 3  # whose output is heard beside the last one's: the fourth
NORM_MEMORY_S = 10.0
NORM_PRIOR_CODES = 6.25  # half a second's worth of codes of 80 ms
NORM_PRIOR = (1.6e-5, 0.0109)  # mean and mean square after the filters of levelled speech


def rotate(x: Tensor, positions: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021, arXiv 2104.09864) of x [B, heads, T, 36], pairs side by side; positions [T]."""
    rates = 10_000 ** -(torch.arange(0, ROTATED, 2, device=x.device) / ROTATED)
    angles = positions.to(torch.float32).unsqueeze(1) * rates
    cosine, sine = angles.cos(), angles.sin()
    turned, rest = x[..., :ROTATED], x[..., ROTATED:]
    even, odd = turned[..., 0::2], turned[..., 1::2]
    pairs = torch.stack((even * cosine - odd * sine, odd * cosine + even * sine), -1).flatten(-2)
    return torch.cat((pairs.to(x.dtype), rest), -1)


def heads(x: Tensor) -> Tensor:
    """[B, T, 288] -> [B, heads, T, 36]."""
    return x.reshape(*x.shape[:2], HEADS, -1).transpose(1, 2)


class RunningNorm(nn.Module):
    """Group norm of one group over all channels whose mean and variance are sums over the past, the code of 80 ms included.

    The state [B, 3] holds a count of codes, and the sums of means and mean squares over them, each forgotten alike.
    """

    def __init__(self, width: int, frames_per_code: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.frames_per_code = frames_per_code
        self.forget = math.exp(-SAMPLES_PER_FRAME / SAMPLE_RATE_HZ / NORM_MEMORY_S)

    def initial_state(self, batch: int) -> Tensor:
        mean, square = NORM_PRIOR
        prior = torch.tensor([1.0, mean, square], device=self.weight.device) * NORM_PRIOR_CODES
        return prior.repeat(batch, 1)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x [B, frames_per_code T, width] -> the same shape, float32."""
        assert isinstance(state, Tensor)
        x = x.float()
        codes = x.reshape(x.shape[0], -1, self.frames_per_code, x.shape[2])
        mean, square = codes.mean((2, 3)), codes.square().mean((2, 3))
        each = torch.stack((torch.ones_like(mean), mean, square), 2)  # [B, T, 3]
        place = torch.arange(each.shape[1], device=x.device, dtype=torch.float32)
        age = place.unsqueeze(1) - place
        decay = torch.where(age >= 0, torch.exp(age.clamp(min=0) * math.log(self.forget)), 0.0)
        carried = torch.exp((place + 1) * math.log(self.forget)).unsqueeze(1)
        sums = decay @ each + carried * state.unsqueeze(1)
        mean, square = sums[..., 1] / sums[..., 0], sums[..., 2] / sums[..., 0]
        scale = torch.rsqrt((square - mean.square()).clamp(min=1e-6) + 1e-5)
        y = (codes - mean[..., None, None]) * scale[..., None, None] * self.weight + self.bias
        return y.flatten(1, 2), sums[:, -1]


class Stem(nn.Module):
    """Samples [B, 1280 T] -> [B, 4 T, 288] at 50 Hz, strictly causal."""

    def __init__(self) -> None:
        super().__init__()
        filters = len(OFFSETS) * WIDTH
        self.filters = CausalConv(1, filters, FILTER_SAMPLES + OFFSETS[-1], stride=STEP_SAMPLES)
        self.norm = RunningNorm(WIDTH, SAMPLES_PER_FRAME // STEP_SAMPLES * len(OFFSETS))
        self.narrow = CausalConv(WIDTH, 2 * WIDTH, 7, stride=3)
        self.join = CausalConv(2 * WIDTH, WIDTH, 3, stride=2)

    def initial_state(self, batch: int) -> State:
        return tuple(part.initial_state(batch) for part in (self.filters, self.norm, self.narrow, self.join))

    def forward(self, samples: Tensor, state: State) -> tuple[Tensor, State]:
        x, filters = self.filters(samples.unsqueeze(2), state[0])
        x, norm = self.norm(torch.tanh(x).reshape(x.shape[0], -1, WIDTH), state[1])
        x, narrow = self.narrow(x, state[2])
        x, join = self.join(F.gelu(x), state[3])
        return F.gelu(x), (filters, norm, narrow, join)


class Layer(nn.Module):
    """Self-attention and perceptron, each added to what it is given; keys and values of the past come with the state."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(WIDTH, bias=False)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.post_attention_layernorm = nn.LayerNorm(WIDTH, bias=False)
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor, past: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, 288], keys and values of the past [B, P, 576], mask [T, P + T] or [B, 1, T, P + T] of what each frame hears.

        Returns the layer's output and keys and values of past and present [B, P + T, 576].
        """
        y = self.input_layernorm(x)
        memory = torch.cat((past.to(y.dtype), torch.cat((self.k_proj(y), self.v_proj(y)), 2)), 1)
        keys, values = (heads(part) for part in memory.chunk(2, 2))
        queries = heads(self.q_proj(y))
        places = torch.arange(memory.shape[1], device=x.device)
        queries = rotate(queries, places[memory.shape[1] - x.shape[1] :])
        heard = F.scaled_dot_product_attention(queries, rotate(keys, places), values, attn_mask=mask)
        x = x + self.o_proj(heard.transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.post_attention_layernorm(x)))), memory


class Ear(nn.Module):
    """Samples [B, 1280 T] in -1..1 -> features [B, 4 T, 576] at 50 Hz: after the fourth layer, and after the last.

    The state is (stem, keys and values [B, LAYERS, MEMORY_FRAMES, 576], frames heard so far [B, 1], at most MEMORY_FRAMES).
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem()
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.layer_norm = nn.LayerNorm(WIDTH, bias=False)

    def initial_state(self, batch: int) -> State:
        like = self.layer_norm.weight
        return (
            self.stem.initial_state(batch),
            like.new_zeros(batch, LAYERS, MEMORY_FRAMES, 2 * WIDTH),
            like.new_zeros(batch, 1),
        )

    def forward(self, samples: Tensor, state: State) -> tuple[Tensor, State]:
        """One packet of any whole number of codes; all of its frames hear all of it."""
        stem, memory, count = state
        assert isinstance(memory, Tensor) and isinstance(count, Tensor)
        x, stem = self.stem(samples, stem)
        frames = x.shape[1]
        place = torch.arange(MEMORY_FRAMES + frames, device=x.device)
        mask = (place >= MEMORY_FRAMES - count).view(len(x), 1, 1, -1)
        x, middle, memories = self._listen(x, list(memory.unbind(1)), mask)
        kept = torch.stack([each[:, each.shape[1] - MEMORY_FRAMES :] for each in memories], 1)
        return torch.cat((middle, self.layer_norm(x)), 2), (stem, kept, (count + frames).clamp(max=MEMORY_FRAMES))

    def whole(self, samples: Tensor, block_frames: Tensor | int) -> Tensor:
        """All packets of whole recordings at once, as training hears them: features [B, 4 T, 576].

        `block_frames`: ear frames per packet, one number or [B]; 0 is a single block, which hears its future.
        """
        x, _ = self.stem(samples, self.stem.initial_state(len(samples)))
        blocks = torch.as_tensor(block_frames, device=x.device).reshape(-1, 1, 1, 1)
        mask = block_mask(x.shape[1], torch.where(blocks > 0, blocks, x.shape[1]), x.device)
        nothing = x.new_zeros(len(x), 0, 2 * WIDTH)
        x, middle, _ = self._listen(x, [nothing] * LAYERS, mask)
        return torch.cat((middle, self.layer_norm(x)), 2)

    def _listen(self, x: Tensor, pasts: list[Tensor], mask: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        middle, memories = x, []
        for index, (layer, past) in enumerate(zip(self.layers, pasts, strict=True)):
            x, memory = layer(x, past, mask)
            memories.append(memory)
            if index == MIDDLE_LAYER:
                middle = x
        return x, middle, memories


def block_mask(frames: int, block_frames: Tensor, device: torch.device | None = None) -> Tensor:
    """True [..., T, T] where a frame may hear another: up to the end of its block, and MEMORY_FRAMES before its block."""
    place = torch.arange(frames, device=device)
    begin = torch.div(place.unsqueeze(1), block_frames, rounding_mode="floor") * block_frames
    return (place < begin + block_frames) & (place >= begin - MEMORY_FRAMES)


def from_moonshine(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights by Moonshine's names -> weights by this network's."""
    kernel = state["conv1.weight"]  # [288, 1, 127]
    filters = torch.cat([F.pad(kernel, (offset, OFFSETS[-1] - offset)) for offset in OFFSETS])
    found = {
        "stem.filters.weight": filters.unsqueeze(2),
        "stem.filters.bias": torch.zeros(len(filters)),
        "stem.norm.weight": state["groupnorm.weight"],
        "stem.norm.bias": state["groupnorm.bias"],
        "layer_norm.weight": state["layer_norm.weight"],
    }
    for ours, theirs in (("narrow", "conv2"), ("join", "conv3")):
        found[f"stem.{ours}.weight"] = state[f"{theirs}.weight"].unsqueeze(2)
        found[f"stem.{ours}.bias"] = state[f"{theirs}.bias"]
    for name, value in state.items():
        if name.startswith("layers."):
            found[name.replace("self_attn.", "").replace("mlp.", "")] = value
    return found
