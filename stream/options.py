"""What the command lines share: help layout, version, signals, statistics files."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stream.errors import EXIT_CODES_HELP, FileError


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults shown, examples left as written."""


def clari_version() -> str:
    try:
        return version("clari")
    except PackageNotFoundError:
        return "not installed"


def command_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with `--version`, and the exit codes below its help."""
    parser = argparse.ArgumentParser(prog=name, description=description, epilog=EXIT_CODES_HELP, formatter_class=HelpFormatter)
    parser.add_argument("--version", action="version", version=f"%(prog)s {clari_version()}")
    return parser


def stop_on_signals() -> Callable[[], bool]:
    """Make SIGINT and SIGTERM set a flag instead of tearing the loop apart; returns the flag's reader.

    A second signal interrupts at once, for a loop that hangs in a device.
    """
    stopped = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopped
        if stopped:
            raise KeyboardInterrupt
        stopped = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return lambda: stopped


def write_json(path: str | None, values: dict[str, object]) -> None:
    """Write one JSON object to a file, or to stdout for `-`.

    Raises:
        FileError: the file cannot be written.
    """
    if path is None:
        return
    text = json.dumps(values) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileError(f"cannot write {path}: {(error.strerror or 'error').lower()}; choose another file") from None
