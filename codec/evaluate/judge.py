"""Recognisers that judge decoded speech: Whisper base, and pocketsphinx as a second opinion. No training hears either.

    judge = CachedJudge(open_judge("whisper", workers=2), Cache(default_cache()))
    for hypothesis in judge.transcribe(audios): ...

A hypothesis depends on the audio and the recogniser's version only, never on the order of the utterances or on which
process heard them; so it is kept in a folder, under the hash of both, and a run that was broken off goes on.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stream import wav_stream
from stream.errors import ClariError, FileError, UsageError
from stream.frame import SAMPLE_RATE_HZ
from stream.worker import begin_worker

JUDGES = ("whisper", "pocketsphinx")


class Judge(Protocol):
    """A speech recogniser."""

    kind: str
    """Short name: heads the columns."""
    name: str
    """Recogniser, version and model: heads the report and is part of the cache key."""

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        """Hypotheses of int16 recordings [N] at 16 kHz, in their order, each as soon as it is known."""


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Samples [N] in -1..1 as int16 [N], clipped: what a judge hears."""
    return np.frombuffer(wav_stream.to_int16(samples), "<i2")


def open_judge(name: str, workers: int) -> Judge:
    """The judge `pocketsphinx`, `whisper`, or `whisper:MODEL` with a folder or a size that faster-whisper knows.

    `workers`: cores that listen; 0: this process does, which may itself be one of several.

    Raises:
        ClariError: its package is not installed or its model cannot be had.
        UsageError: there is no such judge.
    """
    kind, colon, model = name.partition(":")
    if name == "pocketsphinx":
        return PocketsphinxJudge(workers)
    if kind == "whisper" and (model or not colon):
        from codec.evaluate.whisper import WhisperJudge  # only who asks for it needs its package

        return WhisperJudge(model, max(workers, 1))
    raise UsageError(f"no judge {name!r}; choose {', '.join(JUDGES)} or whisper:FOLDER")


_decoder: Any = None  # one per process of the pool


def _load() -> None:
    global _decoder
    from pocketsphinx import Decoder

    _decoder = _decoder or Decoder(samprate=SAMPLE_RATE_HZ, loglevel="FATAL")


def _begin() -> None:
    begin_worker()
    _load()


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
    """CMU pocketsphinx with the US English model of its package, about real time on one core (Huggins-Daines 2006).

    A weak recogniser, whose strictness tells crisp speech from blurred where a strong one guesses both.
    """

    kind = "pocketsphinx"

    def __init__(self, workers: int = 2):
        """Find the package. `workers`: processes that listen; 0: this one does.

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
        if not audios:
            return
        if not self.workers:
            _load()
            yield from map(_recognize, audios)
            return
        # Spawned, not forked: a fork would copy the threads' locks of torch and onnxruntime.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(self.workers, len(audios)), context, _begin) as pool:
            try:
                yield from pool.map(_recognize, audios)
            except BrokenProcessPool:
                raise ClariError("a recogniser process died, likely out of memory; use --workers 1") from None
            finally:
                pool.shutdown(cancel_futures=True)


class Cache:
    """Small texts in a folder, each under the hash of what it was made from."""

    def __init__(self, folder: Path):
        self.folder = folder

    def _path(self, parts: Sequence[bytes]) -> Path:
        digest = hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
        return self.folder / digest[:2] / f"{digest}.txt"

    def get(self, *parts: bytes) -> str | None:
        """The text under these parts, None where there is none.

        Raises:
            FileError: the folder cannot be read.
        """
        try:
            return self._path(parts).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error(error) from None

    def put(self, text: str, *parts: bytes) -> str:
        """Keep a text under these parts and give it back; who reads meanwhile sees the old state or all of the new.

        Raises:
            FileError: the folder cannot be written.
        """
        path = self._path(parts)
        unfinished = path.with_suffix(f".{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(path)
        except OSError as error:
            raise self._error(error) from None
        return text

    def _error(self, error: OSError) -> FileError:
        return FileError(f"{self.folder}: {error.strerror}; choose a writable folder with --cache")


def default_cache() -> Path:
    """Folder of what was judged and measured, below the user's cache folder: no part of any repository."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clari" / "judge"


class CachedJudge:
    """A judge that remembers: one small text file per recording and recogniser."""

    def __init__(self, judge: Judge, cache: Cache):
        self.judge, self.cache = judge, cache
        self.kind, self.name = judge.kind, judge.name

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        """See Judge.transcribe.

        Raises:
            FileError: the folder cannot be read or written.
        """
        keys = [(self.name.encode(), audio.astype("<i2").tobytes()) for audio in audios]
        known = [self.cache.get(*key) for key in keys]
        new = self.judge.transcribe([audio for audio, text in zip(audios, known, strict=True) if text is None])
        for key, text in zip(keys, known, strict=True):
            yield self.cache.put(next(new), *key) if text is None else text
