"""What a receiver writes about the link."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from stream import rx, tx
from stream.content import Voice
from stream.errors import FileError
from stream.packet import Parsed
from stream.profile import PROFILES
from stream.trace import Trace

FAST = PROFILES["fast"]


def parsed(sequence: int, bits: int = 0, end: bool = False, stream: int = 1) -> Parsed:
    return Parsed(Voice(stream, sequence % 1024, np.zeros((4, 8), np.uint8), end), FAST, bits > 0, bits)


def rows(path: Path) -> list[tuple[float, int, int, float]]:
    with path.open(encoding="ascii") as file:
        lines = list(csv.DictReader(file))
    return [(float(r["time_s"]), int(r["lost"]), int(r["bit_errors"]), float(r["extra_delay_s"])) for r in lines]


def test_losses_errors_and_delays_have_a_line_each(tmp_path: Path) -> None:
    trace = Trace(str(tmp_path / "t.csv"), 1024)
    for arrival_s, packet in (
        (10.0, parsed(1022)),
        (10.37, parsed(1023, 3)),
        (11.0, parsed(1025)),
        (11.1, parsed(1024)),
        (12.0, parsed(1027)),
    ):
        trace.add(arrival_s, packet)
    trace.close()
    expected = [(0, 0, 0, 0), (0.32, 0, 3, 0.05), (0.64, 0, 0, 0.46), (0.96, 0, 0, 0.04), (1.28, 1, 0, 0), (1.6, 0, 0, 0.4)]
    assert rows(tmp_path / "t.csv") == [pytest.approx(row) for row in expected]


def test_silence_is_no_loss_and_another_stream_begins_anew(tmp_path: Path) -> None:
    trace = Trace(str(tmp_path / "t.csv"), 1024)
    for k in (0, 1, 20, 21):
        trace.add(k * 0.32, parsed(k, end=k == 1))
    trace.add(9.0, parsed(700, stream=2))
    trace.close()
    assert [row[0] for row in rows(tmp_path / "t.csv")] == pytest.approx([0, 0.32, 6.4, 6.72, 7.04])
    assert not any(row[1] for row in rows(tmp_path / "t.csv"))


def test_memory_stays_small_over_a_day(tmp_path: Path) -> None:
    trace = Trace(str(tmp_path / "t.csv"), 1024)
    for k in range(20_000):
        if k % 10:
            trace.add(k * 0.32, parsed(k))
        assert len(trace._waiting) <= 64
    trace.close()
    lost = [row[1] for row in rows(tmp_path / "t.csv")]
    assert len(lost) == 19_999 and sum(lost) == 1999


def test_a_trace_through_the_commands(tmp_path: Path, wav: Path) -> None:
    air, path = tmp_path / "air", tmp_path / "trace.csv"
    assert tx.main(["--in", str(wav), "--out", str(air), "-q"]) == 0
    packets = bytearray(air.read_bytes())
    packets[30] ^= 0x81
    air.write_bytes(packets[:52] + packets[78:])
    assert rx.main(["--in", str(air), "--null", "-q", "--record-trace", str(path)]) == 0
    assert [(row[1], row[2]) for row in rows(path)] == [(0, 0), (0, 2), (1, 0), (0, 0), (0, 0)]
    with pytest.raises(FileError, match="cannot write"):
        Trace(str(tmp_path / "no" / "t.csv"), 0)
