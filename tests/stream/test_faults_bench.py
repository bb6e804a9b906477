"""`clari-bench faults`: its figures are those of what is heard."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from stream import bench
from stream.benches import faults
from stream.benches.faults import Fault, arrivals, outcome
from stream.profile import PROFILES

FAST = PROFILES["fast"]
DELAY_S, CEILING_S = 0.1, 3.0
LIVE_S = FAST.packet_s + faults.LINK_S + DELAY_S


def test_faults_come_back_to_live() -> None:
    late = outcome(Fault("late start", 11.0), FAST, DELAY_S, CEILING_S)
    assert math.isnan(late.before_s) and late.settled_s <= LIVE_S + FAST.packet_s and late.skipped_frames > 0
    held = outcome(Fault("stall", 2.0), FAST, DELAY_S, CEILING_S)
    assert held.before_s == pytest.approx(LIVE_S, abs=0.1) and held.after_s > 2.0 and held.skipped_frames == 0
    assert 0.0 < held.live_s < 30.0
    jumped = outcome(Fault("clock", -3600.0), FAST, DELAY_S, CEILING_S)
    assert jumped.settled_s == pytest.approx(jumped.before_s, abs=0.1)
    assert jumped.settled_s == pytest.approx(jumped.shown_s, abs=0.1)


def test_a_cut_loses_packets_and_a_stall_keeps_the_newest() -> None:
    assert len(arrivals(Fault("cut", 10.0), FAST, 200)) < 200
    held = [when_s for when_s, _ in arrivals(Fault("stall", 10.0), FAST, 200)]
    assert held.count(faults.AT_S + 10.0) == faults.SOCKET_QUEUE


def test_the_command_prints_and_writes_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "FAULTS", (Fault("late start", 2.0),))
    out = tmp_path / "rows.json"
    assert bench.main(["faults", "-p", "fast", "--json", str(out)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    (row,) = json.loads(out.read_text())["faults"]
    assert row["before_s"] is None and row["fault"] == "receiver starts 2 s after the sender"
