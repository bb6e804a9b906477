"""The voice: what is said, how high, how loud and by how large a speaker -> samples at 16 kHz, causally.

It was learned from one speaker (hibari's `heart`). The network hears the pitch against the speaker's own level and draws that
voice's envelopes; they are stretched to the speaker's size, and the pulses come at the speaker's pitch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from codec.network.envelope import KNOTS, Envelope
from codec.network.layers import CausalConv, Stack, State, Upsample, blocks
from codec.network.phones import PHONE_CLASSES, STRESS_CLASSES
from codec.network.synthesis import (
    AIR_BIN_HZ,
    AIR_BINS,
    DELAY_SAMPLES,
    FRAME_HOPS,
    FRAME_SAMPLES,
    TONE_BIN_HZ,
    TONE_BINS,
    Synthesis,
)

NUMBERS = 3  # pitch, voicing, energy
TYPICAL_AMPLITUDE = -7.5  # natural logarithm, what the network's zero means
AMPLITUDE_RANGE = 3.0


class Said(NamedTuple):
    """What the voice is to say, T frames of 20 ms."""

    phones: Tensor  # [B, T, 45] probabilities of the classes of codec.data.phonemes
    stress: Tensor  # [B, T, 3] probabilities: none, primary, secondary
    pitch: Tensor  # [B, T] log2(Hz / 200) of the speaker, held through unvoiced frames
    voicing: Tensor  # [B, T] probability
    energy: Tensor  # [B, T] hibari's scale: -1.9 in silence, 0 to 1.8 in speech
    size: Tensor  # [B, T] the speaker's median log2(pitch / 195 Hz), slowly varying


@dataclass(frozen=True)
class VoiceConfig:
    """Sizes of the network."""

    width: int = 320
    kernel: int = 9  # frames of 20 ms
    expansion: int = 3
    slow_blocks: int = 4  # at 50 Hz
    fast_kernel: int = 5  # steps of 10 ms
    fast_blocks: int = 2  # at 100 Hz
    ahead_frames: int = 3  # of 20 ms that are heard before one is drawn: a sound begins to change well before the next one


class Voice(nn.Module):
    """samples, state = voice(said, state): [B, 320 T] for T frames, late by `delay_samples`."""

    def __init__(self, config: VoiceConfig | None = None):
        super().__init__()
        self.config = config or VoiceConfig()
        width, expansion = self.config.width, self.config.expansion
        self.body = Stack(
            CausalConv(PHONE_CLASSES + STRESS_CLASSES + NUMBERS, width, self.config.fast_kernel),
            *blocks(self.config.slow_blocks, width, self.config.kernel, expansion),
            Upsample(width, width, FRAME_HOPS),
            *blocks(self.config.fast_blocks, width, self.config.fast_kernel, expansion),
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * KNOTS))
        self.tone = Envelope(TONE_BINS, TONE_BIN_HZ)
        self.air = Envelope(AIR_BINS, AIR_BIN_HZ)
        self.synthesis = Synthesis()

    @property
    def delay_samples(self) -> int:
        """How much later than what is said its sound comes."""
        return self.config.ahead_frames * FRAME_SAMPLES + DELAY_SAMPLES

    def initial_state(self, batch: int) -> State:
        waiting = self.synthesis.noise.new_zeros(batch, self.config.ahead_frames, 2)  # pitch and size of frames not yet drawn
        return self.body.initial_state(batch), waiting, self.synthesis.initial_state(batch)

    def envelopes(self, said: Said, state: State) -> tuple[Tensor, Tensor, State]:
        """-> tone and air [B, 2 T, KNOTS] of the learned voice, `ahead_frames` late, and the state of the body."""
        numbers = torch.stack([said.pitch - said.size, said.voicing, said.energy], dim=-1)
        hidden, state = self.body(torch.cat([said.phones, said.stress, numbers], dim=-1), state)
        found = TYPICAL_AMPLITUDE + AMPLITUDE_RANGE * self.head(hidden)
        return found[..., :KNOTS], found[..., KNOTS:], state

    def forward(self, said: Said, state: State) -> tuple[Tensor, State]:
        body, waiting, synthesis = state
        assert isinstance(waiting, Tensor)
        tone, air, body = self.envelopes(said, body)
        both = torch.cat((waiting, torch.stack((said.pitch, said.size), dim=2)), dim=1)
        pitch, size = both[:, : said.pitch.shape[1]].unbind(2)
        samples, synthesis = self.sound(pitch, size, tone, air, synthesis)
        return samples, (body, both[:, said.pitch.shape[1] :], synthesis)

    def sound(self, pitch: Tensor, size: Tensor, tone: Tensor, air: Tensor, state: State) -> tuple[Tensor, State]:
        """pitch, size [B, T], envelopes of the learned voice [B, 2 T, KNOTS] -> samples [B, 320 T] of a speaker of that size."""
        size = size.repeat_interleave(FRAME_HOPS, dim=1)
        samples, state = self.synthesis(pitch, self.tone(tone, size), self.air(air, size), state)
        return samples, state


def save_voice(path: Path, voice: Voice) -> None:
    """Write configuration and weights."""
    torch.save({"config": asdict(voice.config), "weights": voice.state_dict()}, path)


def load_voice(path: str | Path) -> Voice:
    """A voice for use: from `save_voice`, or the averaged weights in checkpoint.pt of `codec.train.voice` or `.voice_detail`."""
    found = torch.load(path, map_location="cpu", weights_only=True)
    voice = Voice(VoiceConfig(**found.get("config", {})))
    weights = found["weights"] if "weights" in found else found["average"]
    weights = {name.removeprefix("voice."): value for name, value in weights.items() if not name.startswith("critic.")}
    voice.load_state_dict(weights)
    return voice.eval()
