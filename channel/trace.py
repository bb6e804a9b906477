"""Recorded links: a CSV of what became of each packet, and its replay. PRESETS.md has the format to the letter.

write_trace("sea.csv", [TraceRow(0.0, False, 0, 0.02), TraceRow(0.96, True, 0, 0.0)], packet_bytes=32)
simulator = Simulator(ChannelConfig(delay_s=1.0), seed=1, trace=read_trace("sea.csv"))
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

MAGIC = "# clari-trace 1"
PACKET_BYTES = "# packet_bytes "
HEADER = "time_s,lost,bit_errors,extra_delay_s"
LARGEST_S = 1e9  # of a time or a delay
LARGEST_ERRORS = 10**6  # of one packet

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class TraceRow:
    """What became of one packet."""

    time_s: float  # when its first bit left, from any moment on
    lost: bool
    bit_errors: int  # wrong bits in a packet that arrived; 0 in a lost one
    extra_delay_s: float  # over the shortest delay of the recording; 0 for a lost one


@dataclass(frozen=True)
class Trace:
    """Rows in ascending order of their times."""

    rows: tuple[TraceRow, ...]
    packet_bytes: int | None = None  # size of the recorded packets; None: not told, errors are then per packet of any size

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("a trace without packets; record at least one")
        if self.packet_bytes is not None and not 1 <= self.packet_bytes <= 10**6:
            raise ValueError(f"packet_bytes is {self.packet_bytes}; give the size of the recorded packets, 1 or more")
        for former, row in zip((None, *self.rows), self.rows, strict=False):
            _check(row)
            if former is not None and row.time_s <= former.time_s:
                raise ValueError(f"time_s {row.time_s:g} follows {former.time_s:g}; sort the packets by the time they were sent")

    @property
    def period_s(self) -> float:
        """After this time a replay begins again: the span of the rows and, for the last one, the gap before it."""
        times = [row.time_s for row in self.rows]
        return times[-1] - times[0] + (times[-1] - times[-2] if len(times) > 1 else 1.0)


class Replay:
    """A trace as a link: a packet fares like the recorded one that was sent nearest to its own time.

    The replay begins with the first packet and repeats itself. States belong to times, not to packets, so that packets of
    another length or spacing meet the recorded bursts at the recorded seconds; errors scale with the size.
    """

    def __init__(self, trace: Trace, rng: np.random.Generator) -> None:
        self._trace = trace
        self._times = [row.time_s - trace.rows[0].time_s for row in trace.rows]
        self._period_s = trace.period_s
        self._rng = rng
        self._origin_s: float | None = None

    def row(self, start_s: float) -> TraceRow:
        """What becomes of a packet whose first bit leaves at `start_s`."""
        if self._origin_s is None:
            self._origin_s = start_s
        at_s = math.fmod(start_s - self._origin_s, self._period_s)
        after = bisect_left(self._times, at_s)
        rows = self._trace.rows
        if after == len(rows):  # nearer to the end of the period than to the last row: the first one again
            return rows[-1] if at_s - self._times[-1] <= self._period_s - at_s else rows[0]
        if after and at_s - self._times[after - 1] <= self._times[after] - at_s:
            return rows[after - 1]
        return rows[after]

    def damage(self, packet: bytes, row: TraceRow) -> bytes:
        """The packet with the wrong bits of that row, at places of its own."""
        bits = 8 * len(packet)
        wanted = float(row.bit_errors)
        if self._trace.packet_bytes:
            wanted *= len(packet) / self._trace.packet_bytes
        errors = min(bits, math.floor(wanted + self._rng.random()))  # a part of an error is one of that probability
        if not errors:
            return packet
        flips = np.zeros(bits, bool)
        flips[self._rng.choice(bits, errors, replace=False)] = True
        return (np.frombuffer(packet, np.uint8) ^ np.packbits(flips)).tobytes()


def write_trace(path: str | Path, rows: Iterable[TraceRow], packet_bytes: int | None = None) -> None:
    """Write a trace. `packet_bytes` is the size of all recorded packets, None if they differed.

    Raises:
        ValueError: no rows, rows out of order or values out of range; nothing is written.
        OSError: the file cannot be written.
    """
    trace = Trace(tuple(rows), packet_bytes)
    lines = [MAGIC, *([] if packet_bytes is None else [f"{PACKET_BYTES}{packet_bytes}"]), HEADER]
    lines += [f"{row.time_s:.6f},{int(row.lost)},{row.bit_errors},{row.extra_delay_s:.6f}" for row in trace.rows]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_trace(path: str | Path) -> Trace:
    """The trace in a file.

    Raises:
        ValueError: it is no trace; the message names the line and what belongs there.
        OSError: the file cannot be read.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()  # a spreadsheet may put a byte order mark first
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text; give a CSV with the columns {HEADER}") from None
    return parse_trace(lines, str(path))


def parse_trace(lines: Sequence[str], name: str) -> Trace:
    """The trace in lines of text; `name` is what a complaint calls them. Raises ValueError as `read_trace` does."""
    packet_bytes: int | None = None
    header_seen = False
    rows: list[TraceRow] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        try:
            if text.startswith("# clari-trace") and text != MAGIC:
                raise ValueError(f"{text!r} is another version; convert the file to {MAGIC[2:]!r}")
            if text.startswith(PACKET_BYTES):
                packet_bytes = _number(int, "packet_bytes", text.removeprefix(PACKET_BYTES), "a whole number")
            elif not text or text.startswith("#"):
                continue
            elif not header_seen:
                if text.replace(" ", "") != HEADER:
                    raise ValueError(f"the first line that is no comment must be {HEADER}")
                header_seen = True
            else:
                rows.append(_parse_row(text))
        except ValueError as error:
            raise ValueError(f"{name}, line {number}: {error}") from None
    try:
        return Trace(tuple(rows), packet_bytes)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _parse_row(text: str) -> TraceRow:
    cells = [cell.strip() for cell in text.split(",")]
    if len(cells) != 4:
        raise ValueError(f"{len(cells)} values; give four, {HEADER}")
    if cells[1] not in ("0", "1"):
        raise ValueError(f"lost is {cells[1]!r}; give 0 or 1")
    row = TraceRow(
        _number(float, "time_s", cells[0], "a number"),
        cells[1] == "1",
        _number(int, "bit_errors", cells[2], "a whole number"),
        _number(float, "extra_delay_s", cells[3], "a number"),
    )
    _check(row)
    return row


def _number(kind: Callable[[str], Number], name: str, cell: str, wanted: str) -> Number:
    try:
        return kind(cell)
    except ValueError:
        raise ValueError(f"{name} is {cell!r}; give {wanted}") from None


def _check(row: TraceRow) -> None:
    if not abs(row.time_s) <= LARGEST_S:
        raise ValueError(f"time_s is {row.time_s}; give seconds within {LARGEST_S:g}")
    if not 0 <= row.bit_errors <= LARGEST_ERRORS:
        raise ValueError(f"bit_errors is {row.bit_errors}; give 0 to {LARGEST_ERRORS}")
    if not 0.0 <= row.extra_delay_s <= LARGEST_S:
        raise ValueError(f"extra_delay_s is {row.extra_delay_s}; give seconds, 0 or more")
