"""The picture of a delay: one bar for each run, stacked of its parts. matplotlib is imported only when one is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from stream.errors import FileError, UsageError

NARROWEST_LABEL_MS = 20.0
COLOURS = ("#33658a", "#5b8db8", "#86bbd8", "#b9d6e8", "#758e4f", "#f6ae2d", "#c06c84", "#8c4a6b", "#f26419")


def check_drawing(path: str) -> None:
    """Refuse a picture that cannot be drawn before anything is measured.

    Raises:
        UsageError: no matplotlib, or no PNG.
    """
    if find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib; install: pip install 'clari[ui]'")
    if not path.lower().endswith(".png"):
        raise UsageError(f"--plot writes PNG; use the suffix .png instead of {path}")


def draw_parts(path: str, rows: Sequence[tuple[str, dict[str, float]]]) -> None:
    """Draw (name, part -> milliseconds) as bars. Raises FileError."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.6 + 0.5 * len(rows)), layout="constrained")
    axis = figure.subplots()
    names = [name for name, _ in rows]
    left = [0.0] * len(rows)
    for part, colour in zip(rows[0][1], COLOURS, strict=True):
        widths = [max(0.0, parts[part]) for _, parts in rows]  # a rest that measuring errors make negative has no length
        if max(widths) >= 0.05:
            bars = axis.barh(names, widths, left=left, color=colour, label=part)
            axis.bar_label(bars, [f"{width:.0f}" if width >= NARROWEST_LABEL_MS else "" for width in widths], label_type="center")
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axis.invert_yaxis()
    axis.set_xlabel("median delay from mouth to ear, ms")
    figure.legend(loc="outside upper center", ncols=len(rows[0][1]), fontsize="small", columnspacing=1.2, frameon=False)
    try:
        figure.savefig(path, dpi=100)
    except OSError as error:
        raise FileError(f"cannot write {path}: {(error.strerror or 'error').lower()}; choose another file") from None
