"""From cells to rows: one per link, protection and encoder, every figure with its interval over utterances."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from channel.job import Cell
from channel.passage import LinkFigures
from stream.bootstrap import NOTHING, Interval, mean_interval, ratio_interval

INTERVAL_SEED = 1


@dataclass(frozen=True)
class Ratio:
    """A figure of the link: the sum of parts over the sum of wholes."""

    name: str
    part: Callable[[LinkFigures], float]
    whole: Callable[[LinkFigures], float]


RATIOS = (
    Ratio("on_air_bps", lambda one: 8 * one.on_air_bytes, lambda one: one.speech_s),
    Ratio("damaged_percent", lambda one: 100 * one.damaged_packets, lambda one: one.packets),
    Ratio("lost_before_percent", lambda one: 100 * one.voice_missing, lambda one: one.voice_packets),
    Ratio("lost_after_percent", lambda one: 100 * one.frames_unheard, lambda one: one.frames),
    Ratio("delay_s", lambda one: one.delay_sum_s, lambda one: one.frames_heard),
)
FIGURES = (*(each.name for each in RATIOS), "delay_p95_s", "stoi", "wer_percent")


@dataclass(frozen=True)
class Row:
    """One way to use one link. `figures` by the names in FIGURES; those that were not measured are NaN."""

    link: str
    profile: str
    protection: str
    encoder: str
    utterances: int
    passages: int  # utterances through the link, each with weather of its own
    heard: int  # of them, decoded and compared by STOI
    judged: int  # of them, recognised
    wrong_packets: int  # accepted with wrong codes
    figures: dict[str, Interval]


def rows_of(cells: Sequence[Cell]) -> list[Row]:
    """Rows in the order of their first cells."""
    groups: dict[tuple[str, str, str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[cell.link, cell.profile, cell.protection, cell.encoder].append(cell)
    return [_row(key, group) for key, group in groups.items()]


def _row(key: tuple[str, str, str, str], cells: Sequence[Cell]) -> Row:
    # The unit is the utterance: its passages through different weather are added first.
    groups: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[cell.utterance].append(cell)
    utterances = list(groups.values())
    passed = [[cell.figures for cell in group if cell.figures] for group in utterances]
    figures = {each.name: _ratio(each, passed) for each in RATIOS}
    figures["delay_p95_s"] = mean_interval([_mean([one.delay_p95_s for one in group]) for group in passed], INTERVAL_SEED)
    figures["stoi"] = mean_interval([_mean([cell.stoi for cell in group if cell.decoded]) for group in utterances], INTERVAL_SEED)
    words = [(sum(cell.word_errors for cell in group), sum(cell.words for cell in group)) for group in utterances]
    spoken = [(errors, count) for errors, count in words if count]
    figures["wer_percent"] = (
        ratio_interval([100 * errors for errors, _ in spoken], [count for _, count in spoken], INTERVAL_SEED) if spoken else NOTHING
    )
    return Row(
        *key,
        utterances=len(utterances),
        passages=len(cells),
        heard=sum(cell.decoded for cell in cells),
        judged=sum(cell.words > 0 for cell in cells),
        wrong_packets=sum(cell.figures.voice_wrong for cell in cells if cell.figures),
        figures=figures,
    )


def _ratio(each: Ratio, passed: Sequence[Sequence[LinkFigures]]) -> Interval:
    parts = [sum(each.part(one) for one in group) for group in passed]
    wholes = [sum(each.whole(one) for one in group) for group in passed]
    return ratio_interval(parts, wholes, INTERVAL_SEED) if sum(wholes) else NOTHING


def _mean(values: Sequence[float]) -> float:
    """Of those that are known."""
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def flat_row(row: Row) -> dict[str, Any]:
    """Names and values of a row, each figure with the ends of its interval."""
    values: dict[str, Any] = {name: value for name, value in vars(row).items() if name != "figures"}
    for name in FIGURES:
        figure = row.figures[name]
        values |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
    return values


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows with the same names; numbers to six decimals, empty where there is none."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(_text(value) for value in row.values())


def _text(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6f}" if math.isfinite(value) else ""
    return value


def parquet_is_missing() -> bool:
    """Whether Parquet cannot be written because pyarrow is not installed."""
    return find_spec("pyarrow") is None


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The same with all digits; needs pyarrow."""
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pylist([dict(row) for row in rows]), path)
