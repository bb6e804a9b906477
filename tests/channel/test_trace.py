"""Recorded links: the format to the letter, and replays that do what the recording says at the time it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel.simulator import ChannelConfig, Simulator
from channel.trace import Replay, Trace, TraceRow, parse_trace, read_trace, write_trace

ROWS = (
    TraceRow(100.0, False, 0, 0.02),
    TraceRow(101.0, True, 0, 0.0),
    TraceRow(102.0, True, 0, 0.0),
    TraceRow(103.0, False, 8, 0.5),
    TraceRow(104.0, False, 0, 0.0),
)
rows_strategy = st.lists(
    st.builds(
        TraceRow,
        st.integers(-(10**9), 10**9).map(lambda us: us / 1e6),
        st.booleans(),
        st.integers(0, 10**6),
        st.integers(0, 10**9).map(lambda us: us / 1e6),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda row: row.time_s,
)


def test_the_file_is_as_documented(tmp_path: Path) -> None:
    path = tmp_path / "sea.csv"
    write_trace(path, ROWS[:2], packet_bytes=32)
    assert path.read_text() == (
        "# clari-trace 1\n# packet_bytes 32\ntime_s,lost,bit_errors,extra_delay_s\n"
        "100.000000,0,0,0.020000\n101.000000,1,0,0.000000\n"
    )
    assert read_trace(path) == Trace(ROWS[:2], 32)


@given(rows_strategy, st.none() | st.integers(1, 10**6))
def test_what_is_written_is_read_again(rows: list[TraceRow], packet_bytes: int | None) -> None:
    trace = Trace(tuple(sorted(rows, key=lambda row: row.time_s)), packet_bytes)
    lines = ["# clari-trace 1"] + ([f"# packet_bytes {packet_bytes}"] if packet_bytes else [])
    lines += ["time_s,lost,bit_errors,extra_delay_s"]
    lines += [f"{row.time_s:.6f},{int(row.lost)},{row.bit_errors},{row.extra_delay_s:.6f}" for row in trace.rows]
    assert parse_trace(lines, "x") == trace


def test_a_file_made_elsewhere_may_lack_what_is_optional() -> None:
    lines = ["", "# anything", "time_s, lost, bit_errors, extra_delay_s", " 0 , 0 , 3 , 0.1 ", "", "1e0,1,0,0"]
    assert parse_trace(lines, "x") == Trace((TraceRow(0.0, False, 3, 0.1), TraceRow(1.0, True, 0, 0.0)))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "x: a trace without packets"),
        (["# clari-trace 2"], "x, line 1: '# clari-trace 2' is another version; convert the file to 'clari-trace 1'"),
        (["# packet_bytes 0", "time_s,lost,bit_errors,extra_delay_s", "0,0,0,0"], "packet_bytes is 0; give"),
        (["0,0,0,0"], "line 1: the first line that is no comment must be time_s,lost,bit_errors,extra_delay_s"),
        (["time_s,lost,bit_errors,extra_delay_s", "0,0,0"], "line 2: 3 values; give four"),
        (["time_s,lost,bit_errors,extra_delay_s", "0,yes,0,0"], "line 2: lost is 'yes'; give 0 or 1"),
        (["time_s,lost,bit_errors,extra_delay_s", "0,0,-1,0"], "line 2: bit_errors is -1; give 0 to"),
        (["time_s,lost,bit_errors,extra_delay_s", "0,0,0,-1"], "line 2: extra_delay_s is -1.0; give seconds, 0 or more"),
        (["time_s,lost,bit_errors,extra_delay_s", "nan,0,0,0"], "line 2: time_s is nan; give seconds"),
        (["time_s,lost,bit_errors,extra_delay_s", "x,0,0,0"], "line 2: time_s is 'x'; give a number"),
        (["time_s,lost,bit_errors,extra_delay_s", "0,0,1.5,0"], "line 2: bit_errors is '1.5'; give a whole number"),
        (["time_s,lost,bit_errors,extra_delay_s", "5,0,0,0", "5,0,0,0"], "time_s 5 follows 5; sort the packets"),
    ],
)
def test_what_is_no_trace_is_refused_with_line_and_cure(lines: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
        parse_trace(lines, "x")
    assert words in str(caught.value)


@settings(max_examples=300)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(["time_s,lost,bit_errors,extra_delay_s", "0,0,0,0"])
    )
)
def test_any_text_is_a_trace_or_a_complaint(lines: list[str]) -> None:
    try:
        trace = parse_trace(lines, "x")
    except ValueError as error:
        assert str(error).startswith("x")
    else:
        assert trace.rows


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is no text; give a CSV"):
        read_trace(tmp_path / "x.csv")


def test_what_a_spreadsheet_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbftime_s,lost,bit_errors,extra_delay_s\r\n0,0,1,0.5\r\n")
    assert read_trace(tmp_path / "x.csv") == Trace((TraceRow(0.0, False, 1, 0.5),))


def test_nothing_is_written_of_rows_out_of_order(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sort the packets"):
        write_trace(tmp_path / "x.csv", ROWS[::-1])
    assert not (tmp_path / "x.csv").exists()


def test_a_replay_gives_every_packet_its_row_and_begins_again() -> None:
    replay = Replay(Trace(ROWS), np.random.default_rng(0))
    assert [replay.row(7.25 + k) for k in range(12)] == [*ROWS, *ROWS, *ROWS[:2]]


def test_packets_between_the_rows_fare_like_the_nearest() -> None:
    replay = Replay(Trace(ROWS), np.random.default_rng(0))
    times = [50.0, 50.4, 50.6, 52.4, 52.6, 54.4, 54.6]
    assert [ROWS.index(replay.row(time_s)) for time_s in times] == [0, 0, 1, 2, 3, 4, 0]


@pytest.mark.parametrize("packet_s", [0.25, 1.0, 4.0])
def test_a_burst_lasts_as_long_for_packets_of_any_spacing(packet_s: float) -> None:
    rows = tuple(TraceRow(float(k), 40 <= k < 60, 0, 0.0) for k in range(100))
    replay = Replay(Trace(rows), np.random.default_rng(0))
    lost = np.array([replay.row(packet_s * k).lost for k in range(int(100 / packet_s))])
    assert abs(lost.sum() * packet_s - 20.0) <= packet_s
    assert np.count_nonzero(np.diff(lost.astype(int))) == 2


def test_bit_errors_are_those_of_the_row() -> None:
    replay = Replay(Trace((ROWS[3],), packet_bytes=32), np.random.default_rng(1))
    for size, expected in ((32, 8), (64, 16), (8, 2)):
        counts = {int.from_bytes(replay.damage(bytes(size), ROWS[3])).bit_count() for _ in range(50)}
        assert counts == {expected}
    parts = np.array([int.from_bytes(replay.damage(bytes(10), ROWS[3])).bit_count() for _ in range(2000)])
    assert set(parts) == {2, 3}  # 8 * 10 / 32 = 2.5
    assert abs(parts.mean() - 2.5) < 3 * 0.5 / 2000**0.5
    assert replay.damage(b"", ROWS[3]) == b""


def test_without_a_packet_size_errors_are_per_packet_and_at_most_all_bits() -> None:
    replay = Replay(Trace((ROWS[3],)), np.random.default_rng(2))
    assert int.from_bytes(replay.damage(bytes(64), ROWS[3])).bit_count() == 8
    assert replay.damage(b"\x00", TraceRow(0.0, False, 500, 0.0)) == b"\xff"


def test_a_simulator_replays_a_recording_over_a_link_of_its_own() -> None:
    simulator = Simulator(ChannelConfig(bit_rate_bps=800, delay_s=1.0), seed=1, trace=Trace(ROWS, packet_bytes=10))
    arrivals = [simulator.offer(float(k), bytes(10)) for k in range(5)]
    assert [round(one[0][0] - k, 6) if one else None for k, one in enumerate(arrivals)] == [1.12, None, None, 1.6, 1.1]
    assert [int.from_bytes(one[0][1]).bit_count() for one in arrivals if one] == [0, 8, 0]
    assert simulator.report().lost == 2
