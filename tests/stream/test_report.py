"""Snapshots, what is documented of them, and the thread that shows them to faces."""

from __future__ import annotations

import argparse
import io
import json
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from stream.face import line_of
from stream.front import Front
from stream.history import Fate
from stream.keying import Keying, Mode
from stream.level import LevelMeter
from stream.output import Tap
from stream.panel import SIGNS, Panels, panel_of
from stream.report import JSON_INTERVAL_S, JsonLines, Lines, Reporter, add_reporting, open_faces
from stream.sender import Sender
from stream.snapshot import Snapshot
from stream.view import SenderView
from tests.conftest import speech_like
from tests.stream.looks import FAST, NoCodec, look_at_receiver, look_at_sender, receiver_with
from tests.stream.test_chain import Memory

ROOT = Path(__file__).parents[2]
SENT = look_at_sender()
TYPES = {"integer": int, "number": (int, float), "text": str, "true/false": bool, "list of text": list}


def documented(kind: str) -> dict[str, str]:
    """Fields and types of one kind in STATS.md."""
    parts = re.split(r"^## ", (ROOT / "stream" / "STATS.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    tables = {part.splitlines()[0]: dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", part, re.MULTILINE)) for part in parts}
    return tables["Both ends"] | tables[kind.capitalize()]


@pytest.mark.parametrize("snapshot", [SENT, look_at_receiver()], ids=["sender", "receiver"])
def test_the_document_names_every_field_and_its_type(snapshot: Snapshot) -> None:
    fields = documented(snapshot.kind)
    written = json.loads(json.dumps(snapshot.as_dict()))
    assert list(fields) and set(written) == set(fields)
    for name, kind in fields.items():
        assert isinstance(written[name], TYPES[kind]), name
        assert kind == "true/false" or not isinstance(written[name], bool), name


def test_a_snapshot_says_what_happened() -> None:
    sent = look_at_sender()
    assert sent.station == "BASE" and sent.talk_state == "open" and sent.clipped_samples == 0
    assert sent.on_air_bytes == 16 * sent.packets and sent.recent_bps == pytest.approx(sent.on_air_bytes * 8 / 2)
    heard = look_at_receiver()
    assert heard.strip == "rrrcrxrrrr" and heard.corrected_bytes == 2
    assert (heard.lost_share, heard.loss_before_repair, heard.loss_after_repair) == (0.1, 0.2, 0.1)  # one repaired, one lost
    assert heard.delay_s == pytest.approx(heard.packet_s + heard.codec_delay_s + heard.protection_delay_s + heard.jitter_delay_s)
    assert heard.delay_s == pytest.approx(0.32 + 0.1 + 0.2)
    assert heard.concealed_share == pytest.approx(0.1)


def drawn(snapshot: Snapshot, width: int = 100) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(panel_of(snapshot))
    return console.export_text()


def test_the_panel_shows_what_matters() -> None:
    heard = drawn(replace(look_at_receiver(), station="BASE", texts=("on our [bold]way[/bold]",)))
    for words in (
        "BASE",
        "10.0% of packets lost, 10.0% after repair",
        "2 bytes corrected",
        "10.0% of 40 frames",
        "delay",
        "0.62 s",
    ):
        assert words in heard, heard
    assert "on our [bold]way[/bold]" in heard  # a stranger's text is no markup
    sent = drawn(replace(look_at_sender(), clipping=True, dropped_packets=3))
    for words in ("as BASE", "CLIP", "open", "bps now", "3 dropped because nobody takes them"):
        assert words in sent, sent
    assert all(len(line) <= 60 for line in drawn(look_at_receiver(), width=60).splitlines())


LONG = replace(
    look_at_receiver(), station="LONGNAME", strip="rcsxldfy." * 21, delay_s=16.83, protection_delay_s=15.5, jitter_delay_s=1.59,
    lost_share=1.0, loss_after_repair=1.0, corrected_bytes=1_234_567, received_packets=12_345_678, underruns=123,
)  # fmt: skip
BUSY = replace(SENT, clipping=True, dropped_packets=1234, overruns=12, repair_packets=99_999, silent_packets=99_999)


@pytest.mark.parametrize("snapshot", [SENT, look_at_receiver(), LONG, BUSY], ids=["sender", "receiver", "long", "busy"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 10), (88, 24), (60, 24), (132, 50), (40, 6)])
def test_the_panel_keeps_its_lines_and_fits(snapshot: Snapshot, width: int, height: int) -> None:
    """Neither wider than the terminal nor higher, and as high whatever the figures are."""
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(panel_of(snapshot, height - 1))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width and len(lines) <= height - 1
    other = Console(width=width, record=True, file=io.StringIO())
    other.print(panel_of(replace(snapshot, level_db=-3.0, uptime_s=86_400.0), height - 1))
    assert len(other.export_text().splitlines()) == len(lines)
    if width >= 80 and snapshot is LONG:
        shown = "".join(lines)
        assert "16.83 s + link" in shown and "jitter 1.59" in shown and "100.0% after repair" in shown


def test_a_panel_is_not_drawn_while_the_process_is_stopped_and_gives_the_cursor_back() -> None:
    file = io.StringIO()
    panels = Panels(Console(file=file, force_terminal=True, width=80, height=24))
    panels.show(SENT)
    assert "\x1b[?25l" in file.getvalue() and panels.interval_s < 1
    panels.pause()
    assert "\x1b[?25h" in file.getvalue()
    written = len(file.getvalue())
    panels.show(SENT)
    assert len(file.getvalue()) == written
    panels.resume()
    panels.show(SENT)
    assert "on air" in file.getvalue()[written:]
    panels.close()


def test_every_fate_has_a_sign_of_its_own() -> None:
    assert set(SIGNS) == set(Fate)
    assert len({sign for sign, _ in SIGNS.values()}) == len(Fate)


def test_a_plain_line_says_the_same_without_colour() -> None:
    line = line_of(look_at_receiver())
    assert line.startswith("clari-rx: ") and "\n" not in line and "\x1b" not in line
    assert "10.0% of packets lost, 10.0% after repair" in line and "delay 0.62 s" in line
    assert "CLIPPING" in line_of(replace(look_at_sender(), clipping=True))
    assert "CLIPPING" not in line_of(look_at_sender())


def test_the_key_is_shown_as_the_sender_has_it() -> None:
    keying = Keying(Mode.PTT, max_talk_s=0.3)
    sender, meter = Sender(NoCodec(), FAST, 2, front=Front(keying=keying)), LevelMeter()  # type: ignore[arg-type]
    view, states = SenderView(sender, meter, Memory(), "none"), []

    def look_after(frames: int) -> None:
        for pcm in [speech_like(0.08)] * frames:
            sender.push(pcm)
        states.append(line_of(view.look(0.0, 0.0, False)).split(",")[0])

    look_after(1)
    keying.toggle()
    look_after(1)
    look_after(6)
    keying.toggle()
    look_after(1)
    assert states == [f"clari-tx: {state}" for state in ("ptt off", "ptt on", "timed out", "ptt off")]
    assert Keying(Mode.VOX).state == "vox" and Keying(Mode.OPEN).state == "open"


class Seen:
    """A face that remembers."""

    def __init__(self, interval_s: float = 1.0, fails: bool = False):
        self.interval_s, self.fails = interval_s, fails
        self.shown: list[Snapshot] = []
        self.closed = False

    def show(self, snapshot: Snapshot) -> None:
        self.shown.append(snapshot)
        if self.fails:
            raise OSError(28, "No space left on device")

    def close(self) -> None:
        self.closed = True


def look(unix_s: float, uptime_s: float, final: bool) -> Snapshot:
    return replace(SENT, unix_s=unix_s, uptime_s=uptime_s, final=final)


def test_every_face_has_its_own_interval() -> None:
    often, seldom = Seen(0.25), Seen(1.0)
    reporter = Reporter(look, [often, seldom])
    for step in range(12):
        reporter.tick(0.0, 0.25 * step)
    assert [each.uptime_s for each in often.shown] == [0.25 * step for step in range(12)]
    assert [each.uptime_s for each in seldom.shown] == [0.0, 1.0, 2.0]
    reporter.tick(0.0, 2.8, final=True)
    assert seldom.shown[-1].final and seldom.shown[-1].uptime_s == 2.8


def test_time_that_was_lost_is_not_caught_up_with() -> None:
    face = Seen(1.0)
    reporter = Reporter(look, [face])
    for uptime_s in (0.0, 100.0, 100.25, 100.5, 101.0):
        reporter.tick(0.0, uptime_s)
    assert [each.uptime_s for each in face.shown] == [0.0, 100.0, 101.0]


def test_a_face_that_fails_is_left_out_and_the_others_stay(capsys: pytest.CaptureFixture[str]) -> None:
    bad, good = Seen(fails=True), Seen()
    reporter = Reporter(look, [bad, good])
    for uptime_s in (0.0, 1.0, 2.0):
        reporter.tick(0.0, uptime_s)
    assert len(bad.shown) == 1 and len(good.shown) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "no space left" in lines[0] and "speech goes on" in lines[0]


def test_the_thread_ends_with_a_last_look(tmp_path: Path) -> None:
    seen = Seen()
    with Reporter(look, [seen, JsonLines(str(tmp_path / "s.jsonl"))]):
        pass
    assert seen.closed and seen.shown[-1].final
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [line["final"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert JsonLines.interval_s == JSON_INTERVAL_S == 1.0


def test_a_face_that_stalls_does_not_hold_up_the_end() -> None:
    stall = threading.Event()

    class Stalled(Seen):
        def show(self, snapshot: Snapshot) -> None:
            stall.wait()

    reporter = Reporter(look, [Stalled()])
    with reporter:
        pass  # returns although the face never does
    assert reporter._thread is not None and reporter._thread.is_alive() and reporter._thread.daemon
    stall.set()


def test_lines_come_when_there_is_news(capsys: pytest.CaptureFixture[str]) -> None:
    face, snapshot = Lines(verbose=False), look_at_sender()
    for each in (replace(snapshot, packets=0), snapshot, snapshot, replace(snapshot, packets=9), replace(snapshot, final=True)):
        face.show(each)
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert Lines(verbose=True).interval_s < face.interval_s


def test_only_a_terminal_gets_a_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    add_reporting(parser)
    parser.add_argument("--verbose", action="store_true")

    def faces(*argv: str, live: bool = True) -> list[str]:
        return [type(face).__name__ for face in open_faces(parser.parse_args(argv), live)]

    assert faces() == ["Lines"]
    assert faces("-q") == [] and faces(live=False) == []
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert faces() == ["Panels"]
    assert faces("--plain") == ["Lines"] and faces("-q") == []
    monkeypatch.setenv("TERM", "dumb")
    assert faces() == ["Lines"]


def test_a_tap_passes_every_sample_on_first() -> None:
    sink, order = Memory(), []
    tap = Tap(sink, [lambda pcm: order.append(len(sink.pcm))])
    tap.write(speech_like(0.08))
    assert order == [1] and len(sink.pcm) == 1


def test_looking_at_a_receiver_that_heard_nothing() -> None:
    snapshot = look_at_receiver(receiver_with())
    assert (snapshot.profile, snapshot.strip, snapshot.delay_s, snapshot.loss_packets) == ("", "", 0.0, 0)
    assert "waiting for packets" in drawn(snapshot)
