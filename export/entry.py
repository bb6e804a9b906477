"""Commands of this package that must answer even where torch is not installed."""

from __future__ import annotations

from stream.extras import run_with_extra


def export() -> int:
    """clari-export"""
    return run_with_extra("clari-export", "export", ("torch", "onnx", "onnxscript"), "export.command")
