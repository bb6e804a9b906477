"""The pictures of a campaign: speech against loss, loss before and after repair, delay."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from channel.results import Row
from stream.bootstrap import Interval

COLOURS = ("tab:gray", "tab:orange", "tab:blue", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink")
SPEECH = (("wer_percent", "WER % (lower is better)"), ("stoi", "STOI (higher is better)"))


def _ends(figures: Sequence[Interval]) -> list[list[float]]:
    """Lengths of the error bars below and above; an interval may lie beside its figure, a bar's end may not."""
    return [[max(each.value - each.low, 0.0) for each in figures], [max(each.high - each.value, 0.0) for each in figures]]


def _series(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by protection, and by encoder if there are several."""
    several = len({row.encoder for row in rows}) > 1
    series: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        series[f"{row.protection}, {row.encoder}" if several else row.protection].append(row)
    return dict(series)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=100, metadata={"Software": None})  # the same picture from every version


def draw_speech(path: Path, rows: Sequence[Row]) -> None:
    """WER and STOI, whichever were measured, against the loss before repair; a point is a link."""
    from matplotlib.figure import Figure

    panels = [(name, label) for name, label in SPEECH if any(math.isfinite(row.figures[name].value) for row in rows)]
    figure = Figure(figsize=(9, 4.5 * len(panels)), layout="constrained")
    for axis, (name, label) in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
        for colour, (series, own) in zip(COLOURS * len(rows), _series(rows).items(), strict=False):
            known = sorted(
                (row for row in own if math.isfinite(row.figures[name].value)),
                key=lambda row: row.figures["lost_before_percent"].value,
            )
            lost = [row.figures["lost_before_percent"] for row in known]
            heard = [row.figures[name] for row in known]
            axis.errorbar(
                [each.value for each in lost],
                [each.value for each in heard],
                xerr=_ends(lost),
                yerr=_ends(heard),
                fmt="o",
                color=colour,
                label=series,
                elinewidth=0.6,
                alpha=0.8,
            )
        axis.set(xlabel="voice packets lost before repair, %", ylabel=label)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    _save(figure, path)


def _bars(path: Path, rows: Sequence[Row], names: Sequence[tuple[str, str, float]], label: str) -> None:
    """Bars by link, one per protection; `names`: figure, its name in the legend, opacity of its bars."""
    from matplotlib.figure import Figure

    links = list(dict.fromkeys(row.link for row in rows))
    series = _series(rows)
    height = 0.8 / len(series)
    figure = Figure(figsize=(9, 1.5 + 0.22 * len(links) * len(series)), layout="constrained")
    axis = figure.subplots()
    for place, (colour, (name, own)) in enumerate(zip(COLOURS * len(rows), series.items(), strict=False)):
        for measure, what, alpha in names:
            figures = [row.figures[measure] for row in own]
            axis.barh(
                [links.index(row.link) + (place - (len(series) - 1) / 2) * height for row in own],
                [0.0 if math.isnan(each.value) else each.value for each in figures],
                height=height,
                color=colour,
                alpha=alpha,
                label=f"{name}: {what}" if what else name,
            )
    axis.set_yticks(range(len(links)), links)
    axis.invert_yaxis()
    axis.set_xlabel(label)
    axis.grid(axis="x", alpha=0.3)
    axis.legend(frameon=False, fontsize="small")
    _save(figure, path)


def draw_loss(path: Path, rows: Sequence[Row]) -> None:
    """Packets lost before repair (pale) and speech lost after it."""
    names = (("lost_before_percent", "before repair", 0.35), ("lost_after_percent", "after repair", 1.0))
    _bars(path, rows, names, "lost, % of voice packets before repair and of frames after it")


def draw_delay(path: Path, rows: Sequence[Row]) -> None:
    """Mean delay from mouth to ear."""
    _bars(path, rows, (("delay_s", "", 0.9),), "mouth-to-ear delay, s")
