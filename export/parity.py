"""Proof that a graph computes what the network computes: many chained frames, state included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import torch

from export.graphs import DecoderStep, EncoderStep
from stream.errors import ClariError
from stream.frame import CODE_DIMENSIONS, CODE_LEVELS, SAMPLES_PER_FRAME

FRAMES = 200
LARGEST_PCM_DIFFERENCE = 1e-3
LARGEST_STATE_DIFFERENCE = 1e-2  # hidden layers are larger than samples
SMALLEST_EQUAL_SHARE = 0.995  # a position on the edge of a cell may round either way


class ParityError(ClariError):
    """A graph that computes something else than the network."""


@dataclass(frozen=True)
class Parity:
    """What the comparison found."""

    equal_codes: float  # share of codes
    pcm_difference: float  # largest absolute difference of samples
    state_difference: float  # largest absolute difference of the decoder's state

    def check(self) -> None:
        """Raise ParityError unless the graphs agree."""
        same = self.equal_codes >= SMALLEST_EQUAL_SHARE and self.pcm_difference <= LARGEST_PCM_DIFFERENCE
        if not (same and self.state_difference <= LARGEST_STATE_DIFFERENCE):
            raise ParityError(
                f"onnxruntime and torch disagree: {self.equal_codes:.2%} equal codes (at least {SMALLEST_EQUAL_SHARE:.1%}), "
                f"samples differ by {self.pcm_difference:.2g} (at most {LARGEST_PCM_DIFFERENCE:g}), "
                f"state by {self.state_difference:.2g} (at most {LARGEST_STATE_DIFFERENCE:g}); nothing was written"
            )


def speech_like(seconds: float, seed: int = 0) -> np.ndarray:
    """A test signal [N]: a gliding voice with syllables, consonant noise and pauses."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * 16_000)) / 16_000
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.4 * time_s)) / 16_000
    voice = sum(np.sin(k * phase) / k for k in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time_s), 0, None) * (np.sin(2 * np.pi * 0.3 * time_s) > -0.5)
    return (0.1 * syllables * voice + 0.02 * rng.standard_normal(len(time_s)) * (1 - syllables)).astype(np.float32)


def compare(encoder: onnx.ModelProto, decoder: onnx.ModelProto, encoder_step: EncoderStep, decoder_step: DecoderStep) -> Parity:
    """Run both graphs and both modules over 200 chained frames of the same signal, every tenth frame lost."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = [onnxruntime.InferenceSession(m.SerializeToString(), options, ["CPUExecutionProvider"]) for m in (encoder, decoder)]
    frames = speech_like(FRAMES * SAMPLES_PER_FRAME / 16_000).reshape(FRAMES, 1, SAMPLES_PER_FRAME)
    states = [encoder_step.initial_state(), decoder_step.initial_state()]
    onnx_states = [state.numpy() for state in states]
    equal, pcm_difference, state_difference = 0, 0.0, 0.0
    with torch.no_grad():
        for number, frame in enumerate(frames):
            codes, states[0] = encoder_step(torch.from_numpy(frame), states[0])
            onnx_codes, onnx_states[0] = sessions[0].run(None, {"pcm": frame, "state": onnx_states[0]})
            equal += int((codes.numpy() == onnx_codes).sum())
            # Both decoders get the same codes, so that a code on the edge of a cell does not hide what they compute.
            lost = np.array([[number % 10 == 9]])
            pcm, states[1] = decoder_step(codes, torch.from_numpy(lost), states[1])
            onnx_pcm, onnx_states[1] = sessions[1].run(None, {"codes": codes.numpy(), "lost": lost, "state": onnx_states[1]})
            pcm_difference = max(pcm_difference, float(np.abs(pcm.numpy() - onnx_pcm).max()))
            state_difference = max(state_difference, float(np.abs(states[1].numpy() - onnx_states[1]).max()))
            if onnx_codes.min() < 0 or onnx_codes.max() >= CODE_LEVELS:
                raise ParityError(f"the encoder graph wrote codes outside 0..{CODE_LEVELS - 1}; nothing was written")
    return Parity(equal / (FRAMES * CODE_DIMENSIONS), pcm_difference, state_difference)
