"""Commands of this package that must answer even where torch is not installed."""

from __future__ import annotations

from stream.extras import run_with_extra


def evaluate() -> int:
    """clari-eval"""
    return run_with_extra("clari-eval", "eval", ("torch", "pystoi", "jiwer", "pocketsphinx"), "codec.evaluate")
