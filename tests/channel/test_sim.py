"""Campaigns: the same figures whatever the order, the processes and the interruptions; one line for what is impossible."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import soundfile

from channel import sim
from channel.job import Spent
from channel.report import Speed
from stream.engine import MODELS
from tests.conftest import speech_like

LINK_ONLY = ("--link-only", "--utterances", "2", "--stream-s", "30", "--preset", "hf-poor", "--protection", "none", "4+1")


def run(out: Path, *arguments: str) -> bytes:
    """Run a campaign; returns its table."""
    assert sim.main([*arguments, "--out", str(out)]) == 0
    return (out / "table.csv").read_bytes()


def table_of(out: Path) -> list[dict[str, str]]:
    """Rows of the table of a campaign."""
    with (out / "table.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    out = tmp_path_factory.mktemp("sim") / "whole"
    return out, run(out, *LINK_ONLY, "--workers", "2")


def test_one_process_finds_what_two_found(finished: tuple[Path, bytes], tmp_path: Path) -> None:
    assert run(tmp_path / "alone", *LINK_ONLY, "--workers", "1") == finished[1]


def test_a_crash_loses_one_result_at_most(finished: tuple[Path, bytes], tmp_path: Path) -> None:
    (ledger,) = finished[0].glob("*.jsonl")
    lines = ledger.read_bytes().splitlines(keepends=True)
    assert len(lines) >= 4
    again = tmp_path / "again"
    again.mkdir()
    (again / ledger.name).write_bytes(b"".join(lines[:2]) + lines[2][: len(lines[2]) // 2])
    assert run(again, *LINK_ONLY, "--workers", "1") == finished[1]
    resumed = (again / ledger.name).read_bytes().splitlines(keepends=True)
    assert resumed[:2] == lines[:2] and len(resumed) == len(lines)


def test_a_model_that_was_renamed_stands_under_its_new_name(tmp_path: Path) -> None:
    names = []
    for name in ("one", "two"):
        shutil.copytree(MODELS / "base", tmp_path / name)
        run(tmp_path / "out", *LINK_ONLY, "--workers", "1", "--model", str(tmp_path / name))
        names.append({row["encoder"] for row in table_of(tmp_path / "out")})
        shutil.rmtree(tmp_path / name)
    assert names == [{"one"}, {"two"}]


def test_repair_is_seen_in_the_table(finished: tuple[Path, bytes]) -> None:
    bare, repaired = (float(row["lost_after_percent"]) for row in table_of(finished[0]))
    assert 0 <= repaired < bare


def test_speed_is_told_for_each_protection() -> None:
    speed = Speed()
    for protection, cpu_s in (("none", 0.1), ("repair 8+2", 0.2), ("none", 0.3)):
        speed.add(protection, 100.0, Spent(cpu_s), decoded=False)
    assert str(speed) == "500 times real time per core for the link alone (none 500, repair 8+2 500)"


def test_every_stream_has_weather_of_its_own(finished: tuple[Path, bytes]) -> None:
    (row, _) = table_of(finished[0])
    assert float(row["damaged_percent_low"]) < float(row["damaged_percent_high"])


def test_a_foreign_ledger_is_refused(finished: tuple[Path, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (ledger,) = finished[0].glob("*.jsonl")
    (tmp_path / ledger.name).write_text("no ledger\n", encoding="utf-8")
    assert sim.main([*LINK_ONLY, "--out", str(tmp_path)]) == 6
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_speech_through_a_link_and_a_report(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "speech.wav", speech_like(4.0), 16_000)
    report = tmp_path / "RESULTS.md"
    run(
        tmp_path / "out", "--in", str(tmp_path / "speech.wav"), "--preset", "hf-poor", "--protection", "none", "--no-wer",
        "--workers", "1", "--report", str(report),
    )  # fmt: skip
    text = report.read_text(encoding="utf-8")
    assert "clari-sim --in" in text and "SHA-256" in text and "hf-poor" in text
    assert str(tmp_path) not in text
    assert float(table_of(tmp_path / "out")[-1]["stoi"]) > 0.1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--link-only", "--preset", "nowhere"], "nowhere"),
        (["--link-only", "--loss", "1.5"], "loss"),
        (["--link-only", "--protection", "2+9", "--preset", "hf-poor"], "2+9"),
        (["--in", "no-such.wav"], "no-such.wav"),
        (["--manifest", "no-such.tsv"], "no-such.tsv"),
        (["--link-only", "--utterances", "0"], "utterances"),
    ],
)
def test_what_is_impossible_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sim.main([*arguments, "--out", str(tmp_path / "out")]) in (2, 6)
    error = capsys.readouterr().err.strip()
    assert said in error and len(error.splitlines()) == 1
