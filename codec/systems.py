"""What can be compared: the original, what was heard of it, vocoder resynthesis without quantiser, and clari.

A system takes the samples of an utterance and gives back what a listener at the other end hears, with its delay
removed, and the bits that were sent for it. Other people's codecs are in `codec.baselines`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from codec.config import BITS_PER_FRAME, HOP_SAMPLES
from codec.metrics import log_mel
from stream.errors import FileError, ModelError
from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from stream.profile import PROFILES


class UnavailableError(Exception):
    """A system that this machine or command line does not offer; the text names the cure."""


@dataclass(frozen=True)
class Decoded:
    """An utterance at the receiver.

    samples: float32 [N], laid on the N samples of the original.
    bits: sent for `coded_s` seconds, the utterance and the silence after it that brings out its end; None where
        nothing was quantised.
    codes: uint8 [frames, dimensions] of clari's quantiser, None for other systems.
    """

    samples: np.ndarray
    bits: int | None
    coded_s: float
    codes: np.ndarray | None = None


class System(Protocol):
    """One row of the table."""

    name: str

    def decode(self, samples: np.ndarray) -> Decoded:
        """Send samples [N] at 16 kHz through the system."""


def padded(samples: np.ndarray, delay_samples: int, frame_samples: int) -> np.ndarray:
    """Samples [N] with zeros after them: whole frames, and enough that N samples come out `delay_samples` later."""
    after = delay_samples + -(len(samples) + delay_samples) % frame_samples
    return np.pad(samples.astype(np.float32), (0, after))


def realigned(decoded: np.ndarray, delay_samples: int, samples: int) -> np.ndarray:
    """The `samples` samples of `decoded` [M] that belong to the original, which they follow by `delay_samples`.

    Raises:
        ValueError: the end of the utterance has not come out.
    """
    if len(decoded) < delay_samples + samples:
        raise ValueError(f"{len(decoded)} samples decoded, {delay_samples + samples} needed; pad the input")
    return decoded[delay_samples : delay_samples + samples].astype(np.float32)


class Unchanged:
    """What was recorded: what the judge makes of it bounds every other row."""

    def __init__(self, name: str):
        self.name = name

    def decode(self, samples: np.ndarray) -> Decoded:
        return Decoded(samples, 16 * len(samples), len(samples) / SAMPLE_RATE_HZ)


class VocoderSystem:
    """The log-mel through the vocoder: what clari would reach with unlimited bits."""

    name = "vocoder"

    def __init__(self, weights: Path):
        """Load the vocoder's weights from a weights file or a run folder.

        Raises:
            FileError: there is no such file or folder.
            ModelError: it holds something else.
        """
        from codec.run import RunError
        from codec.vocoder import DELAY_SAMPLES, Vocoder
        from codec.weights import fill, part, read_weights

        if not weights.exists():
            raise FileError(f"{weights}: no such file; give a weights file or the run folder of a trained vocoder")
        self.delay_samples = DELAY_SAMPLES
        try:
            state, config, _ = read_weights(weights)
            self.vocoder = Vocoder(config.model).eval()
            fill(self.vocoder, part(state, "vocoder."), weights)
        except RunError as error:
            raise ModelError(str(error)) from None

    def decode(self, samples: np.ndarray) -> Decoded:
        import torch

        heard = padded(samples, self.delay_samples, HOP_SAMPLES)
        with torch.no_grad():
            decoded, _ = self.vocoder(log_mel(heard), self.vocoder.initial_state(1))
        whole = decoded[0].clamp(-1, 1).numpy()
        return Decoded(realigned(whole, self.delay_samples, len(samples)), None, len(heard) / SAMPLE_RATE_HZ)


class ClariSystem:
    """Exported graphs, packets of profile `standard`, as they run between sender and receiver."""

    def __init__(self, model: str, name: str = "clari"):
        """Load a model by name or path; `name` heads its row.

        Raises:
            ModelError: the model is missing or damaged.
        """
        from stream.engine import load_decoder, load_encoder

        self.name = name
        self.encoder, self.decoder = load_encoder(model), load_decoder(model)
        self.delay_samples = int(self.encoder.meta.shift_samples)

    def decode(self, samples: np.ndarray) -> Decoded:
        packet_samples = PROFILES["standard"].frames * SAMPLES_PER_FRAME
        heard = padded(samples, self.delay_samples, packet_samples)
        encoder, decoder = self.encoder.stream(), self.decoder.stream()
        codes = np.concatenate([encoder.encode(packet) for packet in heard.reshape(-1, packet_samples)])
        return Decoded(
            realigned(decoder.decode_many(codes), self.delay_samples, len(samples)),
            BITS_PER_FRAME * len(codes),
            len(heard) / SAMPLE_RATE_HZ,
            codes,
        )


class UnroundedSystem:
    """Clari's network with eight numbers a frame in place of 16 bits: what is lost here is not lost by rounding."""

    name = "unrounded"

    def __init__(self, weights: Path):
        """Load a whole codec from a weights file.

        Raises:
            UnavailableError: it holds no whole codec.
        """
        from codec.run import RunError
        from codec.weights import assemble

        try:
            self.codec, _, _ = assemble(weights, weights)
        except RunError as error:
            raise UnavailableError(f"{error}; a weights file of a whole codec has it") from None
        self.delay_samples = self.codec.shift_samples

    def decode(self, samples: np.ndarray) -> Decoded:
        import torch

        heard = padded(samples, self.delay_samples, SAMPLES_PER_FRAME)
        with torch.no_grad():
            lost = torch.zeros(1, len(heard) // SAMPLES_PER_FRAME)
            mel = self.codec.mel_codec.without_rounding(log_mel(heard), lost)
            spoken, _ = self.codec.vocoder(mel, self.codec.vocoder.initial_state(1))
        whole = spoken[0].clamp(-1, 1).numpy()
        return Decoded(realigned(whole, self.delay_samples, len(samples)), None, len(heard) / SAMPLE_RATE_HZ)
