"""Guessed marks: that they rank what everybody ranks alike, and that DNSMOS is its authors'."""

from __future__ import annotations

import math
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import soundfile

from codec.evaluate import opinion
from codec.evaluate.opinion import distillmos, dnsmos
from stream.demo import CLIP
from stream.errors import ClariError

EXTRA = "needs the extra eval: pip install 'clari[eval]'"
DISTILLMOS = pytest.mark.skipif(find_spec("distillmos") is None, reason=EXTRA)
DNSMOS = pytest.mark.skipif(find_spec("speechmos") is None, reason=EXTRA)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return soundfile.read(CLIP, dtype="float32")[0][: 4 * 16_000]


def noisy(speech: np.ndarray) -> np.ndarray:
    return (speech + np.random.default_rng(0).normal(0, 0.05, len(speech))).astype(np.float32)


@DISTILLMOS
def test_distillmos(speech: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    clean = distillmos(speech)
    assert 1 <= distillmos(noisy(speech)) < clean - 0.3 and clean < 5
    assert distillmos(speech / 4) == pytest.approx(clean, abs=0.05)
    assert capsys.readouterr().out == ""  # stdout is for data
    assert "torchaudio" not in sys.modules or hasattr(sys.modules["torchaudio"], "__version__")


@DNSMOS
def test_dnsmos(speech: np.ndarray) -> None:
    clean = dnsmos(speech)
    assert 1 <= dnsmos(noisy(speech)) < clean - 0.3 and clean < 5
    assert math.isnan(dnsmos(np.zeros(0, np.float32)))


@DNSMOS
@pytest.mark.parametrize("seconds", [3.0, 11.0])
def test_dnsmos_is_that_of_its_package(speech: np.ndarray, seconds: float) -> None:
    pytest.importorskip("librosa", reason="speechmos itself needs librosa")
    pytest.importorskip("requests", reason="speechmos itself needs requests")
    theirs = pytest.importorskip("speechmos.dnsmos", reason=EXTRA)
    samples = np.resize(speech, int(seconds * 16_000))
    assert dnsmos(samples) == pytest.approx(float(theirs.run(samples, 16_000)["ovrl_mos"]), abs=1e-5)


def test_packages_that_are_missing_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distillmos", None)
    monkeypatch.setattr(opinion, "find_spec", lambda name: None)
    opinion._distillmos.cache_clear()
    opinion._dnsmos.cache_clear()
    for guess in (distillmos, dnsmos):
        with pytest.raises(ClariError, match=r"install: pip install 'clari\[eval\]'"):
            guess(np.ones(100, np.float32))
