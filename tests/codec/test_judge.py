"""The cache of hypotheses, and the judges without their recognisers."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from codec import judge as judges
from codec import moonshine, whisper
from codec.data.corpus import load_audio
from codec.judge import CachedJudge, PocketsphinxJudge, open_judge, to_int16
from codec.text import normalize
from codec.whisper import WhisperJudge
from stream.errors import ClariError, UsageError


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.3, 0.3, samples).astype(np.float32)


class FakeJudge:
    """Hears "hello there" in loud recordings and "hello" in quiet ones."""

    name = "fake 1"

    def __init__(self) -> None:
        self.heard = 0

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        for audio in audios:
            self.heard += 1
            yield "hello there" if np.abs(audio).max() > 3000 else "hello"


class FakeWhisperModel:
    """What the judge uses of faster_whisper.WhisperModel; remembers how it was called."""

    calls: list[dict[str, Any]]

    def __init__(self, model: str, **options: Any):
        if model == "nowhere":
            raise OSError("no network\nand a traceback")
        self.made = {"model": model, **options}
        self.calls = []
        self.hf_tokenizer = SimpleNamespace(get_vocab=lambda: {"hello": 3, "Ġ20": 9, "%": 4, "<|0.20|>": 50_000, "1": 7})

    def transcribe(self, audio: np.ndarray, **options: Any) -> tuple[Iterator[SimpleNamespace], None]:
        assert audio.dtype == np.float32 and np.abs(audio).max() <= 1
        self.calls.append(options)
        return (SimpleNamespace(text=text) for text in (" Hello,", f" {len(audio)} there. ")), None


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("faster_whisper")
    package.WhisperModel = FakeWhisperModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "faster_whisper", package)
    monkeypatch.setattr(whisper, "version", lambda name: "1.9")


def test_cache_asks_the_judge_once_per_recording_and_version(tmp_path: Path) -> None:
    judge = FakeJudge()
    loud, quiet = to_int16(noise(100)), to_int16(noise(100) / 100)
    assert list(CachedJudge(judge, tmp_path).transcribe([loud])) == ["hello there"]
    assert list(CachedJudge(judge, tmp_path).transcribe([quiet, loud, quiet])) == ["hello", "hello there", "hello"]
    assert judge.heard == 3  # loud once, quiet twice within one call
    assert list(CachedJudge(judge, tmp_path).transcribe([loud, quiet])) == ["hello there", "hello"]
    assert judge.heard == 3
    judge.name = "fake 2"
    assert list(CachedJudge(judge, tmp_path).transcribe([loud])) == ["hello there"]
    assert judge.heard == 4


def test_pocketsphinx_starts_no_process_for_nothing() -> None:
    pytest.importorskip("pocketsphinx", reason="the judge needs the extra eval: pip install 'clari[eval]'")
    assert list(PocketsphinxJudge().transcribe([])) == []


def test_int16_clips_and_rounds() -> None:
    np.testing.assert_array_equal(to_int16(np.array([-2, -1, 0, 1, 1.5])), [-32767, -32767, 0, 32767, 32767])


def test_judges_are_chosen_by_name(installed: None) -> None:
    pytest.importorskip("pocketsphinx", reason="the judge needs the extra eval: pip install 'clari[eval]'")
    assert isinstance(open_judge("pocketsphinx", 3), PocketsphinxJudge)
    assert open_judge("faster-whisper", 1).name == "faster-whisper 1.9 base.en int8"
    assert open_judge("faster-whisper:small", 1).name == "faster-whisper 1.9 small int8"
    for name in ("siri", "pocketsphinx:small", ""):
        with pytest.raises(UsageError, match="choose pocketsphinx, moonshine, faster-whisper"):
            open_judge(name, 1)


def test_whisper_hears_each_recording_alone_and_spells_numbers(installed: None) -> None:
    judge = WhisperJudge("base.en", workers=3)
    assert judge.model.made == {"model": "base.en", "device": "cpu", "compute_type": "int8", "cpu_threads": 3}
    assert list(judge.transcribe([to_int16(noise(100)), to_int16(noise(200))])) == ["Hello, 100 there.", "Hello, 200 there."]
    for call in judge.model.calls:
        assert call["temperature"] == 0 and not call["condition_on_previous_text"] and call["language"] == "en"
        assert call["suppress_tokens"] == [-1, 4, 7, 9]


def test_whisper_names_the_weights_of_a_folder(installed: None, tmp_path: Path) -> None:
    names = []
    for content in (b"one", b"two"):
        (tmp_path / "model.bin").write_bytes(content)
        names.append(WhisperJudge(str(tmp_path)).name)
    assert names[0] != names[1] and all(tmp_path.name in name for name in names)


def test_whisper_that_is_missing_or_has_no_model_is_one_line(installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClariError, match=r"cannot load 'nowhere' \(no network\); .*--judge faster-whisper:FOLDER$"):
        open_judge("faster-whisper:nowhere", 1)
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(ClariError, match=r"pip install 'clari\[whisper\]'"):
        open_judge("faster-whisper", 1)


def test_pocketsphinx_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(judges, "version", missing)
    with pytest.raises(ClariError, match=r"pip install 'clari\[eval\]'"):
        open_judge("pocketsphinx", 1)


def test_moonshine_understands_what_flite_says_whoever_listens() -> None:
    pytest.importorskip("moonshine_voice", reason="the judge needs the extra moonshine: pip install 'clari[moonshine]'")
    say = ["flite", "-voice", "slt", "-t", "The boat comes back in the morning.", "-o"]
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run([*say, file.name], check=True)
        speech = to_int16(load_audio(Path(file.name)))
    words = [normalize(next(open_judge("moonshine", workers).transcribe([speech]))) for workers in (0, 1)]
    assert words == ["the boat comes back in the morning"] * 2
    assert list(open_judge("moonshine", 0).transcribe([to_int16(np.zeros(0))])) == [""]


def test_moonshine_that_is_missing_or_has_no_model_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = ModuleType("moonshine_voice")
    package.get_model_path = lambda name: tmp_path / name  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "moonshine_voice", package)
    monkeypatch.setattr(moonshine, "version", lambda name: "9.9")
    with pytest.raises(ClariError, match=r"9\.9 comes without a model; install: pip install 'clari\[moonshine\]'$"):
        open_judge("moonshine", 1)
    monkeypatch.setitem(sys.modules, "moonshine_voice", None)
    with pytest.raises(ClariError, match=r"is not installed; install: pip install 'clari\[moonshine\]'$"):
        open_judge("moonshine", 1)
