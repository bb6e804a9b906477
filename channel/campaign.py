"""One cell of a campaign: an utterance, coded by one encoder, through one link under one protection, and what was heard.

A cell is a pure function of its job: the same job gives the same result, bit for bit, in whatever process and order.
What the speech was worth is asked of a module that is known by its name (`ASSESSMENT`): the channel does not know codecs.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from channel.passage import LinkFigures, Passage, Terms, listen, pass_through
from channel.recorded import RememberingDecoder, SilentDecoder, encode
from channel.simulator import ChannelConfig
from stream.engine import Encoder, Metadata, find_graph, load_encoder, open_graph
from stream.errors import ModelError
from stream.frame import SAMPLE_RATE_HZ, Codes, Pcm

ASSESSMENT = "codec.assess"
ORIGINAL = "original"  # in place of a link: what was recorded, which bounds every figure
REMEMBERED_SCORES = 256
NAN = float("nan")


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
            "judged": [self.judged.decode, self.judged.judge],
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
class Spent:
    """Processor time of a cell in seconds; no part of the result."""

    link_s: float = 0.0
    decode_s: float = 0.0
    assess_s: float = 0.0


def digest_of(*parts: bytes) -> str:
    """32 letters that stand for these bytes."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()[:32]


def program_digest(packages: Sequence[str] = ("stream", "channel", "codec")) -> str:
    """Hash of the program text, without which an interrupted campaign would mix results of two programs."""
    root = Path(__file__).parent.parent
    own = [path for package in packages[:2] for path in sorted((root / package).glob("*.py"))]
    heard = [root / packages[2] / f"{name}.py" for name in ("assess", "judge", "metrics", "text")]
    return digest_of(*(path.read_bytes() for path in [*own, *heard]))


def compute(job: Job) -> tuple[Cell, Spent]:
    """Compute a cell.

    Raises:
        ClariError: a model, library or cache that it needs cannot be used.
    """
    if job.config is None:
        return _cell(job, None, *_assess(job.judged, job.utterance, job.utterance.samples, job.utterance.samples)), Spent()
    samples = round(job.utterance.seconds * SAMPLE_RATE_HZ)
    decoder = _decoder(job.coder.model, job.coder.digest) if job.judged.decode else SilentDecoder(job.coder.meta)
    began_s = time.process_time()
    passage = pass_through(job.codes, samples, job.coder.meta, job.terms, job.config, job.channel_seed, decoder)
    linked_s = time.process_time()
    if not job.judged.decode:
        return _cell(job, passage.figures, NAN, 0, 0), Spent(linked_s - began_s)
    key = _heard_key(job, passage)
    if key in _scores:
        _scores.move_to_end(key)
        return _cell(job, passage.figures, *_scores[key]), Spent(linked_s - began_s, time.process_time() - linked_s)
    placed, played = listen(passage, samples, job.coder.meta.shift_samples)
    decoded_s = time.process_time()
    _scores[key] = _assess(job.judged, job.utterance, placed, played)
    if len(_scores) > REMEMBERED_SCORES:
        _scores.popitem(last=False)
    spent = Spent(linked_s - began_s, decoded_s - linked_s, time.process_time() - decoded_s)
    return _cell(job, passage.figures, *_scores[key]), spent


@dataclass(frozen=True)
class EncodeJob:
    """An utterance for one encoder."""

    utterance: Utterance
    coder: Coder

    @property
    def key(self) -> str:
        """The same for two jobs only if their codes are the same."""
        return digest_of(self.utterance.digest.encode(), self.coder.digest.encode())


def compute_codes(job: EncodeJob) -> tuple[Codes, float]:
    """Codes [frames, 8] and the processor time that they took; raises ModelError."""
    encoder = _encoder(job.coder.model, job.coder.digest)
    began_s = time.process_time()
    return encode(encoder, job.utterance.samples), time.process_time() - began_s


# One of each per process. The hash is in the key, so that a model that was replaced is loaded again.
_scores: OrderedDict[tuple[str, ...], tuple[float, int, int]] = OrderedDict()


@lru_cache(maxsize=2)
def _decoder(model: str, digest: str) -> RememberingDecoder:
    return RememberingDecoder(model)


@lru_cache(maxsize=2)
def _encoder(model: str, digest: str) -> Encoder:
    return load_encoder(model)


@lru_cache(maxsize=2)
def _assessor(judge: str | None, cache: Path | None) -> Any:
    return importlib.import_module(ASSESSMENT).Assessor(judge, cache)


def _assess(judged: Judged, utterance: Utterance, placed: Pcm, played: Pcm) -> tuple[float, int, int]:
    assessor = _assessor(judged.judge, judged.cache)
    return (assessor.stoi(utterance.samples, placed), *assessor.words(utterance.transcript, played))


def _heard_key(job: Job, passage: Passage) -> tuple[str, ...]:
    """What the sound depends on: who says it, the decoder, every slot and the pauses between them; and who judges it."""
    parts = []
    for each in passage.played:
        missed = [b"-" if codes is None else codes.tobytes() for codes in each.slot.missed]
        said = b"-" if each.slot.codes is None else each.slot.codes.tobytes()
        parts += [b"%d %d %d" % (each.frame, each.pause_samples, each.slot.pause), said, b",".join(missed)]
    judged = job.judged
    return job.utterance.digest, job.coder.digest, str(judged.judge), str(judged.cache), digest_of(*parts)


def _cell(job: Job, figures: LinkFigures | None, stoi: float, errors: int, words: int) -> Cell:
    original = job.config is None
    return Cell(
        utterance=job.utterance.name,
        speaker=job.utterance.speaker,
        encoder="-" if original else job.coder.name,
        link=ORIGINAL if original else job.link,
        profile="-" if original else job.terms.profile.name,
        protection="-" if original else str(job.terms.protection),
        seed=job.seed,
        figures=figures,
        decoded=job.judged.decode,
        stoi=float(np.float64(stoi)),
        word_errors=errors,
        words=words,
    )
