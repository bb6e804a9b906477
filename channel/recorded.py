"""Codec work that a campaign does once: an encoder that says again what it said, a decoder that remembers what it played.

Both stand in for the engine's graphs and give the same numbers, bit for bit: codes depend on the samples and on the size of
packets alone, and a decoder's samples on the codes that it was given so far.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np

from stream.engine import Decoder, DecoderState, DecoderStream, Encoder, EncoderStream, Metadata
from stream.frame import SAMPLES_PER_FRAME, Codes, Pcm
from stream.front import Front
from stream.profile import PROFILES

REMEMBERED_FRAMES = 600  # each with a state of about 100 KB
LONGEST_PACKET_FRAMES = max(profile.frames for profile in PROFILES.values())

Memory = OrderedDict[bytes, tuple[Pcm, DecoderState]]


def frames_needed(samples: int, shift_samples: int) -> int:
    """Frames that hold all of an utterance and fill its last packet, whatever the profile."""
    return -(-(samples + shift_samples) // SAMPLES_PER_FRAME) + LONGEST_PACKET_FRAMES


def encode(encoder: Encoder, pcm: Pcm, packet_frames: int) -> Codes:
    """Codes [frames, 8] of samples [N] and of the silence after them, in packets of so many frames, as a sender makes them."""
    frames = frames_needed(len(pcm), encoder.meta.shift_samples)
    frames += -frames % packet_frames
    padded = np.pad(pcm, (0, frames * SAMPLES_PER_FRAME - len(pcm)))
    stream = encoder.stream()
    return np.concatenate([stream.encode(packet) for packet in padded.reshape(-1, packet_frames * SAMPLES_PER_FRAME)])


class RecordedEncoder(Encoder):
    """Codes [frames, 8] of one utterance, in place of the graph that made them."""

    def __init__(self, meta: Metadata, codes: Codes):
        self.meta, self.codes = meta, codes

    def stream(self) -> RecordedStream:
        return RecordedStream(self.codes)


class RecordedStream(EncoderStream):
    """One reading of them, a packet at a time, whatever the samples."""

    def __init__(self, codes: Codes):
        self._rest = codes

    def encode(self, pcm: Pcm) -> Codes:
        frames = len(pcm) // SAMPLES_PER_FRAME
        packet, self._rest = self._rest[:frames], self._rest[frames:]
        return packet


class RecordedFront(Front):
    """No microphone: the codes are there already, and all of them go on air."""

    def __call__(self, frame: Pcm) -> tuple[Pcm, bool]:
        return frame, True


class SilentDecoder(Decoder):
    """No decoder: for receivers that nobody listens to."""

    def __init__(self, meta: Metadata):
        self.meta = meta

    def stream(self) -> SilentStream:
        return SilentStream()


class SilentStream(DecoderStream):
    """Nothing to decode with."""

    def __init__(self) -> None:
        pass


class RememberingDecoder(Decoder):
    """A decoder whose streams share what they decoded: up to its first loss every reception of an utterance is the same."""

    def __init__(self, model: str):
        """Load a model. Raises ModelError."""
        self.memory: Memory = OrderedDict()
        super().__init__(model)

    def stream(self) -> RememberingStream:
        return RememberingStream(self)


class RememberingStream(DecoderStream):
    """One stream; what was decoded after the same codes before is taken from memory."""

    def __init__(self, decoder: RememberingDecoder):
        super().__init__(decoder)
        self._memory = decoder.memory
        self._past = b""  # hash of all inputs so far, which the state is a function of
        self._saved: tuple[DecoderState, bytes] = self._state, self._past

    def decode(self, codes: Codes | None) -> Pcm:
        """See DecoderStream.decode."""
        said = b"" if codes is None else codes.astype(np.uint8).tobytes()
        self._past = hashlib.blake2b(self._past + b"|" + said, digest_size=16).digest()
        if self._past in self._memory:
            self._memory.move_to_end(self._past)
            pcm, self._state = self._memory[self._past]
            return pcm
        pcm = super().decode(codes)
        self._memory[self._past] = pcm, self._state
        if len(self._memory) > REMEMBERED_FRAMES:
            self._memory.popitem(last=False)
        return pcm

    def save(self) -> DecoderState:
        """The state as it is now; only the newest one saved can be restored."""
        self._saved = self._state, self._past
        return self._state

    def restore(self, state: DecoderState) -> None:
        """Go back to it.

        Raises:
            ValueError: another state.
        """
        if state is not self._saved[0]:
            raise ValueError("only the state that was saved last can be restored")
        self._state, self._past = self._saved
