"""Optional parts: commands that need more than the runtime say what to install instead of failing in an import."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

from stream.errors import ClariError, run_command


def run_with_extra(command: str, extra: str, needs: tuple[str, ...], module: str) -> int:
    """Import `module` and run its main(), if what it needs is installed; else one line and exit code 1."""

    def body() -> int:
        missing = [name for name in needs if find_spec(name) is None]
        if missing:
            raise ClariError(f"needs {', '.join(missing)}; install: pip install 'clari[{extra}]'")
        return int(importlib.import_module(module).main())

    return run_command(command, body)
