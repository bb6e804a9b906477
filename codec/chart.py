"""The picture of an evaluation: word errors and intelligibility against bit rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from codec.lineup import is_clari
from codec.summary import Row

PANELS = (("wer_percent", "WER % (lower is better)"), ("stoi", "STOI (higher is better)"))
CLARI, OTHERS = "tab:orange", "tab:blue"


def _label(row: Row) -> str:
    return f"{row.system}\n" + (f"{row.bits_per_s:.0f} bit/s" if row.bits is not None else "not quantised")


def draw_chart(path: Path, rows: Sequence[Row]) -> None:
    """Draw bars with 95 % intervals into a PNG, one per system, bit rates rising from left to right."""
    from matplotlib.figure import Figure  # only runs that draw pay for the import

    ordered = sorted(rows, key=lambda row: math.inf if row.bits is None else row.bits_per_s)
    figure = Figure(figsize=(1.4 * len(ordered) + 2, 7), layout="constrained")
    for axis, (name, label) in zip(figure.subplots(len(PANELS), 1), PANELS, strict=True):
        figures = [row.figures[name] for row in ordered]
        values = [each.value for each in figures]
        # A percentile interval may lie beside its figure; a bar's end may not.
        ends = [[max(each.value - each.low, 0) for each in figures], [max(each.high - each.value, 0) for each in figures]]
        colours = [CLARI if is_clari(row.system) else OTHERS for row in ordered]
        axis.bar(range(len(ordered)), values, color=colours, yerr=ends, capsize=4)
        axis.set_xticks(range(len(ordered)), [_label(row) for row in ordered])
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=100, metadata={"Software": None})
