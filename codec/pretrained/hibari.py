"""hibari, a small speech synthesiser, with its inner values: durations, and what its decoder is given.

hibari-tts 0.2.1 (Apache-2.0, voice `heart`, distilled from Kokoro-82M) is one ONNX graph: phoneme ids -> durations in steps of
25 ms -> text encoding, pitch and energy at 80 Hz -> decoder -> five spectra -> samples. It is cut here at the decoder's input,
and durations may come from outside: the same words in the same voice with the timing of any recording.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from stream.errors import ClariError

CURE = "install it: pip install 'clari[train]'"
STEP_S = 0.025  # of durations
FRAME_RATE_HZ = 80
SAMPLE_RATE_HZ = 24_000
PITCH_CHANNEL, ENERGY_CHANNEL = 128, 129  # of the decoder's 130 inputs
PITCH_SCALE = 0.2  # the channel holds 0.2 ln(1 + Hz)
LOWEST_PITCH_HZ = 40.0  # below it a frame is unvoiced
_DURATIONS, _DECODER_INPUT, _DURATION_USE = "/Clip_output_0", "/Concat_43_output_0", "/Cast_32"
SPECTRA = ("lh", "theta", "ln", "lr", "phi")


def assets() -> Path:
    """Folder of hibari's model and lexica. Raises ClariError: hibari is not installed."""
    try:
        import hibari
    except ImportError:
        raise ClariError(f"the voice is read from the package hibari-tts, which is missing; {CURE}") from None
    return Path(hibari.__file__).parent / "assets"


def read_model() -> Any:
    """hibari's graph as an ONNX model. Raises ClariError: hibari or onnx is not installed."""
    try:
        import onnx
    except ImportError:
        raise ClariError(f"the weights of hibari are read by onnx, which is missing; {CURE}") from None
    return onnx.load(str(assets() / "hibari.onnx"))


@functools.cache
def vocabulary() -> dict[str, int]:
    """Token ids by character; 0 begins and ends a sentence."""
    found: dict[str, int] = json.loads((assets() / "vocab.json").read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class Spoken:
    """A sentence as hibari speaks it."""

    ids: tuple[int, ...]  # tokens, 0 at both ends
    durations: np.ndarray  # steps of 25 ms of each token, int
    decoder_input: np.ndarray  # float32 [130, F] at 80 Hz
    spectra: dict[str, np.ndarray]  # float32 [601, F] each

    @property
    def pitch_hz(self) -> np.ndarray:
        """Pitch [F] at 80 Hz, 0 where unvoiced."""
        found = np.expm1(np.maximum(self.decoder_input[PITCH_CHANNEL], 0) / PITCH_SCALE)
        return np.where(found > LOWEST_PITCH_HZ, found, 0).astype(np.float32)

    def samples(self, seed: int = 0) -> np.ndarray:
        """float32 [N] at 24 kHz in -1..1, by hibari's own signal processing."""
        from hibari import dsp

        wave = dsp.synth(*(self.spectra[name] for name in SPECTRA), self.pitch_hz, np.random.default_rng(seed))
        clipped: np.ndarray = np.clip(wave, -1, 1).astype(np.float32)
        return clipped


class Hibari:
    """hibari with one thread: `speak` with its own timing, `speak_timed` with another."""

    def __init__(self) -> None:
        """Raises ClariError: a package is missing."""
        import onnx

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        own = read_model()
        own.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in (_DURATIONS, _DECODER_INPUT))
        timed = read_model()
        for node in timed.graph.node:
            if node.name == _DURATION_USE:
                node.input[0] = "durations"
        timed.graph.input.append(onnx.helper.make_tensor_value_info("durations", onnx.TensorProto.FLOAT, ["L"]))
        timed.graph.output.append(onnx.helper.make_empty_tensor_value_info(_DECODER_INPUT))
        self._own, self._timed = (
            onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"]) for model in (own, timed)
        )

    def speak(self, ids: tuple[int, ...], speed: float = 1.0) -> Spoken:
        """Tokens with 0 at both ends -> the sentence, `speed` times as fast as usual."""
        values = self._run(self._own, ids, speed)
        return self._spoken(ids, values[_DURATIONS].ravel().astype(int), values)

    def speak_timed(self, ids: tuple[int, ...], durations: np.ndarray) -> Spoken:
        """Tokens with 0 at both ends, and the steps of 25 ms that each is to take (0 allowed) -> the sentence."""
        values = self._run(self._timed, ids, 1.0, durations=np.asarray(durations, np.float32))
        return self._spoken(ids, np.asarray(durations, int), values)

    @staticmethod
    def _run(session: onnxruntime.InferenceSession, ids: tuple[int, ...], speed: float, **more: np.ndarray) -> dict[str, Any]:
        names = [output.name for output in session.get_outputs()]
        fed = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32), **more}
        return dict(zip(names, session.run(None, fed), strict=True))

    @staticmethod
    def _spoken(ids: tuple[int, ...], durations: np.ndarray, values: dict[str, Any]) -> Spoken:
        return Spoken(ids, durations, values[_DECODER_INPUT][0], {name: values[name][0] for name in SPECTRA})
