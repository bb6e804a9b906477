"""The listening test: blind clips, the sheet as people hand it in, and its score."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codec.evaluate.systems import System, Unchanged
from codec.listening_test import command as listening
from codec.listening_test.sheet import Answer, Clip, read_answers, score
from stream.errors import FileError


class QuietSystem:
    """Plays at a tenth of the level."""

    name = "clari"
    bits_per_s: float | None = 200.0

    def process(self, samples: np.ndarray, transcript: str) -> np.ndarray:
        assert transcript.startswith("WORD")
        return samples / 10


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows = ["path\tseconds\tspeaker\tsplit\ttranscript\tlicence\tcorpus"]
    for number in range(7):
        samples = np.random.default_rng(number).uniform(-0.3, 0.3, 8_000).astype(np.float32)
        soundfile.write(tmp_path / f"said{number}.wav", samples, 16_000)
        split = "train" if number == 6 else "heldout"
        rows.append(f"said{number}.wav\t{20.0 if number == 5 else 0.5}\t{number}\t{split}\tWORD{'S' * number}\tCC0\tSome")
    path = tmp_path / "speech.tsv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(names: Sequence[str], models: Sequence[str], profile: str) -> tuple[list[System], dict[str, str]]:
        return [Unchanged("original"), QuietSystem()], {"codec2-700c": "not installed"} if "codec2-700c" in names else {}

    monkeypatch.setattr(listening, "build_systems", build)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_sentence_is_one_clip_and_the_sheet_does_not_tell_its_system(
    manifest: Path, fakes: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ear = tmp_path / "new" / "ear"
    assert listening.main(["--manifest", str(manifest), "--out", str(ear), "--utterances", "4", "--systems", "codec2-700c"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and "codec2-700c left out: not installed" in printed.err
    assert rows(ear / "sheet.csv") == [{"clip": f"{number}.wav", "heard": ""} for number in range(1, 5)]
    key = rows(ear / "key.csv")
    assert Counter(row["system"] for row in key) == {"original": 2, "clari": 2}
    assert len({row["path"] for row in key}) == 4 and not {"said5.wav", "said6.wav"} & {row["path"] for row in key}
    for row in key:
        samples, rate_hz = soundfile.read(ear / row["clip"])
        said, _ = soundfile.read(tmp_path / row["path"])
        assert rate_hz == 16_000 and row["transcript"] == "WORD" + "S" * int(row["path"][4])
        np.testing.assert_allclose(samples, said / (1 if row["system"] == "original" else 10), atol=1e-4)
    again = tmp_path / "again"
    assert listening.main(["--manifest", str(manifest), "--out", str(again), "--utterances", "4"]) == 0
    assert (again / "key.csv").read_bytes() == (ear / "key.csv").read_bytes()
    assert listening.main(["--manifest", str(manifest), "--out", str(again), "--utterances", "4", "--seed", "2"]) == 6
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"clari-listen: {again / 'sheet.csv'} exists and may hold answers")


def written(folder: Path, sheet: str, encoding: str = "utf-8") -> Path:
    (folder / "key.csv").write_text(
        "clip,system,speaker,path,transcript\n1.wav,clari,a,x.wav,ONE TWO THREE FOUR\n2.wav,original,a,y.wav,HELLO THERE\n"
        "3.wav,clari,b,z.wav,GOOD NIGHT\n",
        encoding="utf-8",
    )
    (folder / "sheet.csv").write_text(sheet, encoding=encoding)
    return folder


SHEETS = {
    "as it was": 'clip,heard\n1.wav,"One, two, three"\n2.wav,hello there\n3.wav,-\n',
    "no quotes": "clip,heard\r\n1.wav,One, two, three\r\n\r\n3.wav,-\r\n2.wav,Hello there!\r\n",
    "semicolons": "clip;heard\n1.wav;one, two, three\n2.wav;hello there\n3.wav;-\n",
    "tabs, one more column": "number\tclip\theard\n1\t1.wav\tone two three\n2\t2.wav\thello there\n3\t3.wav\t-\n",
}


@pytest.mark.parametrize("name", SHEETS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_score_of_a_sheet_from_any_editor(name: str, encoding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listening.main(["--score", str(written(tmp_path, SHEETS[name], encoding))]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.out.splitlines() if line.startswith("| ")]
    assert [row[:3] + row[4:5] + row[6:] for row in table[1:]] == [
        ["original", "1", "1", "0.0", "100.0"],
        ["clari", "2", "2", "53.6", "0.0"],  # 5 of 18 and 10 of 10 letters
    ]
    assert table[1][3] == "0.0 [0.0, 0.0]" and table[2][3].startswith("50.0 [25.0, 100.0]")  # 3 of 6 words
    assert table[1][5] == "100.0 [100.0, 100.0]" and table[2][5].startswith("50.0 [")  # three of four words are enough
    assert "* 3.wav, clari, b: 2 errors in 2 words\n  * said: good night\n  * heard: (nothing)\n" in printed.out


def test_what_has_no_answer_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listening.main(["--score", str(written(tmp_path, "clip,heard\n2.wav,hello\n1.wav,\n"))]) == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "clari-listen: left out without an answer: 1.wav 3.wav; a hyphen says that nothing is understood"
    ]
    assert "1 sentences" in printed.out and "clari" not in printed.out


def test_three_quarters_of_the_words_are_enough() -> None:
    clip = Clip("1.wav", "clari", "a", "x.wav", "a b c d")
    assert "100.0 [100.0" in score([Answer(clip, "a b c")]) and "100.0 [100.0" not in score([Answer(clip, "a b")]).split("|")[-3]


def test_errors_are_one_line_with_a_code(manifest: Path, fakes: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(code: int, text: str, *options: str) -> None:
        assert listening.main([*options]) == code
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and text in lines[0] and lines[0].startswith("clari-listen: ")

    fails(2, "one of the arguments --manifest --score is required")
    fails(2, "add --out DIR", "--manifest", str(manifest))
    fails(2, "no number from 0.5 to 60", "--manifest", str(manifest), "--longest-s", "0")
    fails(2, "no held-out utterance", "--manifest", str(manifest), "--longest-s", "0.5", "--corpus", "x", "--out", "o")
    fails(6, "cannot be written", "--manifest", str(manifest), "--out", str(manifest))
    fails(6, "name the folder that clari-listen wrote", "--score", str(tmp_path))
    folder = tmp_path / "sheet"
    folder.mkdir()
    for text, sheet in {
        "no answer in column heard": "clip,heard\n1.wav,\n",
        "column heard missing": "clip,herd\n1.wav,hello\n",
        "column clip missing": "",
        "there is no clip '9.wav'": "clip,heard\n9.wav,hello\n",
        "1.wav stands twice": "clip,heard\n1.wav,hello\n1.wav,hello\n",
    }.items():
        fails(6, text, "--score", str(written(folder, sheet)))
    fails(6, "not UTF-8 text", "--score", str(written(folder, "clip,heard\n1.wav,grüß\n", "latin-1")))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(rest=st.binary(max_size=60))
def test_any_bytes_in_a_sheet_are_answers_or_one_error(rest: bytes, tmp_path: Path) -> None:
    written(tmp_path, "")
    (tmp_path / "sheet.csv").write_bytes(b"clip,heard\n1.wav," + rest)
    try:
        answers, unanswered = read_answers(tmp_path)
    except FileError:
        return
    assert {each.clip.clip for each in answers} | set(unanswered) == {"1.wav", "2.wav", "3.wav"}
