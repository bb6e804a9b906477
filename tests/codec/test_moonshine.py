"""Where Moonshine's model lies, or what to install."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from codec import moonshine
from codec.moonshine import model_folder
from stream.errors import ClariError


def test_moonshine_that_is_missing_or_has_no_model_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = ModuleType("moonshine_voice")
    package.get_model_path = lambda name: tmp_path / name  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "moonshine_voice", package)
    monkeypatch.setattr(moonshine, "version", lambda name: "9.9")
    with pytest.raises(ClariError, match=r"9\.9 comes without a model; install: pip install 'clari\[moonshine\]'$"):
        model_folder()
    monkeypatch.setitem(sys.modules, "moonshine_voice", None)
    with pytest.raises(ClariError, match=r"is not installed; install: pip install 'clari\[moonshine\]'$"):
        model_folder()
