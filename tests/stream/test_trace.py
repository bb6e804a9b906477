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


@pytest.mark.parametrize(
    ("newest", "first", "outage_s"),
    [(700, 0, 1.0), (900, 0, 1.0), (300, 0, 0.5), (100, 0, 3.0), (40, 600, 2.0), (1023, 40, 400.0)],
    ids=["hundreds ahead", "near the wrap", "back", "back after a while", "forgotten", "after minutes"],
)
def test_a_restarted_sender_with_the_same_stream_number_is_no_loss(
    tmp_path: Path, newest: int, first: int, outage_s: float
) -> None:
    trace = Trace(str(tmp_path / "t.csv"), 1024)
    times_s = [10.0 + 0.32 * k for k in range(20)]
    for arrival_s, number in zip(times_s, range(newest - 19, newest + 1), strict=True):
        trace.add(arrival_s, parsed(number))
    for k in range(20):
        trace.add(times_s[-1] + outage_s + 0.32 * k, parsed(first + k))
    trace.close()
    assert rows(tmp_path / "t.csv") == [pytest.approx((0.32 * k, 0, 0, 0), abs=2e-3) for k in range(40)]


@pytest.mark.parametrize("block", [0, 32])
def test_an_outage_is_loss_and_a_talk_spurt_may_skip_to_its_block(tmp_path: Path, block: int) -> None:
    """What a restart is not: packets that are missing for a minute, delays of seconds, numbers ahead by a block."""
    trace = Trace(str(tmp_path / "t.csv"), 1024, block)
    for k in (0, 1, 180, 181):
        trace.add(k * 0.32, parsed(k, end=k == 181))
    if block:
        trace.add(184 * 0.32, parsed(184 + block - 1))
    trace.add(185 * 0.32 + 4.0, parsed(185 + max(block - 1, 0)))
    trace.close()
    found = rows(tmp_path / "t.csv")
    assert [row[1] for row in found] == [0, 0, *[1] * 178, 0, 0, *([0] if block else []), 0]
    assert found[-1][3] == pytest.approx(4.0)


def test_a_full_disk_ends_the_trace_and_is_said_once(tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    trace = Trace("/dev/full", 1024, notify=said.append)
    for k in range(3000):
        trace.add(k * 0.32, parsed(k))
    assert len(said) == 1 and "speech goes on: no space left" in said[0] and not trace._waiting
    trace.close()
    assert len(said) == 1
    air = tmp_path / "air"
    assert tx.main(["--in", str(wav), "--out", str(air), "-q"]) == 0
    assert rx.main(["--in", str(air), "--null", "-q", "--record-trace", "/dev/full"]) == 0
    assert capsys.readouterr().err.count("\n") == 1


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
