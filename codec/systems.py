"""What is compared: the original, vocoder resynthesis without quantiser, clari, and Codec2 at 3.5 times its bits.

A system takes the samples of an utterance and gives back what a listener at the other end hears, with its delay
removed, and the bits that were sent for it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soxr

from codec.config import BITS_PER_FRAME, HOP_SAMPLES, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from codec.judge import to_int16
from codec.metrics import log_mel
from stream.errors import ClariError, FileError, ModelError

SYSTEM_NAMES = ("original", "vocoder", "clari", "codec2-700c")


class UnavailableError(Exception):
    """A system that this machine or command line does not offer; the text names the cure."""


@dataclass(frozen=True)
class Decoded:
    """An utterance at the receiver.

    samples: float32 [N], laid on the N samples of the original.
    bits: sent for `coded_s` seconds, the utterance and the silence after it that brings out its end; None where
        nothing was quantised.
    """

    samples: np.ndarray
    bits: int | None
    coded_s: float


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


class Original:
    """The recording itself: what the judge makes of it bounds every other row."""

    name = "original"

    def decode(self, samples: np.ndarray) -> Decoded:
        return Decoded(samples, 16 * len(samples), len(samples) / SAMPLE_RATE_HZ)


class VocoderSystem:
    """The original's log-mel through the vocoder: what clari would reach with unlimited bits."""

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
    """The shipped graphs, one frame of 80 ms at a time, as they run between sender and receiver."""

    name = "clari"

    def __init__(self, model: str):
        """Load a model by name or path.

        Raises:
            ModelError: the model is missing or damaged.
        """
        from stream.engine import load_decoder, load_encoder

        self.encoder, self.decoder = load_encoder(model), load_decoder(model)
        self.delay_samples = int(self.encoder.meta.shift_samples)

    def decode(self, samples: np.ndarray) -> Decoded:
        heard = padded(samples, self.delay_samples, SAMPLES_PER_FRAME)
        encoder, decoder = self.encoder.stream(), self.decoder.stream()
        frames = heard.reshape(-1, SAMPLES_PER_FRAME)
        # A copy: an engine may hand out the same output buffer for every frame.
        whole = np.concatenate([np.array(decoder.decode(encoder.encode(frame))) for frame in frames])
        bits = BITS_PER_FRAME * len(frames)
        return Decoded(realigned(whole, self.delay_samples, len(samples)), bits, len(heard) / SAMPLE_RATE_HZ)


@dataclass(frozen=True)
class Codec2Mode:
    """One bit rate of Codec2 (Rowe, https://github.com/drowe67/codec2) at 8 kHz."""

    mode: str
    frame_samples: int
    bits_per_frame: int
    delay_samples: int
    """At 8 kHz. Where STOI against the original peaks, the same within 5 ms for every voice tried."""


CODEC2_700C = Codec2Mode("700C", frame_samples=320, bits_per_frame=28, delay_samples=240)


class Codec2System:
    """Debian's Codec2 through its command line programs."""

    def __init__(self, mode: Codec2Mode):
        """Find the programs.

        Raises:
            UnavailableError: they are not installed.
        """
        missing = [program for program in ("c2enc", "c2dec") if shutil.which(program) is None]
        if missing:
            raise UnavailableError(f"{missing[0]} not found; install the Debian package codec2")
        self.mode = mode
        self.name = f"codec2-{mode.mode.lower()}"

    def decode(self, samples: np.ndarray) -> Decoded:
        mode, rate_hz = self.mode, 8_000
        narrow = soxr.resample(samples.astype(np.float32), SAMPLE_RATE_HZ, rate_hz)
        # One frame more than the delay needs: resampling rounds, and the utterance must come out whole.
        heard = padded(narrow, mode.delay_samples + mode.frame_samples, mode.frame_samples)
        coded = self._run("c2enc", to_int16(heard).astype("<i2").tobytes())
        decoded = np.frombuffer(self._run("c2dec", coded), dtype="<i2").astype(np.float32) / 32768
        whole = soxr.resample(decoded, rate_hz, SAMPLE_RATE_HZ)
        # The file fills each frame up to whole bytes; a link would not send the filling, so it is not counted.
        frames = len(coded) // -(-mode.bits_per_frame // 8)
        delay_samples = mode.delay_samples * SAMPLE_RATE_HZ // rate_hz
        return Decoded(realigned(whole, delay_samples, len(samples)), frames * mode.bits_per_frame, len(heard) / rate_hz)

    def _run(self, program: str, data: bytes) -> bytes:
        done = subprocess.run([program, self.mode.mode, "-", "-"], input=data, capture_output=True, check=False)
        if done.returncode != 0 or not done.stdout:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
            raise ClariError(f"{program} {self.mode.mode} failed: {said[0]}; reinstall the Debian package codec2")
        return done.stdout


def build_systems(names: Sequence[str], model: str, vocoder: Path) -> tuple[list[System], dict[str, str]]:
    """The named systems in the table's order, the original always first, and why others were left out, by name.

    Raises:
        FileError, ModelError: the vocoder's or clari's model cannot be loaded.
    """
    systems: list[System] = [Original()]
    skipped = {}
    for name in SYSTEM_NAMES[1:]:
        if name not in names:
            continue
        try:
            if name == "vocoder":
                if not vocoder.exists():
                    raise UnavailableError(f"{vocoder} is missing; give a weights file or run folder with --vocoder")
                systems.append(VocoderSystem(vocoder))
            elif name == "clari":
                systems.append(ClariSystem(model))
            else:
                systems.append(Codec2System(CODEC2_700C))
        except UnavailableError as error:
            skipped[name] = str(error)
    return systems, skipped
