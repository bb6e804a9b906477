"""From scores of utterances to one row per system, and to how sure the differences between systems are."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.lineup import is_clari
from codec.scores import Score, by_system
from stream.bootstrap import Interval, mean_interval, paired_difference, ratio_interval


@dataclass(frozen=True)
class Measure:
    """One figure of a row: sum of parts over sum of wholes, or where there are no wholes the mean of the parts."""

    name: str
    part: Callable[[Score], float]
    whole: Callable[[Score], float] | None = None
    scale: float = 1.0


MEASURES = (
    Measure("wer_percent", lambda score: score.errors, lambda score: score.words, 100),
    Measure("cer_percent", lambda score: score.letter_errors, lambda score: score.letters, 100),
    Measure("own_wer_percent", lambda score: score.own_errors, lambda score: score.own_words, 100),
    Measure("own_cer_percent", lambda score: score.own_letter_errors, lambda score: score.own_letters, 100),
    Measure("stoi", lambda score: score.stoi),
    Measure("estoi", lambda score: score.estoi),
    Measure("pesq", lambda score: score.pesq),
    Measure("mel_distance", lambda score: score.mel_distance),
    Measure("spectral_distance_db", lambda score: score.spectral_distance_db),
    Measure("pitch_correlation", lambda score: score.pitch_correlation),
    Measure("voicing_error_percent", lambda score: score.voicing_error, None, 100),
    Measure("speaker_similarity", lambda score: score.speaker_similarity),
)


@dataclass(frozen=True)
class Row:
    """One system. bits: sent for all utterances, None where nothing was quantised; figures: by the measure's name."""

    system: str
    utterances: int
    bits: int | None
    bits_per_s: float
    figures: dict[str, Interval]


@dataclass(frozen=True)
class Comparison:
    """A model of clari minus another system, by the measure's name: difference and two-sided p-value."""

    system: str
    other: str
    differences: dict[str, tuple[Interval, float]]


def _scaled(figure: Interval, scale: float) -> Interval:
    return Interval(scale * figure.value, scale * figure.low, scale * figure.high)


def _figure(measure: Measure, scores: Sequence[Score], seed: int) -> Interval:
    parts = [measure.part(score) for score in scores]
    if measure.whole is None:
        return _scaled(mean_interval(parts, seed), measure.scale)
    return _scaled(ratio_interval(parts, [measure.whole(score) for score in scores], seed), measure.scale)


def summarize(scores: Sequence[Score], seed: int) -> list[Row]:
    """One row per system, in the order of the scores."""
    rows = []
    for system, own in by_system(scores).items():
        bits = [score.bits for score in own if score.bits is not None]
        total = sum(bits) if bits else None
        rate = total / math.fsum(score.coded_s for score in own) if total is not None else math.nan
        rows.append(Row(system, len(own), total, rate, {each.name: _figure(each, own, seed) for each in MEASURES}))
    return rows


def compare(scores: Sequence[Score], seed: int) -> list[Comparison]:
    """Each model of clari against every other system, two models of clari once."""
    systems = by_system(scores)
    comparisons: list[Comparison] = []
    for name in filter(is_clari, systems):
        for other in systems:
            if other == name or any((each.system, each.other) == (other, name) for each in comparisons):
                continue
            differences = {}
            for measure in MEASURES:
                parts, other_parts = ([measure.part(score) for score in systems[each]] for each in (name, other))
                wholes = [measure.whole(score) if measure.whole else 1.0 for score in systems[name]]
                difference, p_value = paired_difference(parts, other_parts, wholes, seed)
                differences[measure.name] = (_scaled(difference, measure.scale), p_value)
            comparisons.append(Comparison(name, other, differences))
    return comparisons


def _cells(figure: Interval) -> list[str]:
    return [f"{number:.6f}" for number in (figure.value, figure.low, figure.high)]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """table.csv: one line per system, each figure with the ends of its interval."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [f"{measure.name}{end}" for measure in MEASURES for end in ("", "_low", "_high")]
        writer.writerow(["system", "utterances", "bits", "bits_per_s", *names])
        for row in rows:
            figures = [cell for measure in MEASURES for cell in _cells(row.figures[measure.name])]
            writer.writerow([row.system, row.utterances, row.bits, f"{row.bits_per_s:.6f}", *figures])


def write_comparisons(path: Path, comparisons: Sequence[Comparison]) -> None:
    """comparisons.csv: one line per pair of systems and measure."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["system", "other", "measure", "difference", "low", "high", "p_value"])
        for each in comparisons:
            for name, (difference, p_value) in each.differences.items():
                writer.writerow([each.system, each.other, name, *_cells(difference), f"{p_value:.6f}"])
