"""A stand-in for the codec that numbers frames: what was heard, when, and what was not, is known to the frame.

    sender = Sender(RulerEncoder(), profile, stream=3)       # codes are the number of the frame, 16 bits
    receiver = Receiver(RulerDecoder(), delay_s=0.2)         # samples are the number of the frame, or tell that it was lost
    heard_frame(pcm)                                         # the number, through concealment, fading and resampling

For measurements of the link: sender, packets, channel, receiver and playout run as they are, thousands of times faster
than with the real codec, which sees none of it.
"""

from __future__ import annotations

import numpy as np

from stream.engine import FORMAT_VERSION, Decoder, DecoderStream, Encoder, EncoderStream, Metadata
from stream.frame import CODE_DIMENSIONS, CODE_LEVELS, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Codes, Pcm

NUMBERS = 65_536  # frames until numbers begin again: 87 minutes
DECODER_ID = 0x0FED
_LOWEST, _SPAN = 0.25, 0.5  # samples of number 0, and from there to the highest; comfort noise stays far below
_LOST = -0.5


def _meta(role: str) -> Metadata:
    return Metadata(
        FORMAT_VERSION, role, "ruler", SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, 16, CODE_DIMENSIONS, CODE_LEVELS,
        packet_causal=True, delay_samples=SAMPLES_PER_FRAME, shift_samples=0, memory_frames=0, decoder_id=DECODER_ID,
        state_name="state", state_size=0, attribution="", training="none", training_revision="none", configuration="{}",
        revision="none",
    )  # fmt: skip


class _Numbering(EncoderStream):
    def __init__(self, first: int) -> None:
        self._number = first

    def encode(self, pcm: Pcm) -> Codes:
        numbers = (self._number + np.arange(len(pcm) // SAMPLES_PER_FRAME)) % NUMBERS
        self.skip(len(numbers))
        shifts = np.arange(2 * CODE_DIMENSIONS - 2, -1, -2)
        return np.asarray(numbers[:, None] >> shifts & 3, np.uint8)

    def skip(self, frames: int) -> None:
        self._number += frames


class _Reading(DecoderStream):
    def __init__(self) -> None:
        self._state = np.zeros((1, 0), np.float32)

    def decode(self, codes: Codes | None) -> Pcm:
        if codes is None:
            return np.full(SAMPLES_PER_FRAME, _LOST, np.float32)
        number = 0
        for level in codes:
            number = number << 2 | int(level)
        return np.full(SAMPLES_PER_FRAME, _LOWEST + _SPAN * number / NUMBERS, np.float32)


class RulerEncoder(Encoder):
    """Codes count frames, whatever the samples."""

    def __init__(self, first: int = 0) -> None:
        self.meta = _meta("encoder")
        self._first = first

    def stream(self) -> EncoderStream:
        return _Numbering(self._first)


class RulerDecoder(Decoder):
    """Samples tell the number that the codes told."""

    def __init__(self) -> None:
        self.meta = _meta("decoder")

    def stream(self) -> DecoderStream:
        return _Reading()


def heard_frame(pcm: Pcm) -> int | None:
    """The number of the frame that a slot [about 1280 samples] plays; None for silence and concealment."""
    value = float(pcm[-1])  # at the end every fade has passed
    return round((value - _LOWEST) / _SPAN * NUMBERS) if value > 0.2 else None
