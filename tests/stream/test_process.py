"""What the kernel counts of a process."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from stream import process


def test_this_process_has_memory_and_takes_time() -> None:
    while time.process_time() < 0.2:
        pass  # the kernel counts in ticks of some milliseconds
    assert process.processor_s(os.getpid()) > 0.1
    assert 5 < process.resident_mb() < 100_000 and process.resident_mb(os.getpid()) > 5


def test_memory_that_cannot_be_released_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    process.release_memory()

    def missing(name: object) -> object:
        raise OSError

    monkeypatch.setattr(process.ctypes, "CDLL", missing)
    process.release_memory()
    monkeypatch.setattr(process.ctypes, "CDLL", lambda name: object())
    process.release_memory()


def test_what_has_ended_or_is_not_told_is_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = 2**22 + 1  # above the largest process number of Linux
    assert process.resident_mb(gone) == 0.0 and process.processor_s(gone) == 0.0
    (tmp_path / "stat").write_text("cpu  10 20 30 40 50 60 70 230 0 0\ncpu0 1\n")
    monkeypatch.setattr(process, "Path", lambda path: tmp_path / "stat")
    assert process.stolen_s() == pytest.approx(230 / os.sysconf("SC_CLK_TCK"))
    monkeypatch.setattr(process, "Path", lambda path: tmp_path / "missing")
    assert process.stolen_s() == 0.0
