"""The codec: samples to codes to samples. Training, streaming, export and tests all call these two pure functions.

    codes, state = codec.encode(samples, codec.encoder_state(batch))
    samples, state = codec.decode(codes, lost, codec.decoder_state(batch))

The decoded speech comes `delay_samples` later than the speech that was encoded.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from codec.config import HOP_SAMPLES, MEL_FRAMES_PER_CODE, ConfigError, ModelConfig
from codec.decoder import Decoder
from codec.encoder import Encoder
from codec.frontend import WINDOW_SAMPLES, LogMel
from codec.network.layers import Block, State
from codec.network.quantizer import LARGEST, codes_to_values, positions_to_codes, quantize
from codec.vocoder import DELAY_SAMPLES, Vocoder
from stream.frame import SAMPLES_PER_FRAME


class Passed(NamedTuple):
    """What became of log-mel on its way through the codec."""

    decoded: Tensor  # [B, 8 T, mels], `look_ahead_frames` late
    codes: Tensor  # [B, T, 8]
    encoder_knowledge: Tensor  # before it rounds, [B, T, width]
    decoder_knowledge: Tensor  # before it draws the mel, [B, T, width]


class MelCodec(nn.Module):
    """Log-mel to log-mel through 16 bits per 80 ms: what stage 1 trains first."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """What can be trained: all, or a part of the encoder, which leaves the decoder and its id as they are."""
        return {"all": self, "encoder": self.encoder, "feedback": self.encoder.feedback}

    def train_only(self, part: str, key: str) -> None:
        """Leave gradients to one of the `parts`, which the configuration names by `key`.

        Raises:
            ConfigError: there is no such part.
        """
        if part not in self.parts:
            raise ConfigError(f"{key} is {part!r}; write {', '.join(self.parts)}")
        self.requires_grad_(False)
        self.parts[part].requires_grad_(True)

    def forward(self, mel: Tensor, lost: Tensor, flips: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """mel [B, 8 T, mels], lost [B, T] -> decoded mel [B, 8 T, mels], `look_ahead_frames` late, and codes [B, T, 8].

        `flips` [B, T, 8] are wrong bits on air (see `quantizer.damage`).
        """
        passed = self.listen(mel, lost, flips)
        return passed.decoded, passed.codes

    def listen(self, mel: Tensor, lost: Tensor, flips: Tensor | None = None) -> Passed:
        """As `forward`, with what encoder and decoder know at 12.5 Hz."""
        positions, sent, _ = self.encoder.encode(mel, self.encoder.initial_state(len(mel)))
        codes, values = quantize(positions, flips)
        decoded, heard, _ = self.decoder.decode(values, lost, self.decoder.initial_state(len(mel)))
        return Passed(decoded, codes, sent, heard)

    def without_rounding(self, mel: Tensor, lost: Tensor) -> Tensor:
        """Decoded mel as `forward` gives it, if eight numbers were sent instead of 16 bits: what rounding costs."""
        values = self.encoder.exact_positions(self.encoder.listen(mel)[0]) / LARGEST
        decoded, _ = self.decoder(values, lost, self.decoder.initial_state(len(mel)))
        return torch.as_tensor(decoded)


class Codec(nn.Module):
    """Samples to codes to samples."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.frontend = LogMel(config.mels)
        self.mel_codec = MelCodec(config)
        self.vocoder = Vocoder(config)

    @property
    def delay_samples(self) -> int:
        """How much later than its input the decoded speech comes, if packets and links took no time.

        One frame has to be heard whole before its code exists; look-ahead and the vocoder's overlap follow.
        """
        return SAMPLES_PER_FRAME + self.shift_samples

    @property
    def shift_samples(self) -> int:
        """Shift of the decoded against the encoded signal when both are laid side by side frame for frame."""
        return self.config.look_ahead_frames * HOP_SAMPLES + DELAY_SAMPLES

    @property
    def memory_frames(self) -> int:
        """How many frames before one can still change its codes."""
        hops = self.mel_codec.encoder.memory_mel_frames + WINDOW_SAMPLES // HOP_SAMPLES - MEL_FRAMES_PER_CODE
        return math.ceil(hops / MEL_FRAMES_PER_CODE)

    def large_matrices(self) -> set[str]:
        """Names of the weights that ship in 8 bits: the matrices of the mel codec's blocks, most of all weights."""
        blocks = [name for name, module in self.mel_codec.named_modules(prefix="mel_codec") if isinstance(module, Block)]
        return {f"{name}.{matrix}.weight" for name in blocks for matrix in ("expand", "project")}

    def encoder_state(self, batch: int) -> State:
        return self.frontend.initial_state(batch), self.mel_codec.encoder.initial_state(batch)

    def decoder_state(self, batch: int) -> State:
        return self.mel_codec.decoder.initial_state(batch), self.vocoder.initial_state(batch)

    def encode(self, samples: Tensor, state: State) -> tuple[Tensor, State]:
        """Samples [B, 1280 T] -> codes [B, T, 8] with values 0..3."""
        mel, frontend = self.frontend(samples, state[0])
        positions, encoder = self.mel_codec.encoder(mel, state[1])
        return positions_to_codes(positions), (frontend, encoder)

    def decode(self, codes: Tensor, lost: Tensor, state: State) -> tuple[Tensor, State]:
        """Codes [B, T, 8] and lost flags [B, T] -> samples [B, 1280 T] in -1..1."""
        mel, decoder = self.mel_codec.decoder(codes_to_values(codes), lost, state[0])
        samples, vocoder = self.vocoder(mel, state[1])
        return torch.clamp(samples, -1, 1), (decoder, vocoder)
