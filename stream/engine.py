"""The codec at run time: two ONNX graphs and the state of each stream.

    encoder, decoder = load_encoder("base"), load_decoder("base")   # immutable, shared
    sending, hearing = encoder.stream(), decoder.stream()           # one per stream
    pcm = hearing.decode(sending.encode(pcm))                       # 80 ms in, 80 ms out, encoder.meta.delay_samples late

Everything the runtime must know stands in the metadata of the graphs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stream.errors import ModelError
from stream.frame import CODE_DIMENSIONS, CODE_LEVELS, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Codes, Pcm
from stream.process import release_memory

MODELS = Path(__file__).parent / "models"
FORMAT_VERSION = 1
WARM_UP_FRAMES = 3

DecoderState = NDArray[np.float32]


@dataclass(frozen=True)
class Metadata:
    """What a graph says about itself."""

    clari_format: int
    role: str
    name: str
    sample_rate_hz: int
    samples_per_frame: int
    bits_per_frame: int
    code_dimensions: int
    code_levels: int
    look_ahead_samples: int
    delay_samples: int  # from the first sample of a frame entering to the same speech leaving the decoder
    shift_samples: int  # decoded against original when both are laid side by side frame for frame
    memory_frames: int  # before one that can still change its codes
    decoder_id: int
    state_name: str
    state_size: int
    training: str
    revision: str


def model_names() -> list[str]:
    """Names of the shipped models."""
    return sorted(path.parent.name for path in MODELS.glob("*/encoder.onnx"))


def find_graph(model: str, role: str) -> Path:
    """File of one graph: `model` is a shipped name, a folder, or the .onnx file itself.

    Raises:
        ModelError: there is no such model.
    """
    for path in (MODELS / model / f"{role}.onnx", Path(model) / f"{role}.onnx", Path(model)):
        if path.is_file():
            return path
    shipped = ", ".join(model_names()) or "none"
    raise ModelError(f"no model {model!r}; shipped are {shipped}; or give a folder that clari-export wrote")


def open_graph(model: str, role: str) -> tuple[onnxruntime.InferenceSession, Metadata]:
    """Load one graph on one thread and check that it is ours.

    Raises:
        ModelError: missing, damaged, of another role or format.
    """
    path = find_graph(model, role)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # spinning pools cost more than these sizes gain
    options.add_session_config_entry("session.set_denormal_as_zero", "1")  # decaying state would slow silence tenfold
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        written = session.get_modelmeta().custom_metadata_map
    except Exception as error:  # onnxruntime's own exception types are not public; any of them means a bad file
        reason = str(error).splitlines()[0][:100]
        raise ModelError(f"{path} is no usable ONNX graph ({reason}); export it again with clari-export") from None
    try:
        values: dict[str, Any] = {field.name: json.loads(written[field.name]) for field in fields(Metadata)}
    except (KeyError, json.JSONDecodeError):
        raise ModelError(f"{path} is no clari graph: its metadata is missing; give one that clari-export wrote") from None
    meta = Metadata(**values)
    if meta.clari_format != FORMAT_VERSION:
        raise ModelError(f"{path} has format {meta.clari_format}, this clari reads {FORMAT_VERSION}; install the matching clari")
    if meta.role != role:
        raise ModelError(f"{path} is the {meta.role} of {meta.name}; the {role} is needed here")
    shape = (meta.sample_rate_hz, meta.samples_per_frame, meta.code_dimensions, meta.code_levels)
    if shape != (SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, CODE_DIMENSIONS, CODE_LEVELS):
        raise ModelError(f"{path} has another frame than packets carry; export it with this clari")
    release_memory()  # unpacking the weights took a multiple of what they fill
    return session, meta


class EncoderStream:
    """One stream's encoder."""

    def __init__(self, encoder: Encoder):
        self._session = encoder.session
        self._state = np.zeros((1, encoder.meta.state_size), np.float32)

    def encode(self, pcm: Pcm) -> Codes:
        """80 ms of samples [1280] in -1..1 -> codes [8] with values 0..3. What is not finite counts as silence."""
        finite = np.clip(np.nan_to_num(pcm, nan=0.0, posinf=0.0, neginf=0.0), -1, 1).astype(np.float32)
        codes, self._state = self._session.run(None, {"pcm": finite[None], "state": self._state})
        found: Codes = codes[0].astype(np.uint8)
        return found


class DecoderStream:
    """One stream's decoder."""

    def __init__(self, decoder: Decoder):
        self._session = decoder.session
        self._state = np.zeros((1, decoder.meta.state_size), np.float32)
        self._none = np.zeros((1, CODE_DIMENSIONS), np.int64)

    def decode(self, codes: Codes | None) -> Pcm:
        """Codes [8], or None where none arrived -> 80 ms of samples [1280] in -1..1."""
        lost = np.array([[codes is None]])
        values = self._none if codes is None else codes[None].astype(np.int64)
        pcm, self._state = self._session.run(None, {"codes": values, "lost": lost, "state": self._state})
        samples: Pcm = pcm[0]
        return samples

    def save(self) -> DecoderState:
        """The state as it is now."""
        return self._state

    def restore(self, state: DecoderState) -> None:
        """Go back to a state that `save` gave."""
        self._state = state


class Encoder:
    """An encoder graph: immutable, shared by any number of streams."""

    def __init__(self, model: str):
        """Load and warm up: `model` is a shipped name, a folder or a file.

        Raises:
            ModelError: missing, damaged, of another role or format.
        """
        self.session, self.meta = open_graph(model, "encoder")
        warm = self.stream()
        for _ in range(WARM_UP_FRAMES):
            warm.encode(np.zeros(SAMPLES_PER_FRAME, np.float32))

    def stream(self) -> EncoderStream:
        return EncoderStream(self)


class Decoder:
    """A decoder graph: immutable, shared by any number of streams."""

    def __init__(self, model: str):
        """Load and warm up: `model` is a shipped name, a folder or a file.

        Raises:
            ModelError: missing, damaged, of another role or format.
        """
        self.session, self.meta = open_graph(model, "decoder")
        warm = self.stream()
        for _ in range(WARM_UP_FRAMES):
            warm.decode(None)

    def stream(self) -> DecoderStream:
        return DecoderStream(self)


def load_encoder(model: str = "base") -> Encoder:
    """The encoder of a shipped model, of a folder or file; warmed up. Raises ModelError."""
    return Encoder(model)


def load_decoder(model: str = "base") -> Decoder:
    """The decoder of a shipped model, of a folder or file; warmed up. Raises ModelError."""
    return Decoder(model)
