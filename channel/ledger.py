"""What a campaign has finished, on disk: one line of JSON per result, added as soon as it is known.

A line that was cut short by a crash is forgotten; a result is known by a key that stands for all that it depends on, so
whatever is found under it need not be computed again. Floating point numbers come back bit for bit.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from stream.errors import FileError, UsageError


class Ledger:
    """An open ledger; only one process at a time has it."""

    def __init__(self, path: Path):
        """Open or begin a ledger and read what is in it.

        Raises:
            FileError: it cannot be read or written, or is none.
            UsageError: another process has it.
        """
        self.path = path
        self._known: dict[str, dict[str, Any]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise FileError(f"cannot write {path}: {(error.strerror or 'error').lower()}; choose another --out") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise UsageError(f"{path.parent} belongs to a campaign that runs now; wait for it, or choose another --out") from None
        self._read()

    def _read(self) -> None:
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                entry = json.loads(line)
                self._known[entry["key"]] = entry
            except (ValueError, KeyError, TypeError):
                self._file.close()
                raise FileError(f"{self.path} is no ledger of a campaign; remove it, or choose another --out") from None
        self._file.truncate(whole)  # a line that a crash cut short

    def find(self, key: str) -> dict[str, Any] | None:
        """The result of that key."""
        return self._known.get(key)

    def add(self, key: str, result: dict[str, Any]) -> None:
        """Keep a result: once this returns, a crash of the program cannot take it back.

        Raises:
            FileError: the disk is full, or gone.
        """
        entry = {"key": key, **result}
        try:
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise FileError(f"cannot write {self.path}: {os.strerror(error.errno or 0).lower()}; free some space") from None
        self._known[key] = entry

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
