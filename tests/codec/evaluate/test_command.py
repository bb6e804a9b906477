"""The command with fake systems, a fake judge and cheap metrics, on noise instead of speech."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from codec import entry as codec_entry
from codec.evaluate import command, evaluation
from codec.evaluate.evaluation import METRICS, Metric, fitted
from codec.evaluate.systems import ClariSystem, PhoneErrors, System, Unchanged, clari_rows
from export import entry as export_entry
from stream import launch
from tests.codec.data.test_pitch import voice


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, samples).astype(np.float32)


class FakeJudge:
    """Hears "hello there" in loud recordings and "hello" in quiet ones, and nothing in silence."""

    kind, name = "fake", "fake 1"
    heard = 0

    def __init__(self, kind: str = "fake") -> None:
        self.kind, self.name = kind, f"{kind} 1"

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        for audio in audios:
            FakeJudge.heard += 1
            level = np.abs(audio).mean()
            yield "Hello there." if level > 800 else "hello" if level > 50 else ""


class QuietSystem(ClariSystem):
    """Clari without graphs: plays at a tenth of the level, and nothing where packets are lost."""

    def __init__(self, name: str):
        self.name, self.bits_per_s, self.packet_frames, self.sha256 = name, 200.0, 8, "5a" * 32
        meta = SimpleNamespace(name="tiny", decoder_id=7, revision="abc", delay_samples=1600, sample_rate_hz=16_000)
        self.encoder = SimpleNamespace(meta=meta)  # type: ignore[assignment]
        self.lossy, self.sent = False, []

    def process(self, samples: np.ndarray, transcript: str) -> np.ndarray:
        assert transcript == "HELLO THERE"
        self.sent.append(np.tile(np.arange(4, dtype=np.uint8)[:, None], (3, 8)))
        return samples * (0 if self.lossy else 0.1)


class HalfSystem:
    """Plays at half the level, cut off before its end, as a row that somebody else supplies may."""

    name = "codec2-3200"
    bits_per_s: float | None = 3200.0

    def process(self, samples: np.ndarray, transcript: str) -> np.ndarray:
        return samples[:-100] / 2


class FakeReader:
    name = "decoder"

    def phone_errors(self, samples: np.ndarray, transcript: str) -> PhoneErrors:
        return PhoneErrors(1, len(transcript) - 1)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows = ["path\tseconds\tspeaker\tsplit\ttranscript\tlicence\tcorpus"]
    speakers = [("a", "heldout", "Some")] * 2 + [("b", "heldout", "Some"), ("c", "train", "Some"), ("d", "heldout", "Wild")]
    for number, (speaker, split, corpus) in enumerate(speakers):
        spoken = voice(np.full(16_000, 110.0 if speaker == "a" else 220.0), number)
        samples = 0.9 * spoken / np.abs(spoken).max() + noise(16_000, number) / 20
        soundfile.write(tmp_path / f"{number}.wav", samples, 16_000)
        rows.append(f"{number}.wav\t1.0\t{speaker}\t{split}\tHELLO THERE\tCC0\t{corpus}")
    path = tmp_path / "speech.tsv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(names: Sequence[str], models: Sequence[str], profile: str) -> tuple[list[System], dict[str, str]]:
        return [Unchanged("original"), *map(QuietSystem, clari_rows(models)), HalfSystem()], {"opus-6k": "no av"}

    level = Metric(("distillmos",), lambda _, decoded: [float(np.abs(decoded).mean())])
    monkeypatch.setattr(FakeJudge, "heard", 0)
    monkeypatch.setattr(command, "open_judge", lambda name, workers: FakeJudge(name))
    monkeypatch.setattr(command, "build_systems", build)
    monkeypatch.setattr(evaluation, "METRICS", {**METRICS, "distillmos": level})
    monkeypatch.setattr(command, "METRICS", {**METRICS, "distillmos": level})


@pytest.fixture
def options(manifest: Path, tmp_path: Path) -> list[str]:
    common = ["--manifest", str(manifest), "--cache", str(tmp_path / "cache"), "--workers", "1", "--corpus", "some"]
    return [*common, "--metrics", "distillmos", "pitch", "--judge", "fake"]


@pytest.fixture
def noises(tmp_path: Path) -> Path:
    folder = tmp_path / "noise"
    folder.mkdir()
    soundfile.write(folder / "kitchen.wav", noise(8_000, 9), 16_000)
    return folder


def tables(text: str) -> list[list[list[str]]]:
    """Cells of every Markdown table: tables, rows, cells; heads first, rules left out."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if not line.startswith("|"):
            found.append([])
        elif not line.startswith("|-"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    return [table for table in found if table]


def titles(text: str) -> list[str]:
    return [line[3:] for line in text.splitlines() if line.startswith("## ")]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables(options: list[str], fakes: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(options) == 0
    printed = capsys.readouterr()
    assert "opus-6k left out: no av" in printed.err
    assert titles(printed.out) == ["Clean speech", "Clean speech, male speakers", "Codes of clari"]
    assert "3 held-out utterances, 2 speakers, 0.1 minutes. Corpus: some." in printed.out
    assert f"weights {'5a' * 32}" in printed.out and "* judge: fake 1" in printed.out
    judged, quality, compared, *_ = tables(printed.out)
    assert judged == [
        ["system", "bit/s", "WER % fake [95 % CI]", "CER %", "WER % vs own"],
        ["original", "256000", "0.0 [0.0, 0.0]", "0.0", "0.0"],
        ["clari", "200", "50.0 [50.0, 50.0]", "54.5", "50.0"],
        ["codec2-3200", "3200", "0.0 [0.0, 0.0]", "0.0", "0.0"],
    ]
    assert [row[0] for row in quality] == [row[0] for row in judged]
    assert quality[0][2:] == ["DistillMOS [95 % CI]", "pitch correlation [95 % CI]", "voicing error % [95 % CI]"]
    assert quality[1][4] == "0.0 [0.0, 0.0]" and float(quality[2][2].split()[0]) < float(quality[3][2].split()[0])
    assert compared[0][:3] == ["difference", "WER % fake", "DistillMOS"]
    assert [row[0] for row in compared[1:]] == ["clari - original", "clari - codec2-3200"]
    assert compared[2][1] == "50.0 [50.0, 50.0], p 0.0002" and compared[2][2].startswith("-") and compared[2][2].endswith("0.0002")
    assert tables(printed.out)[-1][1] == ["0", "25.0", "25.0", "25.0", "25.0", "2.00"]
    assert "Over 36 frames: marginal entropy 16.00 of 16 bits" in printed.out
    assert command.main(options) == 0
    assert capsys.readouterr().out == printed.out


def test_men_are_a_table_of_their_own(options: list[str], fakes: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(options) == 0
    printed = capsys.readouterr().out
    male = printed[printed.index("male speakers") : printed.index("Codes of")]
    assert "below 160 Hz" in male and "tells it: a." in male
    assert [row[0] for row in tables(male)[0][1:]] == ["original", "clari", "codec2-3200"]


def test_every_condition_in_one_file(
    options: list[str], fakes: None, noises: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "RESULTS.md"
    more = ["--conditions", "clean", "loss", "other", "--other-corpus", "Wild", "--noise", str(noises), "--snr-db", "5"]
    assert command.main([*options, *more, "--judge", "second", "--results", str(results)]) == 0
    printed = capsys.readouterr().out
    assert results.read_text(encoding="utf-8") == printed and str(tmp_path) not in printed
    assert "clari-eval --manifest speech.tsv --cache cache" in printed and "--noise noise" in printed
    assert titles(printed) == [
        "Clean speech",
        "Clean speech, male speakers",
        "Noise at 5 dB",
        "Lost packets",
        "Wild",
        "Codes of clari",
    ]
    clean, noisy, lost, wild = (
        tables(printed[printed.index(f"## {title}\n") :]) for title in ("Clean speech", "Noise at 5 dB", "Lost packets", "Wild")
    )
    assert clean[0][0][-1] == "WER % second [95 % CI]" and clean[0][2][-1] == "50.0 [50.0, 50.0]"
    assert [row[0] for row in noisy[0][1:]] == ["original", "noisy", "clari", "codec2-3200"]
    assert noisy[0][1] == clean[0][1]  # the original stays clean
    assert float(noisy[1][2][2].split()[0]) > float(noisy[1][1][2].split()[0])  # what everyone heard is louder
    assert [row[:3] for row in lost[0][1:]] == [
        ["original", "256000", "0.0 [0.0, 0.0]"],
        ["clari-lost", "200", "100.0 [100.0, 100.0]"],
        ["clari", "200", "50.0 [50.0, 50.0]"],
        ["codec2-3200", "3200", "0.0 [0.0, 0.0]"],
    ]
    assert [row[0] for row in lost[2][1:]][:3] == ["clari-lost - original", "clari-lost - clari", "clari-lost - codec2-3200"]
    assert "1 held-out utterances, 1 speakers" in printed[printed.index("## Wild") :] and len(wild[0]) == 4


def test_what_was_judged_and_measured_is_not_done_again(
    options: list[str], fakes: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(options) == 0
    heard = FakeJudge.heard
    assert heard == 9

    def only_silence(metric: Metric) -> Metric:
        def measure(original: object, decoded: np.ndarray) -> list[float]:
            assert not np.any(decoded), "measured again"
            return [0.0] * len(metric.figures)

        return Metric(metric.figures, measure)

    monkeypatch.setattr(evaluation, "METRICS", {name: only_silence(each) for name, each in METRICS.items()})
    assert command.main([*options, "--conditions", "clean", "loss"]) == 0
    assert FakeJudge.heard == heard + 3  # what came of lost packets


def test_figures_that_want_the_originals_voice_say_that_it_is_gone(
    options: list[str], fakes: None, capsys: pytest.CaptureFixture[str]
) -> None:
    at = options.index("--metrics")
    chosen = [*options[: at + 1], "lsd", "mel", "speaker", "stoi", *options[at + 3 :]]
    assert command.main(chosen) == 0
    printed = capsys.readouterr().out
    assert "of clari these figures mean nothing" in printed.replace("\n", " ")
    judged, _, likeness, *_ = tables(printed)
    assert likeness[0][2:] == ["STOI [95 % CI]", "mel distance", "LSD dB", "speaker similarity [95 % CI]"]
    assert likeness[1][2:] == ["1.000 [1.000, 1.000]", "0.000", "0.00", "1.000 [1.000, 1.000]"]
    assert 5 < float(likeness[3][4]) < 7 and judged[0][2].startswith("WER")


def test_files(options: list[str], fakes: None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command.main([*options, "--out", str(out), "--save-audio"]) == 0
    rows = read(out / "rows.csv")
    assert [row["value"] for row in rows if row["measure"] == "fake_wer_percent"] == ["0.000000", "50.000000", "0.000000"] * 2
    assert {row["condition"] for row in rows} == {"clean", "male"}
    assert {row["condition"] for row in read(out / "comparisons.csv")} == {"clean"}
    lines = read(out / "utterances.csv")
    assert [(line["system"], line["fake_hypothesis"], line["fake_errors"]) for line in lines[::3]] == [
        ("original", "hello there", "0"),
        ("clari", "hello", "1"),
        ("codec2-3200", "hello there", "0"),
    ]
    wavs = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.wav"))
    systems = ("clari", "codec2-3200", "original")
    assert wavs == [f"clean/{system}/{number:04d}-{number}.wav" for system in systems for number in range(3)]


def test_several_models_are_compared_with_each_other_once(
    options: list[str], fakes: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([*options, "--model", "base", "--model", "runs/rl"]) == 0
    printed = capsys.readouterr().out
    judged, _, compared, *_ = tables(printed)
    assert [row[0] for row in judged[1:]] == ["original", "clari-base", "clari-rl", "codec2-3200"]
    assert [row[0] for row in compared[1:]] == [
        "clari-base - original",
        "clari-base - clari-rl",
        "clari-base - codec2-3200",
        "clari-rl - original",
        "clari-rl - codec2-3200",
    ]
    assert titles(printed)[-2:] == ["Codes of clari-base", "Codes of clari-rl"]


def test_phones_are_a_table_where_somebody_reads_them(
    options: list[str], fakes: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("codec.evaluate.oracles.oracle_rows", lambda weights, classifier: ([], [FakeReader()]))
    assert command.main([*options, "--oracles", "phone-times.pt"]) == 0
    printed = capsys.readouterr().out
    assert tables(printed[printed.index("## Phones") :])[0] == [
        ["read from", "phones", "phone error rate % [95 % CI]"],
        ["decoder", "30", "10.0 [10.0, 10.0]"],
    ]


def test_a_metric_whose_package_is_missing_is_left_out_and_said(
    options: list[str], fakes: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    at = options.index("--metrics")
    assert command.main([*options[: at + 1], "pesq", "dnsmos", *options[at + 1 :]]) == 0
    printed = capsys.readouterr()
    assert "pesq left out: package pesq not found; install: pip install 'clari[pesq]'" in printed.err
    assert "dnsmos left out: package speechmos not found; install: pip install 'clari[eval]'" in printed.err
    assert "PESQ" not in printed.out and "DistillMOS" in printed.out


def test_what_a_system_gives_is_fitted_to_its_original() -> None:
    assert fitted(np.array([0.5, np.nan, 3.0, 0.1]), 3).tolist() == [0.5, 0, 1]
    assert fitted(np.array([0.5]), 3).tolist() == [0.5, 0, 0] and fitted(np.zeros(0), 2).dtype == np.float32


def test_errors_are_one_line_with_a_code(
    manifest: Path, options: list[str], fakes: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(code: int, text: str, *more: str) -> None:
        assert command.main([*options, *more]) == code
        lines = capsys.readouterr().err.splitlines()
        assert text in lines[-1] and lines[-1].startswith("clari-eval: ")

    fails(6, "no such manifest", "--manifest", str(tmp_path / "missing.tsv"))
    fails(6, "not a text file", "--manifest", str(tmp_path / "0.wav"))
    fails(6, "cannot be written", "--out", str(manifest))
    fails(6, "its folder does not exist", "--results", str(tmp_path / "nowhere" / "RESULTS.md"))
    fails(6, "choose a writable folder with --cache", "--cache", str(manifest))
    fails(6, "no folder of noises and no list of them", "--noise", str(tmp_path / "nowhere"))
    fails(2, "no number from -30 to 60", "--snr-db", "loud")
    fails(2, "'-1' is no whole number from 0 to", "--seed", "-1")
    fails(2, "'0' is no whole number from 1 to", "--workers", "0")
    fails(2, "add --out DIR", "--save-audio")
    fails(2, "invalid choice: 'rain'", "--conditions", "rain")
    fails(2, "both be clari-rl", "--model", "a/rl", "--model", "b/rl")
    fails(2, "choose from: Some, Wild", "--corpus", "nothing")
    fails(2, "choose from: Some, Wild", "--conditions", "other", "--other-corpus", "nothing")
    soundfile.write(tmp_path / "1.wav", np.full(100, np.nan, np.float32), 16_000, subtype="FLOAT")
    fails(6, "1.wav: empty or not finite")
    (tmp_path / "1.wav").write_text("words")
    fails(6, "1.wav: missing or no audio")


def test_judges_of_one_kind_and_unknown_ones_are_refused(
    options: list[str], fakes: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "open_judge", lambda name, workers: FakeJudge(name.partition(":")[0]))
    assert command.main([*options, "--judge", "fake:other"]) == 2
    assert "give one --judge of each kind" in capsys.readouterr().err
    monkeypatch.undo()
    assert command.main([*options[:-2], "--systems", "original", "--judge", "siri"]) == 2
    assert "choose whisper, pocketsphinx or whisper:FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize(("entry", "extra"), [(codec_entry.evaluate, "eval"), (export_entry.export, "export")])
def test_commands_without_their_extra_say_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, entry: Callable[[], int], extra: str
) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    assert entry() == 1
    assert capsys.readouterr().err.strip().endswith(f"install: pip install 'clari[{extra}]'")
