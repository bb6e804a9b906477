"""Every utterance through every system, judged and measured."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from codec.data import pitch
from codec.evaluate import distances, opinion
from codec.evaluate.judge import Cache, Judge, to_int16
from codec.evaluate.summary import Heard, Score
from codec.evaluate.systems import ORIGINAL, PhoneErrors, PhoneReader, System
from codec.evaluate.trials import Original, Trial
from codec.evaluate.words import normalize, text_errors
from stream.frame import SAMPLE_RATE_HZ

SAY_EVERY = 25  # recognised utterances
Say = Callable[[str], None]
Keep = Callable[[str, int, np.ndarray], None]
"""Gets system, number of the utterance and decoded int16 samples [N]."""


@dataclass(frozen=True)
class Metric:
    """What `--metrics` can name: figures by name, how they are measured, and the package that it takes."""

    figures: tuple[str, ...]
    measure: Callable[[Original, np.ndarray], Sequence[float]]
    package: str = ""


def _melody(original: Original, decoded: np.ndarray) -> Sequence[float]:
    heard_hz = pitch.track_pitch(decoded)
    return distances.pitch_correlation(original.pitch_hz, heard_hz), distances.voicing_error(original.pitch_hz, heard_hz)


METRICS = {
    "distillmos": Metric(("distillmos",), lambda _, decoded: [opinion.distillmos(decoded)], "distillmos"),
    "dnsmos": Metric(("dnsmos",), lambda _, decoded: [opinion.dnsmos(decoded)], "speechmos"),
    "pitch": Metric(("pitch_correlation", "voicing_error"), _melody),
    "stoi": Metric(("stoi",), lambda original, decoded: [distances.intelligibility(original.samples, decoded)], "pystoi"),
    "estoi": Metric(("estoi",), lambda original, decoded: [distances.intelligibility(original.samples, decoded, True)], "pystoi"),
    "pesq": Metric(("pesq",), lambda original, decoded: [distances.perceptual_quality(original.samples, decoded)], "pesq"),
    "mel": Metric(("mel_distance",), lambda original, decoded: [distances.mel_distance(original.samples, decoded)]),
    "lsd": Metric(("spectral_distance_db",), lambda original, decoded: [distances.spectral_distance_db(original.samples, decoded)]),
    "speaker": Metric(("speaker_similarity",), lambda _, decoded: distances.voiceprint(decoded).tolist()),
}
DEFAULT_METRICS = ("distillmos", "dnsmos", "pitch")


@cache
def _program() -> bytes:
    """Hash of the programs that measure: figures of others are not those of these."""
    files = [Path(module.__file__ or "").read_bytes() for module in (distances, opinion, pitch)]
    versions = []
    for package in sorted({metric.package for metric in METRICS.values()} - {""}):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(package)
    return hashlib.sha256(b"".join([*files, *(each.encode() for each in versions)])).digest()


def fitted(samples: np.ndarray, count: int) -> np.ndarray:
    """`count` samples float32 in -1..1: what a system gave, cut or filled with silence at its end."""
    finite = np.clip(np.nan_to_num(samples[:count]), -1, 1).astype(np.float32)
    return np.pad(finite, (0, count - len(finite)))


class _Meter:
    """Measures decoded speech by the named metrics, and remembers."""

    def __init__(self, names: Sequence[str], cache: Cache):
        self.names, self.cache = names, cache

    def __call__(self, original: Original, decoded: np.ndarray) -> dict[str, list[float]]:
        """The numbers of each metric, by its name."""
        found = {}
        for name in self.names:
            key = (name.encode(), _program(), original.samples.tobytes(), decoded.tobytes())
            text = self.cache.get(*key)
            if text is None:
                text = self.cache.put(" ".join(map(repr, map(float, METRICS[name].measure(original, decoded)))), *key)
            found[name] = [float(number) for number in text.split()]
        return found


def _transcribe(system: str, judge: Judge, heard: Sequence[np.ndarray], say: Say) -> list[str]:
    hypotheses: list[str] = []
    for hypothesis in judge.transcribe(heard):
        hypotheses.append(normalize(hypothesis))
        if len(hypotheses) % SAY_EVERY == 0 or len(hypotheses) == len(heard):
            say(f"{system}: {len(hypotheses)}/{len(heard)} recognised by {judge.kind}")
    return hypotheses


def evaluate(
    trials: Sequence[Trial],
    systems: Sequence[System],
    judges: Sequence[Judge],
    metrics: Sequence[str],
    cache: Cache,
    say: Say,
    workers: int = 1,
    keep: Keep | None = None,
) -> list[Score]:
    """Send every utterance through every system, judge and measure it; the first system is the original.

    workers: threads that measure while this one decodes.

    Raises:
        ClariError: a system, judge or metric fails, with its cure.
    """
    meter = _Meter(metrics, cache)
    voices: distances.Voices | None = None
    scores: list[Score] = []
    own: dict[str, list[str]] = {}
    for system in systems:
        received = []
        with ThreadPoolExecutor(workers) as pool:
            waiting = []
            for index, trial in enumerate(trials):
                sent = trial.clean if system.name == ORIGINAL else trial.heard
                received.append(fitted(system.process(sent, trial.utterance.transcript), len(trial.clean)))
                if keep is not None:
                    keep(system.name, index, to_int16(received[-1]))
                waiting.append(pool.submit(meter, trial.original, received[-1]))
            measured = [each.result() for each in waiting]
        say(f"{system.name}: {len(received)} utterances decoded and measured")
        if "speaker" in metrics:
            prints = [np.array(each["speaker"]) for each in measured]
            if voices is None:
                voices, originals = distances.Voices(prints, [trial.utterance.speaker for trial in trials]), prints
            for each, original, decoded in zip(measured, originals, prints, strict=True):
                each["speaker"] = [voices.similarity(original, decoded)]
        audios = [to_int16(samples) for samples in received]
        texts = {judge.kind: _transcribe(system.name, judge, audios, say) for judge in judges}
        own = own or texts
        for index, trial in enumerate(trials):
            heard = {
                kind: Heard(
                    text_errors(trial.utterance.transcript, hypotheses[index]),
                    text_errors(own[kind][index], hypotheses[index]),
                    hypotheses[index],
                )
                for kind, hypotheses in texts.items()
            }
            figures = {
                figure: number
                for name in metrics
                for figure, number in zip(METRICS[name].figures, measured[index][name], strict=True)
            }
            scores.append(_score(system, trial, heard, figures))
    return scores


def _score(system: System, trial: Trial, heard: dict[str, Heard], figures: dict[str, float]) -> Score:
    return Score(
        system=system.name,
        path=trial.utterance.path.as_posix(),
        speaker=trial.utterance.speaker,
        seconds=len(trial.clean) / SAMPLE_RATE_HZ,
        bits_per_s=system.bits_per_s,
        transcript=normalize(trial.utterance.transcript),
        heard=heard,
        figures=figures,
    )


def read_phones(trials: Sequence[Trial], readers: Sequence[PhoneReader], say: Say) -> dict[str, list[PhoneErrors]]:
    """What each reader gets wrong of every utterance, by its name."""
    found = {}
    for reader in readers:
        found[reader.name] = [reader.phone_errors(trial.heard, trial.utterance.transcript) for trial in trials]
        say(f"{reader.name}: phones of {len(trials)} utterances read")
    return found
