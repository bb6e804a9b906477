"""Recognisers that judge decoded speech.

No training hears pocketsphinx or faster-whisper. Moonshine also teaches (codec/teacher.py): it may judge other codecs, and
models that it did not teach.

    judge = CachedJudge(open_judge("pocketsphinx", workers=2), default_cache())
    for hypothesis in judge.transcribe(audios): ...

A hypothesis depends on the audio and the recogniser's version only, never on the order of the utterances or on which
process heard them; so it is kept in a folder, under the hash of both.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from codec.processes import processes
from stream import wav_stream
from stream.errors import ClariError, FileError, UsageError
from stream.frame import SAMPLE_RATE_HZ


class Judge(Protocol):
    """A speech recogniser."""

    name: str
    """Recogniser, version and model: heads the table and is part of the cache key."""

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        """Hypotheses of int16 recordings [N] at 16 kHz, in their order, each as soon as it is known."""


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Samples [N] in -1..1 as int16 [N], clipped: what a judge hears."""
    return np.frombuffer(wav_stream.to_int16(samples), "<i2")


def listen(
    audios: Sequence[np.ndarray], workers: int, load: Callable[[], None], recognize: Callable[[np.ndarray], str]
) -> Iterator[str]:
    """Hypotheses by so many processes, each of which calls `load` once; 0: by this one.

    Raises:
        ClariError: a process died.
    """
    if not audios:
        return
    if not workers:
        load()
        yield from map(recognize, audios)
        return
    with processes(min(workers, len(audios)), load) as run:
        yield from run(recognize, audios)


_decoder: Any = None  # one per process of the pool


def _load() -> None:
    global _decoder
    from pocketsphinx import Decoder

    _decoder = _decoder or Decoder(samprate=SAMPLE_RATE_HZ, loglevel="FATAL")


def _recognize(audio: np.ndarray) -> str:
    if not len(audio):
        return ""
    # The noise estimate of one utterance otherwise lives on and changes the words of the next.
    _decoder.reinit_feat()
    _decoder.start_utt()
    _decoder.process_raw(audio.tobytes(), no_search=False, full_utt=True)
    _decoder.end_utt()
    hypothesis = _decoder.hyp()
    return hypothesis.hypstr if hypothesis else ""


class PocketsphinxJudge:
    """CMU pocketsphinx with the US English model of its package, about real time on one core (Huggins-Daines 2006)."""

    def __init__(self, workers: int = 2):
        """Find the package. `workers`: processes that listen; 0: this one does, which may itself be one of several.

        Raises:
            ClariError: it is not installed.
        """
        self.workers = workers
        try:
            self.name = f"pocketsphinx {version('pocketsphinx')} en-us"
        except PackageNotFoundError:
            raise ClariError("judge pocketsphinx is not installed; install: pip install 'clari[eval]'") from None

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        """See Judge.transcribe.

        Raises:
            ClariError: a recogniser process died.
        """
        return listen(audios, self.workers, _load, _recognize)


def open_judge(name: str, workers: int) -> Judge:
    """The judge `pocketsphinx`, `moonshine`, or `faster-whisper` with a model of its own choice or behind a colon.

    Raises:
        ClariError: its package is not installed or its model cannot be had.
        UsageError: there is no such judge.
    """
    kind, _, model = name.partition(":")
    if name == "pocketsphinx":
        return PocketsphinxJudge(workers)
    if name == "moonshine":
        from codec.moonshine import MoonshineJudge  # only who asks for it needs its package

        return MoonshineJudge(workers)
    if kind == "faster-whisper":
        from codec.whisper import DEFAULT_MODEL, WhisperJudge

        return WhisperJudge(model or DEFAULT_MODEL, workers)
    raise UsageError(f"no judge {name!r}; choose pocketsphinx, moonshine, faster-whisper or faster-whisper:MODEL")


class CachedJudge:
    """A judge that remembers: one small text file per recording and recogniser."""

    def __init__(self, judge: Judge, folder: Path):
        self.judge, self.folder = judge, folder
        self.name = judge.name

    def _path(self, audio: np.ndarray) -> Path:
        digest = hashlib.sha256(self.name.encode() + b"\0" + audio.astype("<i2").tobytes()).hexdigest()
        return self.folder / digest[:2] / f"{digest}.txt"

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        """See Judge.transcribe.

        Raises:
            FileError: the folder cannot be read or written.
        """
        paths = [self._path(audio) for audio in audios]
        known = [path.is_file() for path in paths]
        new = self.judge.transcribe([audio for audio, is_known in zip(audios, known, strict=True) if not is_known])
        for path, is_known in zip(paths, known, strict=True):
            try:
                yield path.read_text(encoding="utf-8") if is_known else _keep(path, next(new))
            except OSError as error:
                raise FileError(f"{self.folder}: {error.strerror}; choose a writable folder with --cache") from None


def _keep(path: Path, hypothesis: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(hypothesis, encoding="utf-8")
    unfinished.replace(path)
    return hypothesis


def default_cache() -> Path:
    """Folder of the judges' cache below the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clari" / "judge"
