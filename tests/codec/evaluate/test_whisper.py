"""Whisper: where its model comes from, how it is asked, and that the real one understands."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from codec.data.audio import load_audio
from codec.evaluate import whisper
from codec.evaluate.judge import open_judge, to_int16
from codec.evaluate.whisper import HALVES, WhisperJudge, joined_model
from codec.evaluate.words import normalize
from stream.errors import ClariError, FileError


def noise(samples: int) -> np.ndarray:
    return to_int16(np.random.default_rng(0).uniform(-0.3, 0.3, samples).astype(np.float32))


def said(text: str) -> np.ndarray:
    """A sentence as flite speaks it, int16 [N] at 16 kHz."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", file.name], check=True)
        return to_int16(load_audio(Path(file.name)))


class FakeWhisperModel:
    """What the judge uses of faster_whisper.WhisperModel; remembers how it was called."""

    calls: list[dict[str, Any]]

    def __init__(self, model: str, **options: Any):
        if model == "nowhere":
            raise OSError("no network\nand a traceback")
        self.made = {"model": model, **options}
        self.calls = []

    def transcribe(self, audio: np.ndarray, **options: Any) -> tuple[Iterator[SimpleNamespace], None]:
        assert audio.dtype == np.float32 and np.abs(audio).max() <= 1
        self.calls.append(options)
        return (SimpleNamespace(text=text) for text in (" Hello,", f" {len(audio)} there. ")), None


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """faster-whisper without a model package."""
    package = ModuleType("faster_whisper")
    package.WhisperModel = FakeWhisperModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "faster_whisper", package)
    monkeypatch.setattr(whisper, "version", lambda name: "1.9")
    monkeypatch.setattr(whisper, "joined_model", lambda folder: None)


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The two packages, with a model of eight bytes."""
    for number, (package, part) in enumerate(zip(HALVES, (b"first", b"two"), strict=True), start=1):
        data = tmp_path / package / "data"
        data.mkdir(parents=True)
        (data / f"model.bin.part{number}").write_bytes(part)
    for name in ("config", "tokenizer", "vocabulary"):
        (tmp_path / HALVES[1] / "data" / f"{name}.json").write_text(name)
    specs = {package: SimpleNamespace(submodule_search_locations=[str(tmp_path / package)]) for package in HALVES}
    monkeypatch.setattr(whisper, "find_spec", specs.get)
    return tmp_path


def test_whisper_hears_each_recording_alone(installed: None) -> None:
    judge = WhisperJudge("", workers=3)
    assert judge.model.made == {"model": "base", "device": "cpu", "compute_type": "int8", "cpu_threads": 3}
    silence = to_int16(np.zeros(100, np.float32))
    audios = [noise(100), silence, noise(200), silence[:0]]
    assert list(judge.transcribe(audios)) == ["Hello, 100 there.", "", "Hello, 200 there.", ""]
    assert len(judge.model.calls) == 2
    for call in judge.model.calls:
        assert call["temperature"] == 0 and not call["condition_on_previous_text"] and call["language"] == "en"
        assert call["beam_size"] == 3


def test_the_name_tells_the_model(installed: None, tmp_path: Path) -> None:
    assert open_judge("whisper:small.en", 1).name == "whisper small.en by faster-whisper 1.9, int8, beam 3"
    names = []
    for content in (b"one", b"two"):
        (tmp_path / "model.bin").write_bytes(content)
        names.append(open_judge(f"whisper:{tmp_path}", 0).name)
    assert names[0] != names[1] and not any(str(tmp_path) in name for name in names)


def test_the_halves_are_joined_once(halves: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    joined = joined_model(cache)
    assert joined is not None and (joined / "model.bin").read_bytes() == b"firsttwo"
    assert sorted(path.name for path in joined.iterdir()) == ["config.json", "model.bin", "tokenizer.json", "vocabulary.json"]
    made = (joined / "model.bin").stat().st_mtime_ns
    assert joined_model(cache) == joined and (joined / "model.bin").stat().st_mtime_ns == made
    (joined / "model.bin").write_bytes(b"first")  # a run that was killed
    assert joined_model(cache) == joined and (joined / "model.bin").read_bytes() == b"firsttwo"
    assert [path.name for path in cache.iterdir()] == [joined.name]


def test_half_a_model_is_none_and_a_damaged_package_is_one_line(
    halves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (halves / HALVES[0] / "data" / "model.bin.part1").unlink()
    with pytest.raises(FileError, match=r"part1: no such file or directory; install the extra eval again"):
        joined_model(tmp_path / "cache")
    monkeypatch.setattr(whisper, "find_spec", lambda name: None)
    assert joined_model(tmp_path / "cache") is None


def test_whisper_that_is_missing_or_has_no_model_is_one_line(installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClariError, match=r"cannot load 'nowhere' \(no network\); .*--judge whisper:FOLDER$"):
        open_judge("whisper:nowhere", 1)
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(ClariError, match=r"pip install 'clari\[eval\]'"):
        open_judge("whisper", 1)


@pytest.mark.skipif(
    find_spec("faster_whisper") is None or any(find_spec(each) is None for each in HALVES),
    reason="the judge whisper and its model need the extra eval: pip install 'clari[eval]'",
)
def test_the_real_one_understands_what_flite_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    heard = open_judge("whisper", 1).transcribe([said("The boat comes back in the morning.")])
    assert [normalize(text) for text in heard] == ["the boat comes back in the morning"]
    assert (tmp_path / "clari").is_dir()
