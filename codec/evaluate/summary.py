"""What one utterance scored through one system; one row per system of them; how sure differences between systems are."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.evaluate.systems import PhoneErrors, is_clari
from codec.evaluate.words import TextErrors
from stream.bootstrap import Interval, mean_interval, paired_difference, ratio_interval


@dataclass(frozen=True)
class Heard:
    """What a judge understood: errors against the transcript, and against what it understood of the original."""

    errors: TextErrors
    own: TextErrors
    hypothesis: str


@dataclass(frozen=True)
class Score:
    """One utterance through one system. heard: by judge; figures: by name, NaN where they are not defined."""

    system: str
    path: str
    speaker: str
    seconds: float
    bits_per_s: float | None
    transcript: str
    heard: Mapping[str, Heard]
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Measure:
    """One figure of a row, `scale` times the sum of parts over the sum of wholes; of means every whole is 1, and parts that
    are not defined are left out."""

    name: str
    parts: Callable[[Score], tuple[float, float]]
    scale: float = 1.0
    is_mean: bool = False


def _words(kind: str, own: bool = False, letters: bool = False) -> Callable[[Score], tuple[float, float]]:
    def parts(score: Score) -> tuple[float, float]:
        found = score.heard[kind].own if own else score.heard[kind].errors
        return (found.letter_errors, found.letters) if letters else (found.errors, found.words)

    return parts


def _figure(name: str) -> Callable[[Score], tuple[float, float]]:
    return lambda score: (score.figures[name], 1.0)


def measures_of(scores: Sequence[Score]) -> list[Measure]:
    """The measures that these scores allow: words and letters by every judge, then the figures."""
    found = []
    for kind in scores[0].heard:
        found += [
            Measure(f"{kind}_wer_percent", _words(kind), 100),
            Measure(f"{kind}_cer_percent", _words(kind, letters=True), 100),
            Measure(f"{kind}_own_wer_percent", _words(kind, own=True), 100),
        ]
    for name in scores[0].figures:
        share = name == "voicing_error"
        found.append(Measure(f"{name}_percent" if share else name, _figure(name), 100 if share else 1, is_mean=True))
    return found


@dataclass(frozen=True)
class Row:
    """One system; figures: by the measure's name."""

    system: str
    utterances: int
    bits_per_s: float | None
    figures: dict[str, Interval]


@dataclass(frozen=True)
class Comparison:
    """A model of clari minus another system, by the measure's name: difference and two-sided p-value."""

    system: str
    other: str
    differences: dict[str, tuple[Interval, float]]


def by_system(scores: Sequence[Score]) -> dict[str, list[Score]]:
    """Scores of each system, systems and utterances in their order."""
    systems: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        systems[score.system].append(score)
    return dict(systems)


def _scaled(figure: Interval, scale: float) -> Interval:
    return Interval(scale * figure.value, scale * figure.low, scale * figure.high)


def _interval(measure: Measure, scores: Sequence[Score], seed: int) -> Interval:
    parts, wholes = zip(*map(measure.parts, scores), strict=True)
    return _scaled(mean_interval(parts, seed) if measure.is_mean else ratio_interval(parts, wholes, seed), measure.scale)


def summarize(scores: Sequence[Score], seed: int) -> list[Row]:
    """One row per system, in the order of the scores."""
    measures = measures_of(scores)
    return [
        Row(system, len(own), own[0].bits_per_s, {each.name: _interval(each, own, seed) for each in measures})
        for system, own in by_system(scores).items()
    ]


def compare(scores: Sequence[Score], seed: int) -> list[Comparison]:
    """Each model of clari against every other system, two models of clari once."""
    systems, measures = by_system(scores), measures_of(scores)
    comparisons: list[Comparison] = []
    for name in filter(is_clari, systems):
        for other in systems:
            if other == name or any((each.system, each.other) == (other, name) for each in comparisons):
                continue
            differences = {}
            for measure in measures:
                parts, wholes = zip(*map(measure.parts, systems[name]), strict=True)
                others, _ = zip(*map(measure.parts, systems[other]), strict=True)
                difference, p_value = paired_difference(parts, others, wholes, seed)
                differences[measure.name] = (_scaled(difference, measure.scale), p_value)
            comparisons.append(Comparison(name, other, differences))
    return comparisons


def phone_error_percent(errors: Sequence[PhoneErrors], seed: int) -> Interval:
    """Phone error rate of one reader over its utterances."""
    return _scaled(ratio_interval([each.errors for each in errors], [each.phones for each in errors], seed), 100)


def _cells(figure: Interval) -> list[str]:
    return [f"{number:.6f}" for number in (figure.value, figure.low, figure.high)]


def write_rows(path: Path, conditions: Mapping[str, Sequence[Row]]) -> None:
    """rows.csv: one line per condition, system and measure, with the ends of its interval."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["condition", "system", "bits_per_s", "utterances", "measure", "value", "low", "high"])
        for condition, rows in conditions.items():
            for row in rows:
                for name, figure in row.figures.items():
                    writer.writerow([condition, row.system, row.bits_per_s, row.utterances, name, *_cells(figure)])


def write_comparisons(path: Path, conditions: Mapping[str, Sequence[Comparison]]) -> None:
    """comparisons.csv: one line per condition, pair of systems and measure."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["condition", "system", "other", "measure", "difference", "low", "high", "p_value"])
        for condition, comparisons in conditions.items():
            for each in comparisons:
                for name, (difference, p_value) in each.differences.items():
                    writer.writerow([condition, each.system, each.other, name, *_cells(difference), f"{p_value:.6f}"])


def write_scores(path: Path, conditions: Mapping[str, Sequence[Score]]) -> None:
    """utterances.csv: one line per condition, system and utterance, what every judge wrote among it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        first = next(iter(conditions.values()))[0]
        heard = [f"{kind}_{field}" for kind in first.heard for field in ("errors", "words", "hypothesis")]
        writer.writerow(["condition", "system", "path", "speaker", "seconds", *first.figures, *heard, "transcript"])
        for condition, scores in conditions.items():
            for score in scores:
                figures = [f"{number:.6f}" for number in score.figures.values()]
                texts = [text for each in score.heard.values() for text in (each.errors.errors, each.errors.words, each.hypothesis)]
                start = [condition, score.system, score.path, score.speaker, f"{score.seconds:.3f}"]
                writer.writerow([*start, *figures, *texts, score.transcript])
