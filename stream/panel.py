"""A snapshot as a panel on a terminal, drawn by rich. `panel_of` is pure; `Panels` keeps one panel on stderr up to date.

Every row but a text is one line, in 80 columns whole and elsewhere cut: nothing jumps. A low terminal gets the rows that matter.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream.face import bits, counted, delays, quality, talking
from stream.history import Fate
from stream.job import in_foreground
from stream.microphone import OVERRUN_CURE
from stream.snapshot import ReceiverSnapshot, SenderSnapshot, Snapshot
from stream.speaker import UNDERRUN_CURE

METER_FLOOR_DB = -60.0
METER_WIDTH = 40
HOT_DB, WARM_DB = -3.0, -12.0
SHOWN_TEXTS = 4
STRIP_WIDTH = 64
BORDER_LINES = 2
# Of a terminal that is too low the first of these go first.
EXPENDABLE = ("received", "bits", "concealed", "device", "queue", "playout", "packets", "talk", "on air", "text")
FULL_LINES = 20  # of a terminal: a lower one gets no more rows than it has lines, each text cut to one
STDERR = 2
# A sign for every fate, so that colour is not needed to tell them apart.
SIGNS = {
    Fate.EXPECTED: ("·", "dim"),
    Fate.RECEIVED: ("▁", "green"),
    Fate.REPAIRED: ("▄", "yellow"),
    Fate.RESTORED: ("▆", "cyan"),
    Fate.CONCEALED: ("x", "bold red"),
    Fate.LATE: ("l", "magenta"),
    Fate.DAMAGED: ("d", "red"),
    Fate.FORGED: ("F", "bold red reverse"),
    Fate.REPLAYED: ("R", "red reverse"),
}


def meter(snapshot: Snapshot) -> Text:
    """Level as a bar, peak as a line in it, clipping as a word."""

    def place(level_db: float) -> int:
        return round(METER_WIDTH * min(1.0, max(0.0, 1 - level_db / METER_FLOOR_DB)))

    level, peak = place(snapshot.level_db), place(snapshot.peak_db)
    bar = Text()
    for step in range(METER_WIDTH):
        step_db = METER_FLOOR_DB * (1 - (step + 1) / METER_WIDTH)
        style = "red" if step_db > HOT_DB else "yellow" if step_db > WARM_DB else "green"
        if step < level:
            bar.append("█", style)
        else:
            bar.append("│" if step == peak - 1 else "░", style if step == peak - 1 else "dim")
    bar.append(f" {snapshot.level_db:6.1f} dB", "bold")
    if snapshot.clipping:
        bar.append("  CLIP", "bold white on red")
    return bar


def strip(letters: str) -> Text:
    """The newest packets, a coloured sign each."""
    signs = Text()
    for letter in letters[-STRIP_WIDTH:]:
        sign, style = SIGNS[Fate(letter)]
        signs.append(sign, style)
    return signs


def sender_rows(snapshot: SenderSnapshot) -> list[tuple[str, RenderableType]]:
    kinds = counted(snapshot.repair_packets, "repair") + counted(snapshot.control_packets, "control")
    queue = Text(f"{snapshot.queued_packets} waiting")
    if snapshot.dropped_packets:
        queue.append(f", {snapshot.dropped_packets} dropped because nobody takes them", "bold red")
    rate = f"{snapshot.recent_bps:.0f} bps now, {snapshot.on_air_bps:.0f} on average, {snapshot.nominal_bps:.0f} nominal"
    rows: list[tuple[str, RenderableType]] = [
        ("level", meter(snapshot)),
        ("talk", Text(talking(snapshot), "bold green" if snapshot.speaking else "dim")),
        ("on air", Text(rate)),
        ("packets", Text(f"{snapshot.packets} sent{kinds}" + counted(snapshot.silent_packets, "saved in silence"))),
        ("queue", queue),
    ]
    if snapshot.overruns:
        rows.append(("device", Text(f"{snapshot.overruns} overruns: {OVERRUN_CURE}", "red")))
    return rows


def receiver_rows(snapshot: ReceiverSnapshot) -> list[tuple[str, RenderableType]]:
    refused = counted(snapshot.rejected_packets, "damaged") + counted(snapshot.late_packets, "late")
    refused += counted(snapshot.forged_packets, "forged") + counted(snapshot.replayed_packets, "replayed")
    share_style = "green" if snapshot.concealed_share < 0.02 else "yellow" if snapshot.concealed_share < 0.1 else "red"
    delay = " ".join(f"{name} {seconds:.2f}" for name, seconds in delays(snapshot))
    rows: list[tuple[str, RenderableType]] = [
        ("level", meter(snapshot)),
        ("link", Text(quality(snapshot))),
        ("bits", Text(bits(snapshot))),
        ("packets", strip(snapshot.strip) if snapshot.strip else Text("none yet", "dim")),
        ("received", Text(f"{snapshot.received_packets}" + counted(snapshot.restored_packets, "restored") + refused, "dim")),
        ("playout", Text(f"{snapshot.buffered_s:.2f} s buffered" + ("" if snapshot.playing else ", silent"))),
        ("concealed", Text(f"{snapshot.concealed_share:.1%} of {snapshot.frames} frames", share_style)),
        ("delay", Text(f"{snapshot.delay_s:.2f} s + link: {delay}" if snapshot.delay_s else "not known yet")),
    ]
    if snapshot.underruns or snapshot.dropped_blocks:
        trouble = f"{snapshot.underruns} underruns: {UNDERRUN_CURE}" + counted(snapshot.dropped_blocks, "blocks dropped")
        rows.append(("device", Text(trouble, "red")))
    rows += [("text", Text(text)) for text in snapshot.texts[-SHOWN_TEXTS:]]
    return rows


def fitted(rows: Sequence[tuple[str, RenderableType]], lines: int) -> list[tuple[str, RenderableType]]:
    """As many rows as there are lines for; what matters least goes first."""
    kept = list(rows)
    for name in EXPENDABLE:
        while len(kept) > lines and any(each == name for each, _ in kept):
            kept.pop(max(place for place, (each, _) in enumerate(kept) if each == name))
    return kept[: max(1, lines)]


def panel_of(snapshot: Snapshot, lines: int | None = None) -> Panel:
    """The whole face, in no more than so many lines if each text fits into one."""
    assert isinstance(snapshot, SenderSnapshot | ReceiverSnapshot)
    sender = isinstance(snapshot, SenderSnapshot)
    rows = sender_rows(snapshot) if isinstance(snapshot, SenderSnapshot) else receiver_rows(snapshot)
    if lines is not None:
        rows = fitted(rows, lines - BORDER_LINES)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    former = ""
    for name, shown in rows:
        if isinstance(shown, Text) and (name != "text" or lines is not None):
            shown.no_wrap, shown.overflow = True, "ellipsis"
        grid.add_row("" if name == former else name, shown)
        former = name
    hours, seconds = divmod(int(snapshot.uptime_s), 3600)
    title = Text.assemble(("clari-tx" if sender else "clari-rx", "bold"))
    if snapshot.station:
        title.append(f" {'as' if sender else 'hears'} {snapshot.station}")
    title.append(f" · {snapshot.profile or 'waiting for packets'} · protection {snapshot.protection} ")
    footer = Text(f" {hours}:{seconds // 60:02}:{seconds % 60:02} · Ctrl-C ends ", "dim")
    return Panel(Group(grid), title=title, title_align="left", subtitle=footer, subtitle_align="right", expand=False)


class Panels:
    """A face that redraws one panel on stderr; lines that are printed meanwhile scroll above it.

    While the process is stopped or in the background the terminal is another's: nothing is drawn.
    """

    interval_s = 0.25

    def __init__(self, console: Console | None = None):
        self._terminal = STDERR if console is None else None
        self._console = console or Console(stderr=True)
        self._live: Live | None = None
        self._lock = threading.RLock()  # signals come while the thread of the faces draws
        self._paused = False

    def show(self, snapshot: Snapshot) -> None:
        with self._lock:
            if snapshot.final or self._paused or (self._terminal is not None and not in_foreground(self._terminal)):
                return
            if self._live is None:  # stdout is data and stays as it is
                self._live = Live(
                    console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=True
                )
                self._live.start()
            height = self._console.height
            panel = panel_of(snapshot, height - 1 if height <= FULL_LINES else None)
            self._live.update(Group(panel, Text()), refresh=True)  # an empty line: there a terminal echoes ^C

    def pause(self) -> None:
        """Give the terminal back, with its cursor."""
        self._paused = True
        self.close()

    def resume(self) -> None:
        self._paused = False

    def close(self) -> None:
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None
