"""Every utterance through every system, measured and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from codec.figures import Figures, Pair, Profile, measure, profile
from codec.health import CodeHealth, code_health
from codec.judge import Judge, to_int16
from codec.lineup import ORIGINAL
from codec.metrics import text_errors
from codec.processes import Run
from codec.scores import Score
from codec.systems import Decoded, System
from codec.text import normalize
from codec.trials import Trial
from codec.voice import Voices
from stream.frame import SAMPLE_RATE_HZ

SAY_EVERY = 25  # recognised utterances
Say = Callable[[str], None]
Keep = Callable[[str, int, np.ndarray], None]
"""Gets system, number of the utterance and decoded int16 samples [N]."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of every utterance through every system, the health of each model's codes, and the scale of the voices."""

    scores: list[Score]
    healths: dict[str, CodeHealth]
    voices: Voices


def _decode(system: System, trials: Sequence[Trial]) -> Iterator[Decoded]:
    for trial in trials:
        yield system.decode(trial.clean if system.name == ORIGINAL else trial.heard)


def _transcribe(name: str, judge: Judge, heard: Sequence[np.ndarray], say: Say) -> list[str]:
    hypotheses: list[str] = []
    for hypothesis in judge.transcribe(heard):
        hypotheses.append(normalize(hypothesis))
        if len(hypotheses) % SAY_EVERY == 0 or len(hypotheses) == len(heard):
            say(f"{name}: {len(hypotheses)}/{len(heard)} recognised")
    return hypotheses


def _score(
    system: str, trial: Trial, decoded: Decoded, figures: Figures, similarity: float, hypothesis: str, own_hypothesis: str
) -> Score:
    wrong, own_wrong = text_errors(trial.utterance.transcript, hypothesis), text_errors(own_hypothesis, hypothesis)
    return Score(
        system=system,
        path=trial.utterance.path.as_posix(),
        speaker=trial.utterance.speaker,
        seconds=len(trial.clean) / SAMPLE_RATE_HZ,
        bits=decoded.bits,
        coded_s=decoded.coded_s,
        errors=wrong.errors,
        words=wrong.words,
        letter_errors=wrong.letter_errors,
        letters=wrong.letters,
        own_errors=own_wrong.errors,
        own_words=own_wrong.words,
        own_letter_errors=own_wrong.letter_errors,
        own_letters=own_wrong.letters,
        stoi=figures.stoi,
        estoi=figures.estoi,
        pesq=figures.pesq,
        mel_distance=figures.mel_distance,
        spectral_distance_db=figures.spectral_distance_db,
        pitch_correlation=figures.pitch_correlation,
        voicing_error=figures.voicing_error,
        speaker_similarity=similarity,
        transcript=normalize(trial.utterance.transcript),
        hypothesis=hypothesis,
    )


def evaluate(
    trials: Sequence[Trial], systems: Sequence[System], judge: Judge, say: Say, run: Run = map, keep: Keep | None = None
) -> Evaluation:
    """Send every utterance through every system and judge it; the first system is the original."""
    profiles: list[Profile] = list(run(profile, [trial.clean for trial in trials]))
    voices = Voices([each.voiceprint for each in profiles], [trial.utterance.speaker for trial in trials])
    scores: list[Score] = []
    healths: dict[str, CodeHealth] = {}
    own: list[str] = []
    for system in systems:
        received: list[Decoded] = []

        def pairs(system: System = system, received: list[Decoded] = received) -> Iterator[Pair]:
            for index, (trial, decoded) in enumerate(zip(trials, _decode(system, trials), strict=True)):
                received.append(decoded)
                if keep is not None:
                    keep(system.name, index, to_int16(decoded.samples))
                yield Pair(trial.clean, profiles[index], decoded.samples)

        measured: list[Figures] = list(run(measure, pairs()))  # other processes measure while this one decodes
        say(f"{system.name}: {len(received)} utterances decoded and measured")
        codes = [decoded.codes for decoded in received if decoded.codes is not None]
        if codes:
            healths[system.name] = code_health(np.concatenate(codes))
        hypotheses = _transcribe(system.name, judge, [to_int16(decoded.samples) for decoded in received], say)
        own = own or hypotheses
        for trial, reference, decoded, figures, hypothesis, own_hypothesis in zip(
            trials, profiles, received, measured, hypotheses, own, strict=True
        ):
            similarity = voices.similarity(reference.voiceprint, figures.voiceprint)
            scores.append(_score(system.name, trial, decoded, figures, similarity, hypothesis, own_hypothesis))
    return Evaluation(scores, healths, voices)
