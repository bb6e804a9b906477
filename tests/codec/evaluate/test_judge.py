"""The cache of hypotheses, and pocketsphinx."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from codec.evaluate import judge as judges
from codec.evaluate.judge import Cache, CachedJudge, PocketsphinxJudge, open_judge, to_int16
from stream.errors import ClariError, FileError, UsageError
from tests.codec.evaluate.test_whisper import said


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.3, 0.3, samples).astype(np.float32)


class FakeJudge:
    """Hears "hello there" in loud recordings and "hello" in quiet ones."""

    kind, name = "fake", "fake 1"

    def __init__(self) -> None:
        self.heard = 0

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        for audio in audios:
            self.heard += 1
            yield "hello there" if np.abs(audio).max() > 3000 else "hello"


def test_cache_asks_the_judge_once_per_recording_and_version(tmp_path: Path) -> None:
    judge = FakeJudge()
    loud, quiet = to_int16(noise(100)), to_int16(noise(100) / 100)
    assert list(CachedJudge(judge, Cache(tmp_path)).transcribe([loud])) == ["hello there"]
    assert list(CachedJudge(judge, Cache(tmp_path)).transcribe([quiet, loud, quiet])) == ["hello", "hello there", "hello"]
    assert judge.heard == 3  # loud once, quiet twice within one call
    assert list(CachedJudge(judge, Cache(tmp_path)).transcribe([loud, quiet])) == ["hello there", "hello"]
    assert judge.heard == 3
    judge.name = "fake 2"
    assert list(CachedJudge(judge, Cache(tmp_path)).transcribe([loud])) == ["hello there"]
    assert judge.heard == 4


def test_a_run_that_breaks_off_keeps_what_was_heard(tmp_path: Path) -> None:
    judge = FakeJudge()
    audios = [to_int16(noise(100 + number)) for number in range(4)]
    broken = CachedJudge(judge, Cache(tmp_path)).transcribe(audios)
    assert [next(broken), next(broken)] == ["hello there"] * 2
    del broken
    assert len(list(CachedJudge(judge, Cache(tmp_path)).transcribe(audios))) == 4
    assert judge.heard == 4


def test_a_cache_keeps_parts_apart_and_names_its_cure(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "new")
    assert cache.get(b"a", b"bc") is None
    assert cache.put("first", b"a", b"bc") == "first" and cache.put("second", b"ab", b"c") == "second"
    assert (cache.get(b"a", b"bc"), cache.get(b"ab", b"c"), cache.get(b"abc")) == ("first", "second", None)
    assert all(path.suffix == ".txt" for path in tmp_path.rglob("*.*"))
    (tmp_path / "file").write_text("")
    for use in (lambda: Cache(tmp_path / "file").put("x", b"a"), lambda: Cache(tmp_path / "file").get(b"a")):
        with pytest.raises(FileError, match="choose a writable folder with --cache"):
            use()


def test_pocketsphinx_starts_no_process_for_nothing() -> None:
    pytest.importorskip("pocketsphinx", reason="the judge needs the extra eval: pip install 'clari[eval]'")
    assert list(PocketsphinxJudge().transcribe([])) == []


def test_int16_clips_and_rounds() -> None:
    np.testing.assert_array_equal(to_int16(np.array([-2, -1, 0, 1, 1.5])), [-32767, -32767, 0, 32767, 32767])


def test_judges_are_chosen_by_name() -> None:
    pytest.importorskip("pocketsphinx", reason="the judge needs the extra eval: pip install 'clari[eval]'")
    assert isinstance(open_judge("pocketsphinx", 3), PocketsphinxJudge)
    for name in ("siri", "pocketsphinx:small", "", "moonshine", "whisper:"):
        with pytest.raises(UsageError, match="choose whisper, pocketsphinx or whisper:FOLDER"):
            open_judge(name, 1)


@pytest.mark.parametrize("workers", [0, 1])
def test_pocketsphinx_hears_a_recording_alike_whoever_listens_and_after_whatever(workers: int) -> None:
    pytest.importorskip("pocketsphinx", reason="the judge needs the extra eval: pip install 'clari[eval]'")
    judge = PocketsphinxJudge(workers)
    spoken, empty = said("The boat comes back in the morning."), to_int16(np.zeros(0))
    heard = list(judge.transcribe([spoken, to_int16(noise(16_000)), spoken, empty]))
    assert heard[0] == heard[2] and "morning" in heard[0].split() and heard[3] == ""


def test_pocketsphinx_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(judges, "version", missing)
    with pytest.raises(ClariError, match=r"pip install 'clari\[eval\]'"):
        open_judge("pocketsphinx", 1)
