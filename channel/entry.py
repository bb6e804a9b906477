"""Entry point of the package's command."""

from __future__ import annotations

from stream.launch import launch


def channel() -> int:
    """clari-channel"""
    return launch("clari-channel", "channel.relay")
