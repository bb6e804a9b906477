"""Figures with intervals as text, and tables of them in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stream.bootstrap import Interval


def cell(figure: Interval, digits: int, with_interval: bool) -> str:
    """A figure as text, `-` where it is not defined."""
    if not math.isfinite(figure.value):
        return "-"
    value, low, high = (f"{number:.{digits}f}" for number in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}]" if with_interval else value


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An aligned Markdown table; the first column is left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "-" * (widths[0] + 2) + "|" + "|".join("-" * (width + 1) + ":" for width in widths[1:]) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])
