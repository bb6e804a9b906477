"""The evaluation with fake systems and a fake judge, on noise instead of speech."""

from __future__ import annotations

import csv
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from codec import entry as codec_entry
from codec import evaluate
from codec.config import Config, ModelConfig
from codec.judge import CachedJudge, PocketsphinxJudge, to_int16
from codec.manifest import Utterance
from codec.systems import (
    CODEC2_700C,
    ClariSystem,
    Codec2System,
    Decoded,
    Original,
    System,
    VocoderSystem,
    build_systems,
    padded,
    realigned,
)
from codec.vocoder import Vocoder
from codec.weights import save_weights
from export import entry as export_entry
from stream import launch
from stream.errors import FileError, ModelError, UsageError

SHIFT_SAMPLES = 1600


def utterance(
    speaker: str, number: int, split: str = "heldout", transcript: str = "HELLO THERE", corpus: str = "Some"
) -> Utterance:
    return Utterance(Path(f"{speaker}-{number}.wav"), 1.0, speaker, split, transcript, "CC0", corpus)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, samples).astype(np.float32)


class FakeJudge:
    """Hears "hello there" in loud recordings and "hello" in quiet ones."""

    name = "fake 1"

    def __init__(self, workers: int = 1):
        self.heard = 0

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        for audio in audios:
            self.heard += 1
            yield "hello there" if np.abs(audio).max() > 3000 else "hello"


class QuietSystem:
    """Sends 200 bits per second and plays at a tenth of the level."""

    name = "clari"

    def decode(self, samples: np.ndarray) -> Decoded:
        return Decoded(samples / 10, 200, 1.0)


class HalfSystem:
    name = "codec2-700c"

    def decode(self, samples: np.ndarray) -> Decoded:
        return Decoded(samples / 2, 700, 1.0)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows = ["path\tseconds\tspeaker\tsplit\ttranscript\tlicence\tcorpus"]
    for number, (speaker, split) in enumerate([("a", "heldout"), ("a", "heldout"), ("b", "heldout"), ("c", "train")]):
        soundfile.write(tmp_path / f"{number}.wav", noise(16_000, number), 16_000)
        rows.append(f"{number}.wav\t1.0\t{speaker}\t{split}\tHELLO THERE\tCC0\tSome")
    path = tmp_path / "speech.tsv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(names: Sequence[str], model: str, vocoder: Path) -> tuple[list[System], dict[str, str]]:
        return [Original(), QuietSystem(), HalfSystem()], {"vocoder": "no weights"}

    monkeypatch.setattr(evaluate, "PocketsphinxJudge", FakeJudge)
    monkeypatch.setattr(evaluate, "build_systems", build)


def test_selection_is_deterministic_and_spread_over_speakers() -> None:
    everyone = [utterance(speaker, number) for speaker in "abcde" for number in range(10)]
    chosen = evaluate.select_utterances(everyone, "", 12, seed=3)
    assert chosen == evaluate.select_utterances(everyone[::-1], "", 12, seed=3)
    assert sorted(Counter(item.speaker for item in chosen).values()) == [2, 2, 2, 3, 3]
    assert chosen != evaluate.select_utterances(everyone, "", 12, seed=4)
    assert len(evaluate.select_utterances(everyone, "", None, seed=3)) == 50


def test_selection_takes_held_out_speech_with_words_of_the_named_corpus() -> None:
    good = utterance("a", 1, corpus="LibriSpeech")
    others = [
        utterance("b", 1, split="train", corpus="LibriSpeech"),
        utterance("a", 2, transcript=" ."),
        utterance("c", 1, corpus="Other"),
    ]
    assert evaluate.select_utterances([good, *others], "libri", None, seed=1) == [good]
    with pytest.raises(UsageError, match="choose from: LibriSpeech, Other"):
        evaluate.select_utterances([good, *others], "missing", None, seed=1)
    with pytest.raises(UsageError, match="held-out"):
        evaluate.select_utterances(others[:2], "", None, seed=1)


@pytest.mark.parametrize("samples", [1, 1279, 1280, 1281, 5000])
@pytest.mark.parametrize("delay_samples", [0, 320, 1600])
def test_padding_and_realignment_undo_a_delay(samples: int, delay_samples: int) -> None:
    original = noise(samples)
    heard = padded(original, delay_samples, 1280)
    assert len(heard) % 1280 == 0
    assert len(heard) < samples + delay_samples + 1280
    delayed = np.concatenate([np.zeros(delay_samples, np.float32), heard])[: len(heard)]
    np.testing.assert_array_equal(realigned(delayed, delay_samples, samples), original)


def test_realignment_refuses_a_cut_off_end() -> None:
    with pytest.raises(ValueError, match="pad the input"):
        realigned(np.zeros(100), 10, 91)


def test_clari_runs_fresh_streams_and_removes_their_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake engine whose codes carry nothing: its decoder plays what its encoder heard, SHIFT_SAMPLES late."""

    class Line:
        def __init__(self) -> None:
            self.held = np.zeros(SHIFT_SAMPLES, np.float32)

        def encode(self, pcm: np.ndarray) -> np.ndarray:
            assert pcm.shape == (1280,) and pcm.dtype == np.float32
            current.append(np.array(pcm))
            return np.zeros(8, np.uint8)

        def decode(self, codes: np.ndarray | None) -> np.ndarray:
            assert codes is not None and codes.shape == (8,)
            self.held = np.concatenate([self.held, current.pop()])
            played, self.held = self.held[:1280], self.held[1280:]
            return played

    current: list[np.ndarray] = []
    engine = ModuleType("stream.engine")
    loaded = SimpleNamespace(stream=Line, meta=SimpleNamespace(shift_samples=SHIFT_SAMPLES))
    engine.load_encoder = engine.load_decoder = lambda name: loaded  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stream.engine", engine)
    system = ClariSystem("base")
    for original in (noise(20_000, 1), noise(7_000, 2)):
        decoded = system.decode(original)
        np.testing.assert_array_equal(decoded.samples, original)
        assert decoded.bits == pytest.approx(200 * decoded.coded_s)


def test_vocoder_loads_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "vocoder.safetensors"
    save_weights(weights, Vocoder(ModelConfig()).state_dict(), Config(), "a test")
    decoded = VocoderSystem(weights).decode(noise(3000))
    assert decoded.samples.shape == (3000,)
    assert decoded.bits is None
    save_weights(weights, {"other": torch.zeros(1)}, Config(), "a test")
    with pytest.raises(ModelError, match="another configuration"):
        VocoderSystem(weights)
    weights.write_bytes(b"text")
    with pytest.raises(ModelError, match="no clari weights"):
        VocoderSystem(weights)
    with pytest.raises(FileError, match="no such file"):
        VocoderSystem(tmp_path / "missing")


@pytest.mark.skipif(shutil.which("c2enc") is None, reason="needs the Debian package codec2")
@pytest.mark.parametrize("samples", [1, 8_000, 16_123])
def test_codec2_counts_700_bits_per_second_and_keeps_the_length(samples: int) -> None:
    decoded = Codec2System(CODEC2_700C).decode(noise(samples))
    assert decoded.samples.shape == (samples,)
    assert decoded.bits == pytest.approx(700 * decoded.coded_s)


@pytest.mark.skipif(shutil.which("c2enc") is None, reason="needs the Debian package codec2")
def test_codec2_bursts_stay_where_they_are() -> None:
    tone = np.sin(2 * np.pi * 150 * np.arange(32_000) / 16_000) + np.sin(2 * np.pi * 600 * np.arange(32_000) / 16_000)
    original = (0.3 * tone * (np.arange(32_000) // 4000 % 2)).astype(np.float32)
    decoded = Codec2System(CODEC2_700C).decode(original).samples
    levels = [np.convolve(x**2, np.ones(160), "same") for x in (original, decoded)]
    lags = range(-640, 641, 80)
    likeness = [float(np.dot(levels[0][1000:-1000], np.roll(levels[1], -lag)[1000:-1000])) for lag in lags]
    assert abs(lags[int(np.argmax(likeness))]) <= 240


def test_what_is_missing_is_left_out_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    systems, skipped = build_systems(("vocoder", "codec2-700c"), "base", Path("nowhere"))
    assert [system.name for system in systems] == ["original"]
    assert "--vocoder" in skipped["vocoder"]
    assert "Debian package codec2" in skipped["codec2-700c"]


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
    pytest.importorskip("pocketsphinx")
    assert list(PocketsphinxJudge().transcribe([])) == []


def test_int16_clips_and_rounds() -> None:
    np.testing.assert_array_equal(to_int16(np.array([-2, -1, 0, 1, 1.5])), [-32767, -32767, 0, 32767, 32767])


def test_end_to_end(manifest: Path, fakes: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--manifest", str(manifest), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out"), "--save-audio"]
    assert evaluate.main(options) == 0
    printed = capsys.readouterr()
    assert "vocoder left out: no weights" in printed.err
    heading, _, head, _, original, clari, codec2, _, comparison = printed.out.splitlines()
    assert "3 utterances, 2 speakers, 0.1 minutes; judge fake 1; seed 1" in heading
    assert len({len(line) for line in (head, original, clari, codec2)}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (original, clari, codec2)]
    assert cells[0][:4] == ["original", "256000", "0.0 [0.0, 0.0]", "0.0"]
    assert cells[0][6] == "0.000"
    assert cells[1][:4] == ["clari", "200", "50.0 [50.0, 50.0]", "50.0"]
    assert cells[2][:4] == ["codec2-700c", "700", "0.0 [0.0, 0.0]", "0.0"]
    assert "clari minus codec2-700c: 50.0 [50.0, 50.0] points; paired bootstrap p = 0.0002" in comparison
    assert (tmp_path / "out" / "table.md").read_text(encoding="utf-8") == printed.out
    with (tmp_path / "out" / "utterances.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [(line["system"], line["hypothesis"], line["errors"]) for line in lines[::3]] == [
        ("original", "hello there", "0"),
        ("clari", "hello", "1"),
        ("codec2-700c", "hello there", "0"),
    ]
    wavs = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.wav"))
    assert wavs == [f"{system}/{number:04d}-{number}.wav" for system in ("clari", "codec2-700c", "original") for number in range(3)]
    assert evaluate.main(options) == 0
    assert capsys.readouterr().out == printed.out


def test_errors_are_one_line_with_a_code(
    manifest: Path, fakes: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(code: int, text: str, *options: str) -> None:
        assert evaluate.main(["--manifest", str(manifest), "--cache", str(tmp_path / "cache"), *options]) == code
        lines = capsys.readouterr().err.splitlines()
        assert text in lines[-1] and lines[-1].startswith("clari-eval: ")

    fails(6, "no such manifest", "--manifest", str(tmp_path / "missing.tsv"))
    fails(6, "not a text file", "--manifest", str(tmp_path / "0.wav"))
    fails(6, "cannot be written", "--out", str(manifest))
    fails(6, "choose a writable folder with --cache", "--cache", str(manifest))
    fails(2, "add --out DIR", "--save-audio")
    fails(2, "choose from: Some", "--corpus", "nothing")
    soundfile.write(tmp_path / "1.wav", np.full(100, np.nan, np.float32), 16_000, subtype="FLOAT")
    fails(6, "1.wav: empty or not finite")
    (tmp_path / "1.wav").write_text("words")
    fails(6, "1.wav: missing or no audio")


@pytest.mark.parametrize(("entry", "extra"), [(codec_entry.evaluate, "eval"), (export_entry.export, "export")])
def test_commands_without_their_extra_say_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, entry: Callable[[], int], extra: str
) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    assert entry() == 1
    assert capsys.readouterr().err.strip().endswith(f"install: pip install 'clari[{extra}]'")
