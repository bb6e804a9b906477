"""Proof that a graph computes what the network computes: many chained packets of mixed lengths, state included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from export.graphs import DecoderStep, EncoderStep
from stream.errors import ClariError
from stream.frame import CODE_DIMENSIONS, CODE_LEVELS, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from stream.profile import PROFILES

FRAMES = 200
LARGEST_PCM_DIFFERENCE = 1e-4
LOST_EVERY = 10  # frames


class ParityError(ClariError):
    """A graph that computes something else than the network."""


@dataclass(frozen=True)
class Parity:
    """What the comparison found."""

    unequal_codes: int  # of FRAMES * CODE_DIMENSIONS
    pcm_difference: float  # largest absolute difference of samples, packet by packet or frame by frame

    def check(self) -> None:
        """Raise ParityError unless the graphs agree."""
        if self.unequal_codes or not self.pcm_difference <= LARGEST_PCM_DIFFERENCE:
            raise ParityError(
                f"onnxruntime and torch disagree: {self.unequal_codes} of {FRAMES * CODE_DIMENSIONS} codes differ, samples by "
                f"{self.pcm_difference:.2g} (at most {LARGEST_PCM_DIFFERENCE:g}); nothing was written"
            )


def speech_like(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """A test signal [N]: a gliding voice with syllables, consonant noise and pauses."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.4 * time_s)) / SAMPLE_RATE_HZ
    voice = sum(np.sin(k * phase) / k for k in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time_s), 0, None) * (np.sin(2 * np.pi * 0.3 * time_s) > -0.5)
    signal = 0.1 * syllables * voice + 0.02 * rng.standard_normal(len(time_s)) * (1 - syllables)
    return np.asarray(signal, np.float32)


def packet_sizes(seed: int = 0) -> list[int]:
    """Frames of each packet, FRAMES in all: a single one, then those of the profiles in any order, and what is left."""
    rng, sizes = np.random.default_rng(seed), [1]
    while (left := FRAMES - sum(sizes)) > 0:
        sizes.append(min(left, int(rng.choice([profile.frames for profile in PROFILES.values()]))))
    return sizes


def compare(encoder: onnx.ModelProto, decoder: onnx.ModelProto, encoder_step: EncoderStep, decoder_step: DecoderStep) -> Parity:
    """Run both graphs and both modules over 200 chained frames of the same signal, every tenth frame lost.

    Raises:
        ParityError: the encoder graph wrote what is no code.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    hearing, speaking = (
        onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"]) for model in (encoder, decoder)
    )
    signal = speech_like(FRAMES * SAMPLES_PER_FRAME / SAMPLE_RATE_HZ)[None]
    encoder_state, decoder_state = encoder_step.packed.zeros(), decoder_step.packed.zeros()
    heard_state = encoder_state.numpy()
    packets_state = frames_state = decoder_state.numpy()
    unequal, difference, first = 0, 0.0, 0
    with torch.no_grad():
        for size in packet_sizes():
            pcm = signal[:, first * SAMPLES_PER_FRAME : (first + size) * SAMPLES_PER_FRAME]
            codes, encoder_state = encoder_step(torch.from_numpy(pcm), encoder_state)
            written, heard_state = hearing.run(None, {"pcm": pcm, "state": heard_state})
            if written.min() < 0 or written.max() >= CODE_LEVELS:
                raise ParityError(f"the encoder graph wrote codes outside 0..{CODE_LEVELS - 1}; nothing was written")
            unequal += int((codes.numpy() != written).sum())
            # All decoders get the same codes, so that a code on the edge of a cell does not hide what they compute.
            lost = (np.arange(first, first + size) % LOST_EVERY == LOST_EVERY - 1)[None]
            spoken, decoder_state = decoder_step(codes, torch.from_numpy(lost), decoder_state)
            feeds = {"codes": codes.numpy(), "lost": lost}
            together, packets_state = speaking.run(None, {**feeds, "state": packets_state})
            apart = []
            for frame in range(size):
                one = {name: value[:, frame : frame + 1] for name, value in feeds.items()}
                samples, frames_state = speaking.run(None, {**one, "state": frames_state})
                apart.append(samples)
            for found in (together, np.concatenate(apart, axis=1)):
                difference = max(difference, float(np.abs(spoken.numpy() - found).max()))
            first += size
    return Parity(unequal, difference)
