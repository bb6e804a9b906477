"""One cell of a campaign: an utterance, coded by one encoder, through one link under one protection, and what was heard.

A cell is a pure function of its job: the same job gives the same result, bit for bit, in whatever process and order.
What the speech was worth is asked of a module that is known by its name (`ASSESSMENT`): the channel does not know codecs.
"""

from __future__ import annotations

import importlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from channel.job import ORIGINAL, Cell, EncodeJob, Job, Judged, Spent, Utterance, digest_of
from channel.passage import LinkFigures, Passage, listen, pass_through
from channel.recorded import RememberingDecoder, SilentDecoder, encode
from stream.engine import Encoder, load_encoder
from stream.frame import SAMPLE_RATE_HZ, Codes, Pcm

ASSESSMENT = "codec.assess"
REMEMBERED_SCORES = 256
NAN = float("nan")


def program_digest(packages: Sequence[str] = ("stream", "channel", "codec")) -> str:
    """Hash of the program text, without which an interrupted campaign would mix results of two programs."""
    root = Path(__file__).parent.parent
    own = [path for package in packages[:2] for path in sorted((root / package).glob("*.py"))]
    heard = [root / packages[2] / "assess.py", *sorted((root / packages[2] / "evaluate").glob("*.py"))]
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
    spent = Spent(linked_s - began_s, decoded_s - linked_s)
    return _cell(job, passage.figures, *_scores[key]), spent


def compute_codes(job: EncodeJob) -> tuple[Codes, float]:
    """Codes [frames, 8] and the processor time that they took; raises ModelError."""
    encoder = _encoder(job.coder.model, job.coder.digest)
    began_s = time.process_time()
    return encode(encoder, job.utterance.samples, job.packet_frames), time.process_time() - began_s


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
