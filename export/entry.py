"""Commands of this package that must answer even where torch is not installed."""

from __future__ import annotations

from stream.launch import launch


def export() -> int:
    """clari-export"""
    return launch("clari-export", "export.command", "export", ("torch", "onnx", "onnxscript"))


if __name__ == "__main__":
    raise SystemExit(export())
