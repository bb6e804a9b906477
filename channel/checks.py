"""Range checks of configurations: what is wrong and what to give instead, in one line."""

from __future__ import annotations

import math


def at_least(low: float, unit: str, **values: float) -> None:
    """Raise ValueError unless every value is finite and `low` or more."""
    for name, value in values.items():
        if not (math.isfinite(value) and value >= low):
            raise ValueError(f"{name} is {value}; give {unit}, {low:g} or more")


def above_zero(unit: str, **values: float) -> None:
    """Raise ValueError unless every value is finite and above 0."""
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0.0):
            raise ValueError(f"{name} is {value}; give {unit} above 0")


def between(low: float, high: float, unit: str, **values: float) -> None:
    """Raise ValueError unless every value lies between `low` and `high`, both included."""
    for name, value in values.items():
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}; give {unit} between {low:g} and {high:g}")
