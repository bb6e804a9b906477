"""The revision of this program, for whatever is made by it."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git_revision() -> str:
    """The commit of this program, `+` appended when it was edited since; `unknown` outside a clone."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
