"""Commands of this package that must answer even where torch is not installed."""

from __future__ import annotations

from stream.launch import launch


def evaluate() -> int:
    """clari-eval"""
    return launch("clari-eval", "codec.evaluate.command", "eval", ("jiwer",))


def listen() -> int:
    """clari-listen"""
    return launch("clari-listen", "codec.listening_test.command", "eval", ("jiwer",))
