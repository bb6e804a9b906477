"""The command with fake systems and a fake judge, on noise instead of speech."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec import entry as codec_entry
from codec import evaluate
from codec.lineup import clari_rows
from codec.summary import MEASURES
from codec.systems import Decoded, System, Unchanged
from export import entry as export_entry
from stream import launch


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, samples).astype(np.float32)


class FakeJudge:
    """Hears "hello there" in loud recordings and "hello" in quiet ones."""

    name = "fake 1"

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        for audio in audios:
            yield "hello there" if np.abs(audio).max() > 3000 else "hello"


class QuietSystem:
    """Sends 200 bits per second and plays at a tenth of the level."""

    def __init__(self, name: str):
        self.name = name

    def decode(self, samples: np.ndarray) -> Decoded:
        return Decoded(samples / 10, 200, 1.0, np.tile(np.arange(4, dtype=np.uint8)[:, None], (3, 8)))


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
    def build(
        names: Sequence[str], models: Sequence[str], vocoder: Path, noisy: bool = False
    ) -> tuple[list[System], dict[str, str]]:
        systems: list[System] = [Unchanged("original"), *([Unchanged("noisy")] if noisy else [])]
        return [*systems, *map(QuietSystem, clari_rows(models)), HalfSystem()], {"vocoder": "no weights"}

    monkeypatch.setattr(evaluate, "open_judge", lambda name, workers: FakeJudge())
    monkeypatch.setattr(evaluate, "build_systems", build)


@pytest.fixture
def options(manifest: Path, tmp_path: Path) -> list[str]:
    return ["--manifest", str(manifest), "--cache", str(tmp_path / "cache"), "--workers", "1", "--out", str(tmp_path / "out")]


def tables(text: str) -> list[list[list[str]]]:
    """Cells of every Markdown table: tables, rows, cells; heads first, rules left out."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if not line.startswith("|"):
            found.append([])
        elif not line.startswith("|-"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    return [table for table in found if table]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_teacher_is_no_witness(
    options: list[str], fakes: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warning = "Moonshine taught the shipped models (codec/teacher.py): of clari its figures are no evidence."
    for name in ("fake 1", "moonshine 1"):
        monkeypatch.setattr(FakeJudge, "name", name)
        assert evaluate.main(options) == 0
        assert (warning in capsys.readouterr().out.splitlines()[0]) == (name == "moonshine 1")


def test_tables(options: list[str], fakes: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(options) == 0
    printed = capsys.readouterr()
    assert "vocoder left out: no weights" in printed.err
    assert "3 utterances, 2 speakers, 0.1 minutes; judge fake 1; seed 1" in printed.out.splitlines()[0]
    intelligibility, quality, comparisons, more_comparisons, codes = tables(printed.out)
    assert [row[:7] for row in intelligibility[1:]] == [
        ["original", "768000", "256000", "0.0 [0.0, 0.0]", "0.0 [0.0, 0.0]", "0.0", "0.0"],
        ["clari", "600", "200", "50.0 [50.0, 50.0]", "54.5 [54.5, 54.5]", "50.0", "54.5"],
        ["codec2-700c", "2100", "700", "0.0 [0.0, 0.0]", "0.0 [0.0, 0.0]", "0.0", "0.0"],
    ]
    assert [row[0] for row in quality] == [row[0] for row in intelligibility]
    assert quality[1][4:6] == ["0.000", "0.00"]  # the original's distances from itself
    assert quality[3][5] == "6.02"
    assert [row[0] for row in comparisons[1:]] == ["clari - original", "clari - codec2-700c"]
    assert comparisons[2][1:5] == ["50.0 [50.0, 50.0]", "0.0002", "54.5 [54.5, 54.5]", "0.0002"]
    assert [row[0] for row in more_comparisons] == [row[0] for row in comparisons]
    assert more_comparisons[0][5:] == ["mel distance [95 % CI]", "p mel distance"]
    assert float(more_comparisons[1][5].split()[0]) > 0 and more_comparisons[1][6] == "0.0002"
    assert codes[1] == ["0", "25.0", "25.0", "25.0", "25.0", "2.00"]
    assert "Codes of clari over 36 frames: marginal entropy 16.00 of 16 bits" in printed.out
    assert evaluate.main(options) == 0
    assert capsys.readouterr().out == printed.out


def test_files(options: list[str], fakes: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([*options, "--save-audio"]) == 0
    out = tmp_path / "out"
    written = (out / "table.md").read_text(encoding="utf-8")
    assert written.startswith(capsys.readouterr().out)
    assert "* 1 errors in 2 words, a, `0.wav`\n  * said: hello there\n  * heard: hello\n" in written
    assert "* b: 50.0 % in 1 utterances" in written
    rows = read(out / "table.csv")
    assert [(row["system"], row["bits"], row["bits_per_s"]) for row in rows[1:]] == [
        ("clari", "600", "200.000000"),
        ("codec2-700c", "2100", "700.000000"),
    ]
    assert (rows[1]["wer_percent"], rows[1]["wer_percent_low"], rows[1]["wer_percent_high"]) == ("50.000000",) * 3
    compared = read(out / "comparisons.csv")
    assert [(row["other"], row["measure"], row["p_value"]) for row in compared if row["measure"] in ("wer_percent", "cer_percent")][
        -2:
    ] == [
        ("codec2-700c", "wer_percent", "0.000200"),
        ("codec2-700c", "cer_percent", "0.000200"),
    ]
    assert {row["measure"] for row in compared} == {measure.name for measure in MEASURES}
    assert [
        (line["system"], line["hypothesis"], line["errors"], line["letter_errors"]) for line in read(out / "utterances.csv")[::3]
    ] == [
        ("original", "hello there", "0", "0"),
        ("clari", "hello", "1", "6"),
        ("codec2-700c", "hello there", "0", "0"),
    ]
    assert json.loads((out / "codes.json").read_text(encoding="utf-8"))["clari"]["dead"] == []
    assert (out / "table.png").read_bytes()[:4] == b"\x89PNG"
    wavs = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.wav"))
    assert wavs == [f"{system}/{number:04d}-{number}.wav" for system in ("clari", "codec2-700c", "original") for number in range(3)]


def test_several_models_are_compared_with_each_other_once(
    options: list[str], fakes: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([*options, "--model", "base", "--model", "runs/rl"]) == 0
    table, _, comparisons, _, *codes = tables(capsys.readouterr().out)
    assert [row[0] for row in table[1:]] == ["original", "clari-base", "clari-rl", "codec2-700c"]
    assert [row[0] for row in comparisons[1:]] == [
        "clari-base - original",
        "clari-base - clari-rl",
        "clari-base - codec2-700c",
        "clari-rl - original",
        "clari-rl - codec2-700c",
    ]
    assert len(codes) == 2


def test_with_noise_the_reference_stays_clean(
    options: list[str], fakes: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "noise"
    folder.mkdir()
    soundfile.write(folder / "hiss.wav", noise(8_000, 9), 16_000)
    assert evaluate.main([*options, "--noise", str(folder), "--snr-db", "5"]) == 0
    printed = capsys.readouterr().out
    assert f"heard noise of {folder} at 5 dB SNR" in printed
    table, quality, *_ = tables(printed)
    assert [row[0] for row in table[1:]] == ["original", "noisy", "clari", "codec2-700c"]
    assert quality[1][5] == "0.00" and float(quality[2][5]) > 1
    assert float(table[2][7].split()[0]) < float(table[1][7].split()[0]) == 1
    assert evaluate.main([*options, "--noise", str(folder), "--snr-db", "5"]) == 0
    assert capsys.readouterr().out == printed


def test_missing_pesq_is_said_and_its_cells_are_empty(
    options: list[str], fakes: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codec.metrics.find_spec", lambda name: None)
    assert evaluate.main(options) == 0
    printed = capsys.readouterr()
    assert "PESQ left out: package pesq not found; install a C compiler and: pip install 'clari[pesq]'" in printed.err
    assert {row[3] for row in tables(printed.out)[1][1:]} == {"-"}


def test_errors_are_one_line_with_a_code(
    manifest: Path, options: list[str], fakes: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(code: int, text: str, *more: str) -> None:
        assert evaluate.main([*options[:6], *more]) == code
        lines = capsys.readouterr().err.splitlines()
        assert text in lines[-1] and lines[-1].startswith("clari-eval: ")

    fails(6, "no such manifest", "--manifest", str(tmp_path / "missing.tsv"))
    fails(6, "not a text file", "--manifest", str(tmp_path / "0.wav"))
    fails(6, "cannot be written", "--out", str(manifest))
    fails(6, "choose a writable folder with --cache", "--cache", str(manifest))
    fails(6, "no recordings that can be heard", "--noise", str(tmp_path / "nowhere"))
    fails(2, "no number from -30 to 60", "--snr-db", "loud")
    fails(2, "'-1' is no whole number from 0 to", "--seed", "-1")
    fails(2, "'0' is no whole number from 1 to", "--workers", "0")
    fails(2, "add --out DIR", "--save-audio")
    fails(2, "both be clari-rl", "--model", "a/rl", "--model", "b/rl")
    fails(2, "choose from: Some", "--corpus", "nothing")
    soundfile.write(tmp_path / "1.wav", np.full(100, np.nan, np.float32), 16_000, subtype="FLOAT")
    fails(6, "1.wav: empty or not finite")
    (tmp_path / "1.wav").write_text("words")
    fails(6, "1.wav: missing or no audio")


def test_an_unknown_judge_is_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([*options, "--systems", "original", "--judge", "siri"]) == 2
    assert "choose pocketsphinx, moonshine, faster-whisper" in capsys.readouterr().err


@pytest.mark.parametrize(("entry", "extra"), [(codec_entry.evaluate, "eval"), (export_entry.export, "export")])
def test_commands_without_their_extra_say_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, entry: Callable[[], int], extra: str
) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    assert entry() == 1
    assert capsys.readouterr().err.strip().endswith(f"install: pip install 'clari[{extra}]'")
