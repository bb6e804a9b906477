"""What a campaign computes: a cell is an utterance, coded by one encoder, through one link under one protection.

A job says all that its cell depends on, and its key stands for that: under the same key lies the same result.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from channel.passage import LinkFigures, Terms
from channel.simulator import ChannelConfig
from stream.engine import Metadata, find_graph, open_graph
from stream.errors import ModelError
from stream.frame import Codes, Pcm

ORIGINAL = "original"  # in place of a link: what was recorded, which bounds every figure


def digest_of(*parts: bytes) -> str:
    """32 letters that stand for these bytes."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()[:32]


@dataclass(frozen=True)
class Utterance:
    """What is said; `samples` are float32 [N] at 16 kHz, empty where only a link is asked for."""

    name: str
    speaker: str
    transcript: str
    seconds: float
    samples: Pcm

    @property
    def digest(self) -> str:
        """What tells it from others: its samples, whatever its name; its name where there are none."""
        name = "" if len(self.samples) else self.name
        return digest_of(self.samples.tobytes(), self.transcript.encode(), f"{self.seconds} {len(self.samples)} {name}".encode())


@dataclass(frozen=True)
class Coder:
    """An encoder and its decoder: the row that they stand in, where they lie, what they say, and the SHA-256 of both files."""

    name: str
    model: str
    meta: Metadata
    encoder_sha256: str
    decoder_sha256: str

    @property
    def digest(self) -> str:
        """What tells them from others, wherever they lie."""
        return digest_of(self.encoder_sha256.encode(), self.decoder_sha256.encode())

    @classmethod
    def load(cls, name: str, model: str) -> Coder:
        """Look at a model.

        Raises:
            ModelError: it is missing, damaged, or its halves do not belong together.
        """
        metas = [open_graph(model, role)[1] for role in ("encoder", "decoder")]
        if metas[0].decoder_id != metas[1].decoder_id:
            raise ModelError(f"encoder and decoder of {model} are not of one model; export both again with clari-export")
        return cls(name, model, metas[0], *(sha256(find_graph(model, role).read_bytes()) for role in ("encoder", "decoder")))


def sha256(data: bytes) -> str:
    """As sha256sum prints it."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Judged:
    """How far an utterance goes: decoded and compared with the original by STOI, and heard by a recogniser."""

    decode: bool = True
    judge: str | None = None
    cache: Path | None = None
    judge_version: str | None = None  # what that recogniser calls itself: another release may understand other words


@dataclass(frozen=True)
class Job:
    """A cell and all that it needs."""

    utterance: Utterance
    coder: Coder
    codes: Codes  # [frames, 8]
    link: str
    config: ChannelConfig | None  # None: the original, without link and codec
    terms: Terms
    seed: int
    judged: Judged
    program: str  # hash of the code that computes it

    @property
    def key(self) -> str:
        """The same for two jobs only if their results are the same."""
        terms = {**asdict(self.terms), "protection": str(self.terms.protection)}
        said = {
            "utterance": self.utterance.digest,
            "coder": self.coder.digest,
            "codes": digest_of(self.codes.tobytes()),
            "link": [self.link, repr(self.config)],
            "terms": {name: repr(value) for name, value in terms.items()},
            "seed": self.seed,
            "judged": [self.judged.decode, self.judged.judge, self.judged.judge_version],
            "names": [self.utterance.name, self.utterance.speaker, self.coder.name],  # they stand in the cell
            "program": self.program,
        }
        return digest_of(json.dumps(said, sort_keys=True).encode())

    @property
    def channel_seed(self) -> int:
        """Of the link: the same for all protections and encoders, which thereby meet the same weather."""
        said = f"{self.seed} {self.utterance.digest} {self.link}"
        return int.from_bytes(hashlib.sha256(said.encode()).digest()[:6], "big")


@dataclass(frozen=True)
class Cell:
    """A result; a line of cells.csv. STOI is NaN and words are 0 where nobody listened."""

    utterance: str
    speaker: str
    encoder: str
    link: str
    profile: str
    protection: str
    seed: int
    figures: LinkFigures | None  # None: the original
    decoded: bool
    stoi: float
    word_errors: int
    words: int

    def flat(self) -> dict[str, Any]:
        """Names and values, those of the link beside the others."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "figures"}
        figures = asdict(self.figures) if self.figures else dict.fromkeys((field.name for field in fields(LinkFigures)), None)
        return {name: values[name] for name in list(values)[:7]} | figures | {name: values[name] for name in list(values)[7:]}

    @classmethod
    def from_flat(cls, flat: dict[str, Any]) -> Cell:
        """Inverse of `flat`."""
        names = [field.name for field in fields(LinkFigures)]
        figures = None if flat[names[0]] is None else LinkFigures(**{name: flat[name] for name in names})
        own = {field.name: flat[field.name] for field in fields(cls) if field.name != "figures"}
        return cls(figures=figures, **own)


@dataclass(frozen=True)
class EncodeJob:
    """An utterance for one encoder, in packets of one size, on which codes depend."""

    utterance: Utterance
    coder: Coder
    packet_frames: int

    @property
    def key(self) -> str:
        """The same for two jobs only if their codes are the same."""
        return digest_of(self.utterance.digest.encode(), self.coder.digest.encode(), str(self.packet_frames).encode())


@dataclass(frozen=True)
class Spent:
    """Processor time of a cell in seconds; no part of the result."""

    link_s: float = 0.0
    decode_s: float = 0.0
