"""clari-demo with its three real processes, and clari-bench."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from stream import bench, demo


def test_the_demo_runs_three_processes_and_reports(tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert demo.main(["--in", str(wav), "--out", str(out), "--loss", "0.2", "--ber", "1e-3", "--seed", "3", "--speed", "4"]) == 0
    printed = capsys.readouterr().out
    for row in (
        "on air",
        "packets sent",
        "packets lost",
        "packets repaired",
        "frames concealed",
        "mouth-to-ear",
        "real-time factor",
        "STOI",
    ):
        assert row in printed
    assert (out / "demo.png").read_bytes()[:4] == b"\x89PNG"
    assert soundfile.info(out / "received.wav").duration > 1
    figures = {name: json.loads((out / f"{name}.json").read_text()) for name in ("tx", "channel", "rx")}
    assert figures["channel"]["packets"]["offered"] == figures["tx"]["packets"] == 5


def test_the_demo_says_why_it_failed(tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--in", str(wav), "--out", str(tmp_path), "--preset", "carrier-pigeon"]) == 2
    error = capsys.readouterr().err
    assert "carrier-pigeon" in error and "Traceback" not in error
    assert demo.main(["--in", str(tmp_path / "missing.wav"), "--out", str(tmp_path)]) == 6
    capsys.readouterr()
    assert demo.main(["--in", str(wav), "--out", str(tmp_path), "--model", "none"]) == 4
    assert "no model 'none'" in capsys.readouterr().err


def test_a_demo_that_hears_nothing_ends_and_says_so(tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--in", str(wav), "--out", str(tmp_path), "--loss", "1", "--speed", "20"]) == 1
    assert "lost every packet" in capsys.readouterr().err


def test_bench_prints_every_figure(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert bench.main(["codec", "--frames", "20", "--json", str(tmp_path / "bench.json")]) == 0
    figures = json.loads((tmp_path / "bench.json").read_text())
    for part in ("encoder", "decoder"):
        assert set(figures[part]) == {"real_time_factor", "p50_ms", "p99_ms", "load_s", "resident_mb"}
        assert all(value > 0 for value in figures[part].values())
    assert "clari-tx is ready" in capsys.readouterr().out
