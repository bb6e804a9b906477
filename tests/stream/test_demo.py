"""clari-demo with its three real processes, and clari-bench."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream import bench, demo
from stream.benches import energy, others
from stream.errors import ClariError


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
    assert "left no packet whole" in capsys.readouterr().err


def test_bench_prints_every_figure(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert bench.main(["codec", "--frames", "20", "--skip", "energy", "--json", str(tmp_path / "bench.json")]) == 0
    figures = json.loads((tmp_path / "bench.json").read_text())
    said = capsys.readouterr()
    ours = figures["systems"]["clari"]
    assert list(ours) == ["encoder fast", "encoder standard", "encoder narrow", "decoder"]
    for part, measured in ours.items():
        assert set(measured) == {"real_time_factor", "p50_ms", "p99_ms", "load_s", "resident_mb", "peak_mb", "file_mb"}
        assert all(value > 0 for value in measured.values())
        assert part in said.out
    for part in ("encoder", "decoder"):
        for name in others.NAMES:
            if others.lacks(name):
                assert f"{name} left out: {others.lacks(name)}" in said.err
            else:
                assert all(value > 0 for value in figures["systems"][name][part].values())
                assert name in said.out
    assert "clari-tx is ready" in said.out and "clari-rx is ready" in said.out
    assert figures["energy"] == {}


def test_bench_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None)
    assert others.lacks("codec2-700c") == "no c2enc; install: apt-get install codec2"
    assert others.lacks("opus-6k") == "no ffmpeg; install: apt-get install ffmpeg"
    assert "apt-get install pulseaudio" in energy.lacks("sound cards")


def test_what_is_said_while_energy_is_measured() -> None:
    sound = energy.conversation(10.0)
    talk_s = 10 + 2 * energy.SETTLE_S
    talk, room = np.split(sound, [round(talk_s * 16_000)])
    assert np.sqrt(np.mean(talk**2)) > 0.03 and 0 < np.abs(room).max() < 0.005
    assert len(room) >= (10 + energy.QUIET_S) * 16_000


FINE = (
    {"dropped_packets": 0},
    {"packets": {"delivered": 5}, "refused": 0},
    {"received_packets": 5, "first_frame": 0, "late_packets": 0},
)


@pytest.mark.parametrize(
    ("where", "change", "says"),
    [
        (0, {"dropped_packets": 1}, "too busy"),
        (1, {"refused": 1}, "too busy"),
        (2, {"received_packets": 4}, "too busy"),
        (2, {"first_frame": -1, "late_packets": 5}, "too busy"),
        (2, {"first_frame": -1}, "left no packet whole"),
    ],
)
def test_what_a_busy_machine_lost_is_not_laid_to_the_link(where: int, change: dict[str, int], says: str) -> None:
    demo.check_pace(*FINE)
    stats = [*FINE]
    stats[where] = {**stats[where], **change}
    with pytest.raises(ClariError, match=says):
        demo.check_pace(*stats)


def test_a_process_that_never_listens_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "START_S", 0.1)
    with pytest.raises(ClariError, match="too busy"):
        demo.wait_until_bound(demo.free_ports(1)[0], {}, {})
