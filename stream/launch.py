"""Entry points of the commands: they answer at once, even where an import is slow or what it needs is missing.

The heavy imports happen inside `run_command`, so that Ctrl-C during them is an interruption and no traceback, and a
missing extra is one line.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec

from stream.errors import ClariError, run_command


def launch(command: str, module: str, extra: str = "", needs: tuple[str, ...] = ()) -> int:
    """Import `module` and run its main(), if what it needs is installed; else one line and exit code 1."""

    def body() -> int:
        missing = [name for name in needs if find_spec(name) is None]
        if missing:
            raise ClariError(f"needs {', '.join(missing)}; install: pip install 'clari[{extra}]'")
        return int(importlib.import_module(module).main())

    return run_command(command, body)


def tx() -> int:
    """clari-tx"""
    return launch("clari-tx", "stream.tx")


def rx() -> int:
    """clari-rx"""
    return launch("clari-rx", "stream.rx")


def demo() -> int:
    """clari-demo"""
    return launch("clari-demo", "stream.demo", "ui", ("matplotlib", "pystoi"))


def rate() -> int:
    """clari-rate"""
    return launch("clari-rate", "stream.rate")


def keygen() -> int:
    """clari-keygen"""
    return launch("clari-keygen", "stream.keygen")


def bench() -> int:
    """clari-bench"""
    return launch("clari-bench", "stream.bench")
