"""The rows of the tables: the original, clari with and without losses, other people's codecs, and whatever else has a name,
a rate and a way with samples.

To add a row, write a class with the three members of `System` and a line in `build_systems`; nothing else knows which
systems there are. A row of phones is a `PhoneReader` instead.
"""

from __future__ import annotations

import copy
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from codec.evaluate.baselines import CODEC2_MODES, Codec2System, OpusSystem, UnavailableError, padded, realigned
from stream.engine import EncoderStream, find_graph, load_decoder, load_encoder
from stream.errors import UsageError
from stream.frame import CODE_DIMENSIONS, FRAME_S, SAMPLES_PER_FRAME, Codes, Pcm
from stream.profile import find_profile

ORIGINAL, NOISY, CLARI, LOST = "original", "noisy", "clari", "lost"
_CODEC2 = {f"codec2-{mode.mode.lower()}": mode for mode in CODEC2_MODES}
SYSTEM_NAMES = (ORIGINAL, CLARI, *_CODEC2, OpusSystem.name)
BITS_PER_S = 2 * CODE_DIMENSIONS / FRAME_S  # two bits a digit
PROFILE = "standard"
LOSS_PERIOD, LOSS_BURST = 20, 2  # packets: every tenth is lost, two in a row


class System(Protocol):
    """One row of the tables."""

    name: str
    bits_per_s: float | None
    """Bits for the speech itself, None where nothing is quantised."""

    def process(self, samples: np.ndarray, transcript: str) -> np.ndarray:
        """What a listener hears of samples, float32 [N] at 16 kHz: float32 [N], laid on them, any delay removed.

        transcript: what is said, for systems that speak instead of coding. What is longer or shorter is cut or filled
        with silence at its end.
        """


@dataclass(frozen=True)
class PhoneErrors:
    """Substitutions, deletions and insertions of one utterance's phones, and how many phones were said."""

    errors: int
    phones: int


class PhoneReader(Protocol):
    """One row of the table of phones: reads phones off somewhere inside a codec, without a voice or a judge."""

    name: str

    def phone_errors(self, samples: np.ndarray, transcript: str) -> PhoneErrors:
        """How many phones of an utterance, float32 [N] at 16 kHz, are read wrong."""


class Unchanged:
    """What was recorded: what the judge makes of it bounds every other row."""

    bits_per_s: float | None = 256_000.0  # 16 bits a sample

    def __init__(self, name: str):
        self.name = name

    def process(self, samples: np.ndarray, transcript: str) -> np.ndarray:
        return samples


def encode_packet(stream: EncoderStream, pcm: Pcm) -> Codes:
    """Samples [n * 1280] of one packet -> codes [n, 8]. All coding of an evaluation goes through here."""
    return stream.encode(pcm)


def lost_packets(packets: int, phase: int) -> np.ndarray:
    """Which packets are lost, bool [packets]: in every 20 two in a row, begun `phase` packets into the period.

    A fixed pattern of the rate and burst length that the channel's Gilbert-Elliott model would have on average, without
    its luck: every model and every run loses the same packets.
    """
    lost: np.ndarray = (np.arange(packets) + phase) % LOSS_PERIOD < LOSS_BURST
    return lost


class ClariSystem:
    """Exported graphs, packet by packet, as they run between sender and receiver; no repair, no repeated codes."""

    def __init__(self, model: str, name: str = CLARI, profile: str = PROFILE):
        """Load a model by name or path; `name` heads its row.

        Raises:
            ModelError: the model is missing or damaged.
            UsageError: there is no such profile.
        """
        self.name = name
        self.model = Path(model).name
        self.bits_per_s: float | None = BITS_PER_S
        self.packet_frames = find_profile(profile).frames
        self.encoder, self.decoder = load_encoder(model), load_decoder(model)
        self.delay_samples = int(self.encoder.meta.shift_samples)
        self.sha256 = weights_sha256(model)
        self.lossy = False
        self.sent: list[Codes] = []
        """Codes [frames, 8] of every utterance so far."""

    def with_losses(self) -> ClariSystem:
        """The same model over a link that loses every tenth packet, two in a row."""
        other = copy.copy(self)
        other.name, other.lossy, other.sent = f"{self.name}-{LOST}", True, []
        return other

    def process(self, samples: np.ndarray, transcript: str) -> np.ndarray:
        heard = padded(samples, self.delay_samples, self.packet_frames * SAMPLES_PER_FRAME)
        packets = heard.reshape(-1, self.packet_frames * SAMPLES_PER_FRAME)
        encoder, decoder = self.encoder.stream(), self.decoder.stream()
        codes = [encode_packet(encoder, packet) for packet in packets]
        self.sent.append(np.concatenate(codes))
        # Where in the pattern an utterance begins depends on its samples alone.
        phase = zlib.crc32(samples.astype(np.float32).tobytes()) % LOSS_PERIOD
        lost = lost_packets(len(packets), phase) & self.lossy
        # Copies: an engine may hand out the same output buffer for every frame.
        frames = [
            np.array(decoder.decode(None if is_lost else frame))
            for packet, is_lost in zip(codes, lost, strict=True)
            for frame in packet
        ]
        return realigned(np.concatenate(frames), self.delay_samples, len(samples))


def weights_sha256(model: str) -> str:
    """Hash of a model's two graphs, encoder first: what a table of figures belongs to.

    Raises:
        ModelError: there is no such model.
    """
    digest = hashlib.sha256()
    for role in ("encoder", "decoder"):
        digest.update(find_graph(model, role).read_bytes())
    return digest.hexdigest()


def is_clari(name: str) -> bool:
    """Whether a row is a model of clari."""
    return name.split("-")[0] == CLARI


def clari_rows(models: Sequence[str]) -> dict[str, str]:
    """Row name -> model: `clari`, or `clari-NAME` for each of several models, NAME being the last part of a path.

    Raises:
        UsageError: two rows would have one name.
    """
    if len(models) == 1:
        return {CLARI: models[0]}
    rows: dict[str, str] = {}
    for model in models:
        name = f"{CLARI}-{Path(model).resolve().name}"
        if name in rows:
            raise UsageError(f"--model {rows[name]} and --model {model} would both be {name}; rename one of the folders")
        rows[name] = model
    return rows


def build_systems(names: Sequence[str], models: Sequence[str], profile: str = PROFILE) -> tuple[list[System], dict[str, str]]:
    """The named systems in the table's order, the original always first, and why others were left out, by name.

    Raises:
        ModelError: a model cannot be loaded.
        UsageError: two models have one name, or there is no such profile.
    """
    systems: list[System] = [Unchanged(ORIGINAL)]
    skipped = {}
    for name in (name for name in SYSTEM_NAMES[1:] if name in names):
        try:
            if name == CLARI:
                systems += [ClariSystem(model, row, profile) for row, model in clari_rows(models).items()]
            else:
                systems.append(Codec2System(_CODEC2[name]) if name in _CODEC2 else OpusSystem())
        except UnavailableError as error:
            skipped[name] = str(error)
    return systems, skipped
