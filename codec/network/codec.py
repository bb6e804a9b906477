"""The codec: samples to codes to samples. Training, streaming, export and tests all call these pure functions.

    codes, state = codec.encode(samples, codec.encoder_state(batch))        # one packet of any number of codes
    samples, state = codec.decode(codes, lost, codec.decoder_state(batch))  # as many as there are

All codes of a packet hear the whole packet and nothing after it. The decoded speech comes `delay_samples` after the packet's first
sample would, if packets took no time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.network.decoder import DELAY_FRAMES, Decoder, Scores
from codec.network.ear import MEMORY_FRAMES, SAMPLES_PER_EAR_FRAME
from codec.network.layers import State
from codec.network.quantizer import codes_to_values, positions_to_codes
from codec.network.sender import Sender
from codec.network.voice import Said, Voice
from codec.settings import NetworkSettings
from stream.frame import SAMPLES_PER_FRAME

# Of an octave: 2 cents, which nobody hears. The phase of the pulses sums all pitches so far; without steps the last digits,
# in which processors differ, would grow to audible differences between machines.
PITCH_STEPS = 512


def decide(scores: Scores) -> Said:
    """What the voice is to say: the likeliest phone and stress of each frame. A mixture of two phones would be a mumble."""
    return Said(
        F.one_hot(scores.phones.argmax(2), scores.phones.shape[2]).to(scores.pitch.dtype),
        F.one_hot(scores.stress.argmax(2), scores.stress.shape[2]).to(scores.pitch.dtype),
        torch.round(scores.pitch * PITCH_STEPS) / PITCH_STEPS,
        torch.sigmoid(scores.voiced),
        scores.energy,
        scores.size,
    )


class Codec(nn.Module):
    """Samples to codes to samples."""

    def __init__(self, settings: NetworkSettings):
        super().__init__()
        self.settings = settings
        self.sender = Sender(settings)
        self.decoder = Decoder(settings.decoder_widths, settings.decoder_blocks)
        self.voice = Voice()

    @property
    def shift_samples(self) -> int:
        """Shift of the decoded against the encoded signal when both are laid side by side frame for frame."""
        return DELAY_FRAMES * SAMPLES_PER_EAR_FRAME + int(self.voice.delay_samples)

    @property
    def delay_samples(self) -> int:
        """From the first sample of a frame entering to the same speech leaving, if packets were single frames and took no time."""
        return SAMPLES_PER_FRAME + self.shift_samples

    @property
    def memory_frames(self) -> int:
        """How many frames before a packet are heard in it."""
        return MEMORY_FRAMES * SAMPLES_PER_EAR_FRAME // SAMPLES_PER_FRAME

    def encoder_state(self, batch: int) -> State:
        return self.sender.initial_state(batch)

    def decoder_state(self, batch: int) -> State:
        return self.decoder.initial_state(batch), self.voice.initial_state(batch)

    def encode(self, samples: Tensor, state: State) -> tuple[Tensor, State]:
        """One packet of samples [B, 1280 T] -> codes [B, T, 8] with values 0..3."""
        positions, state = self.sender(samples, state)
        return positions_to_codes(positions), state

    def decode(self, codes: Tensor, lost: Tensor, state: State) -> tuple[Tensor, State]:
        """Codes [B, T, 8] and lost flags [B, T] -> samples [B, 1280 T] in -1..1."""
        scores, decoder = self.decoder(codes_to_values(codes), lost, state[0])
        samples, voice = self.voice(decide(scores), state[1])
        return torch.clamp(samples, -1, 1), (decoder, voice)
