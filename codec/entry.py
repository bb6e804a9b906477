"""Commands of this package that must answer even where torch is not installed."""

from __future__ import annotations

from stream.launch import launch


def evaluate() -> int:
    """clari-eval"""
    return launch("clari-eval", "codec.evaluate", "eval", ("torch", "pystoi", "jiwer", "matplotlib"))


def listen() -> int:
    """clari-listen"""
    return launch("clari-listen", "codec.listening", "eval", ("torch", "jiwer"))
