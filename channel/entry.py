"""Entry points of the package's commands."""

from __future__ import annotations

from stream.launch import launch


def channel() -> int:
    """clari-channel"""
    return launch("clari-channel", "channel.relay")


def sim() -> int:
    """clari-sim"""
    return launch("clari-sim", "channel.sim", "sim", ("matplotlib", "tqdm"))
