"""The codec at run time: two ONNX graphs and the state of each stream.

    encoder, decoder = load_encoder("base"), load_decoder("base")   # immutable, shared
    sending, hearing = encoder.stream(), decoder.stream()           # one per stream
    codes = sending.encode(pcm)                                     # a packet: [n * 1280] -> [n, 8]
    pcm = np.concatenate([hearing.decode(each) for each in codes])  # a frame: [8] -> [1280]

The encoder is causal in blocks: every frame of a packet sees the whole packet and what was remembered before it, so that codes
depend on where packets begin and end. The decoder gives the same samples frame by frame or many frames at a time. Everything
the runtime must know stands in the metadata of the graphs.
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
FORMAT_VERSION = 2
WARM_UP_FRAMES = 8

DecoderState = NDArray[np.float32]
Session = Any  # onnxruntime.InferenceSession, which has no types, or what is used like one


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
    packet_causal: bool  # every frame of a packet sees the whole packet; False: none sees a later one
    delay_samples: int  # from the first sample of a frame entering to the same speech leaving, if packets took no time
    shift_samples: int  # decoded against original when both are laid side by side frame for frame
    memory_frames: int  # before a packet, that can still change its codes
    decoder_id: int
    state_name: str
    state_size: int  # float32 numbers, all of them zero at the start
    attribution: str  # whose work is inside, under which licences
    training: str  # the run that made the weights, and its step
    training_revision: str  # git revision of the code that trained them
    configuration: str  # of that run, as JSON
    revision: str  # git revision of the code that exported them


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


def open_graph(model: str, role: str) -> tuple[Session, Metadata]:
    """Load one graph on one thread and check that it is ours.

    Raises:
        ModelError: missing, damaged, of another role or format.
    """
    path = find_graph(model, role)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # spinning pools cost more than these sizes gain
    options.enable_mem_pattern = False  # it keeps memory for every number of frames that was ever asked for
    options.add_session_config_entry("session.set_denormal_as_zero", "1")  # decaying state would slow silence tenfold
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        written = session.get_modelmeta().custom_metadata_map
    except Exception as error:  # onnxruntime's own exception types are not public; any of them means a bad file
        reason = str(error).splitlines()[0][:100]
        raise ModelError(f"{path} is no usable ONNX graph ({reason}); export it again with clari-export") from None
    try:
        version = int(json.loads(written["clari_format"]))
        if version not in (1, FORMAT_VERSION):
            raise ModelError(f"{path} has format {version}, this clari reads {FORMAT_VERSION}; install the matching clari")
        if version == 1:
            session, written = OneFrameSession(session), {**FORMAT_1, **written}
        values: dict[str, Any] = {field.name: json.loads(written[field.name]) for field in fields(Metadata)}
    except (KeyError, ValueError, TypeError):  # the last two: no JSON, or no number
        raise ModelError(f"{path} is no clari graph: its metadata is missing; give one that clari-export wrote") from None
    meta = Metadata(**values)
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
        self._session, self._meta = encoder.session, encoder.meta
        self._skipped_frames = 0  # since the last packet
        self._begin()

    def _begin(self) -> None:
        self._state = np.zeros((1, self._meta.state_size), np.float32)

    def encode(self, pcm: Pcm) -> Codes:
        """A packet of n frames, samples [n * 1280] in -1..1 -> codes [n, 8], 0..3. What is not finite counts as silence."""
        finite = np.clip(np.nan_to_num(pcm, nan=0.0, posinf=0.0, neginf=0.0), -1, 1).astype(np.float32)
        # The state is megabytes of keys and values: the array that comes out goes in again as it is.
        codes, self._state = self._session.run(None, {"pcm": finite[None], "state": self._state})
        self._skipped_frames = 0
        found: Codes = codes[0].astype(np.uint8)
        return found

    def skip(self, frames: int) -> None:
        """Leave out so many frames of silence: what follows is heard as if they had been cut out.

        Once as many frames are left out in a row as the encoder remembers, it begins anew.
        """
        self._skipped_frames += frames
        if self._skipped_frames >= self._meta.memory_frames:
            self._begin()


class DecoderStream:
    """One stream's decoder."""

    def __init__(self, decoder: Decoder):
        self._session = decoder.session
        self._state = np.zeros((1, decoder.meta.state_size), np.float32)
        self._none = np.zeros(CODE_DIMENSIONS, np.uint8)

    def decode(self, codes: Codes | None) -> Pcm:
        """Codes [8], or None where none arrived -> 80 ms of samples [1280] in -1..1."""
        return self.decode_many((self._none if codes is None else codes)[None], np.array([codes is None]))

    def decode_many(self, codes: Codes, lost: NDArray[np.bool_] | None = None) -> Pcm:
        """Codes [n, 8], and which of them did not arrive [n] (none unless given) -> samples [n * 1280] in -1..1."""
        lost = np.zeros(len(codes), bool) if lost is None else lost
        feeds = {"codes": codes[None].astype(np.int64), "lost": lost[None], "state": self._state}
        pcm, self._state = self._session.run(None, feeds)
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
        self.stream().encode(np.zeros(WARM_UP_FRAMES * SAMPLES_PER_FRAME, np.float32))

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
        self.stream().decode_many(np.zeros((WARM_UP_FRAMES, CODE_DIMENSIONS), np.uint8))

    def stream(self) -> DecoderStream:
        return DecoderStream(self)


def load_encoder(model: str = "base") -> Encoder:
    """The encoder of a shipped model, of a folder or file; warmed up. Raises ModelError."""
    return Encoder(model)


def load_decoder(model: str = "base") -> Decoder:
    """The decoder of a shipped model, of a folder or file; warmed up. Raises ModelError."""
    return Decoder(model)


# What follows serves the graphs of format 1 and goes with the last of them.

FORMAT_1 = {
    "packet_causal": "false",
    "attribution": '""',
    "training_revision": '""',
    "configuration": '"{}"',
}  # what those graphs do not say of themselves, as JSON


class OneFrameSession:
    """A graph that takes one frame a call, used like one that takes a packet."""

    def __init__(self, session: Session):
        self._session = session

    def run(self, outputs: None, feeds: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Codes [1, n, 8] of pcm [1, n * 1280], or pcm of codes and lost [1, n]; and the state after them."""
        state, found = feeds["state"], []
        if "pcm" in feeds:
            steps = [{"pcm": frame} for frame in feeds["pcm"].reshape(-1, 1, SAMPLES_PER_FRAME)]
        else:
            frames = zip(feeds["codes"][0], feeds["lost"][0], strict=True)
            steps = [{"codes": codes[None], "lost": lost[None, None]} for codes, lost in frames]
        for step in steps:
            out, state = self._session.run(None, {**step, "state": state})
            found.append(out)
        return (np.stack(found, axis=1) if "pcm" in feeds else np.concatenate(found, axis=1)), state
