"""The table of an evaluation, and the scores it is made of."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from codec.metrics import Interval, mean_interval, paired_difference, ratio_interval

HEAD = ("system", "bps", "WER % [95 % CI]", "WER % vs original's own output", "STOI", "ESTOI", "mel distance")


@dataclass(frozen=True)
class Score:
    """One utterance through one system; a line of utterances.csv."""

    system: str
    path: str
    speaker: str
    seconds: float
    bits: int | None
    coded_s: float
    errors: int
    words: int
    own_errors: int  # against what the judge made of the original
    own_words: int
    stoi: float
    estoi: float
    mel_distance: float
    transcript: str
    hypothesis: str


def _with_interval(figure: Interval, scale: float, digits: int) -> str:
    value, low, high = (f"{scale * number:.{digits}f}" for number in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}]"


def _row(name: str, scores: Sequence[Score], seed: int) -> tuple[str, ...]:
    bits = [score.bits for score in scores if score.bits is not None]
    wer = ratio_interval([score.errors for score in scores], [score.words for score in scores], seed)
    own = ratio_interval([score.own_errors for score in scores], [score.own_words for score in scores], seed)
    return (
        name,
        f"{sum(bits) / sum(score.coded_s for score in scores):.0f}" if bits else "-",
        _with_interval(wer, 100, 1),
        f"{100 * own.value:.1f}",
        _with_interval(mean_interval([score.stoi for score in scores], seed), 1, 3),
        _with_interval(mean_interval([score.estoi for score in scores], seed), 1, 3),
        f"{mean_interval([score.mel_distance for score in scores], seed).value:.3f}",
    )


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An aligned Markdown table; the first column is left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "-" * (widths[0] + 2) + "|" + "|".join("-" * (width + 1) + ":" for width in widths[1:]) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])


def report(scores: Sequence[Score], manifest: Path, judge: str, seed: int) -> str:
    """Heading, table, and how sure the difference between clari and Codec2 is."""
    systems: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        systems[score.system].append(score)
    some = next(iter(systems.values()))
    minutes = sum(score.seconds for score in some) / 60
    speakers = len({score.speaker for score in some})
    lines = [
        f"Held-out speech of {manifest}: {len(some)} utterances, {speakers} speakers, {minutes:.1f} minutes; "
        f"judge {judge}; seed {seed}; 95 % bootstrap intervals over utterances.",
        "",
        markdown_table(HEAD, [_row(name, rows, seed) for name, rows in systems.items()]),
    ]
    for other in (name for name in systems if name.startswith("codec2") and "clari" in systems):
        errors, other_errors = ([score.errors for score in systems[name]] for name in ("clari", other))
        difference, p_value = paired_difference(errors, other_errors, [score.words for score in some], seed)
        points = _with_interval(difference, 100, 1)
        lines += ["", f"WER of clari minus {other}: {points} points; paired bootstrap p = {p_value:.4f} (two-sided)."]
    return "\n".join(lines) + "\n"


def write_scores(path: Path, scores: Sequence[Score]) -> None:
    """utterances.csv: one line per utterance and system."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Score))
        for score in scores:
            writer.writerow(f"{value:.6f}" if isinstance(value, float) else value for value in astuple(score))
