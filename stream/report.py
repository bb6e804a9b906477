"""Reporting while a link runs: a thread that looks at a sender or receiver and shows faces what it saw.

The loops of speech know nothing of it and never wait for it: the thread reads their counters, each of which is whole,
while together they may be a packet apart. A face that stalls, a terminal that was stopped or a pipe that nobody reads,
stalls this thread and no more.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Protocol, TextIO

from stream.errors import FileError
from stream.face import line_of
from stream.frame import Pcm
from stream.level import LevelMeter
from stream.link import PacketSink, ZmqLink
from stream.options import check_writable
from stream.receiver import PcmSink, Receiver
from stream.sender import Sender
from stream.snapshot import ReceiverSnapshot, SenderSnapshot, Snapshot

TICK_S = 0.25
JSON_INTERVAL_S = 1.0
LINE_INTERVAL_S = 10.0
VERBOSE_LINE_INTERVAL_S = 1.0
RECENT_S = 10.0  # that the newest bit rate is taken over
SHOWN_TEXTS = 20


class Face(Protocol):
    """Something that shows snapshots."""

    interval_s: float

    def show(self, snapshot: Snapshot) -> None: ...

    def close(self) -> None: ...


class SenderView:
    """Takes snapshots of a sender."""

    def __init__(self, sender: Sender, meter: LevelMeter, link: PacketSink, model: str, overruns: Callable[[], int] = lambda: 0):
        self._sender, self._meter, self._link, self._model, self._overruns = sender, meter, link, model, overruns
        self._recent: deque[tuple[float, int]] = deque()  # uptime and bytes on air

    def look(self, unix_s: float, uptime_s: float, final: bool) -> SenderSnapshot:
        sender, meter, stats = self._sender, self._meter, self._sender.stats
        self._recent.append((uptime_s, stats.on_air_bytes))
        while len(self._recent) > 2 and self._recent[1][0] <= uptime_s - RECENT_S:
            self._recent.popleft()
        since_s, bytes_then = self._recent[0]
        passed_s = uptime_s - since_s
        return SenderSnapshot(
            kind="sender",
            unix_s=unix_s,
            uptime_s=uptime_s,
            final=final,
            model=self._model,
            profile=sender.profile.name,
            protection=str(sender.framing.protection),
            station=sender.station,
            level_db=meter.level_db,
            peak_db=meter.peak_db,
            clipped_samples=meter.clipped_samples,
            clipping=meter.clipping,
            real_time_factor=stats.real_time_factor,
            talk_state=stats.talk_state,
            speaking=sender.speaking,
            speech_s=stats.speech_s,
            nominal_bps=sender.framing.on_air_bps(sender.profile),
            recent_bps=(stats.on_air_bytes - bytes_then) * 8 / passed_s if passed_s > 0 else 0.0,
            on_air_bps=stats.on_air_bps,
            on_air_bytes=stats.on_air_bytes,
            packets=stats.packets,
            repair_packets=stats.repair_packets,
            control_packets=stats.control_packets,
            silent_packets=stats.silent_packets,
            dropped_packets=stats.dropped_packets,
            queued_packets=self._link.queued_packets if isinstance(self._link, ZmqLink) else 0,
            overruns=self._overruns(),
        )


class ReceiverView:
    """Takes snapshots of a receiver."""

    def __init__(self, receiver: Receiver, meter: LevelMeter, model: str, codec_delay_s: float, sink: object = None):
        """`sink` may count `underruns` and `dropped_blocks`, as a speaker does."""
        self._receiver, self._meter, self._model, self._codec_delay_s, self._sink = receiver, meter, model, codec_delay_s, sink

    def look(self, unix_s: float, uptime_s: float, final: bool) -> ReceiverSnapshot:
        receiver, meter, stats = self._receiver, self._meter, self._receiver.stats
        history, profile, protection = receiver.history, receiver.history.profile, receiver.framing.protection
        before, after, count = history.loss()
        packet_s = profile.packet_s if profile else 0.0
        waiting_s = stats.playout_delay_s
        protection_s = min(waiting_s, protection.delay_s(packet_s))
        return ReceiverSnapshot(
            kind="receiver",
            unix_s=unix_s,
            uptime_s=uptime_s,
            final=final,
            model=self._model,
            profile=profile.name if profile else "",
            protection=str(protection),
            station=receiver.mailbox.station,
            level_db=meter.level_db,
            peak_db=meter.peak_db,
            clipped_samples=meter.clipped_samples,
            clipping=meter.clipping,
            real_time_factor=stats.real_time_factor,
            playing=receiver.playout.playing,
            received_packets=stats.received_packets,
            received_bytes=stats.received_bytes,
            repaired_packets=stats.repaired_packets,
            corrected_bytes=stats.corrected_bytes,
            restored_packets=stats.restored_packets,
            rejected_packets=stats.rejected_packets,
            forged_packets=stats.forged_packets,
            replayed_packets=stats.replayed_packets,
            late_packets=stats.late_packets,
            duplicate_packets=stats.duplicate_packets,
            other_packets=stats.other_packets,
            repair_packets=stats.repair_packets,
            control_packets=stats.control_packets,
            frames=stats.frames,
            concealed_frames=stats.concealed_frames,
            concealed_share=stats.concealed_share,
            loss_before_repair=before,
            loss_after_repair=after,
            loss_packets=count,
            bit_error_rate=history.bit_error_rate(),
            buffered_s=receiver.playout.buffered_s,
            packet_s=packet_s,
            codec_delay_s=self._codec_delay_s,
            protection_delay_s=protection_s,
            jitter_delay_s=waiting_s - protection_s,
            delay_s=packet_s + self._codec_delay_s + waiting_s if profile else 0.0,
            added_delay_s=stats.added_delay_s,
            underruns=getattr(self._sink, "underruns", 0),
            dropped_blocks=getattr(self._sink, "dropped_blocks", 0),
            strip=history.strip,
            marked_packets=history.marked,
            texts=tuple(receiver.mailbox.texts[-SHOWN_TEXTS:]),
        )


class JsonLines:
    """A face that writes one JSON object per line."""

    interval_s = JSON_INTERVAL_S

    def __init__(self, path: str):
        """Open the file; `-` is stdout.

        Raises:
            FileError: it cannot be written.
        """
        check_writable(path)
        try:
            self._file: TextIO = sys.stdout if path == "-" else open(path, "w", encoding="utf-8")  # noqa: SIM115 - as long as the link
        except OSError as error:
            raise FileError(f"cannot write {path}: {(error.strerror or 'error').lower()}; choose another file") from None

    def show(self, snapshot: Snapshot) -> None:
        self._file.write(json.dumps(snapshot.as_dict()) + "\n")
        self._file.flush()  # whoever follows the file sees whole lines

    def close(self) -> None:
        if self._file is not sys.stdout:
            self._file.close()


class Lines:
    """A face of plain lines on stderr: one now and then, if there is news; every second if asked for."""

    def __init__(self, verbose: bool):
        self.interval_s = VERBOSE_LINE_INTERVAL_S if verbose else LINE_INTERVAL_S
        self._verbose, self._last = verbose, -1

    def show(self, snapshot: Snapshot) -> None:
        news = snapshot.packets if isinstance(snapshot, SenderSnapshot) else getattr(snapshot, "received_packets", 0)
        if not snapshot.final and (self._verbose or news not in (0, self._last)):
            print(line_of(snapshot), file=sys.stderr, flush=True)
        self._last = news

    def close(self) -> None:
        pass


class Tap:
    """A sink whose samples others get as well. They must return at once."""

    def __init__(self, sink: PcmSink, ears: Sequence[Callable[[Pcm], None]]):
        self._sink, self._ears = sink, ears

    def write(self, pcm: Pcm) -> None:
        self._sink.write(pcm)
        for hear in self._ears:
            hear(pcm)


class Reporter:
    """Shows snapshots to faces, each in its own interval; a last one, marked as such, at the end."""

    def __init__(self, look: Callable[[float, float, bool], Snapshot], faces: Sequence[Face]):
        self._look, self._due = look, [(face, 0.0) for face in faces]
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._began_s = time.monotonic()

    def __enter__(self) -> Reporter:
        if self._due:
            self._thread = threading.Thread(target=self._run, name="report", daemon=True)  # no exit waits for a stalled face
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join(2.0)

    def tick(self, unix_s: float, uptime_s: float, final: bool = False) -> None:
        """Show a snapshot to every face whose time has come; a face that fails is left out from then on."""
        ready = [face for face, due_s in self._due if final or uptime_s >= due_s]
        if not ready:
            return
        snapshot = self._look(unix_s, uptime_s, final)
        due = []
        for face, due_s in self._due:
            if face in ready:
                try:
                    face.show(snapshot)
                except (OSError, ValueError) as error:
                    reason = getattr(error, "strerror", None) or "it was closed"
                    with contextlib.suppress(OSError, ValueError):
                        print(f"statistics end here, speech goes on: {reason.lower()}; check free space", file=sys.stderr)
                    continue
                due_s += face.interval_s  # on its grid, unless time was lost
                due_s = due_s if due_s > uptime_s else uptime_s + face.interval_s
            due.append((face, due_s))
        self._due = due

    def _run(self) -> None:
        while not self._ended.wait(TICK_S):
            self.tick(time.time(), time.monotonic() - self._began_s)
        self.tick(time.time(), time.monotonic() - self._began_s, final=True)
        for face, _ in self._due:
            with contextlib.suppress(OSError, ValueError):
                face.close()


def add_reporting(parser: argparse.ArgumentParser) -> None:
    """The options that say what is shown."""
    parser.add_argument("-q", "--quiet", action="store_true", help="no messages on stderr, and no panel")
    parser.add_argument("--plain", action="store_true", help="plain lines on a terminal too, no panel")
    parser.add_argument(
        "--stats-json", metavar="FILE", help="write one JSON object per second (stream/STATS.md says what is in it); - is stdout"
    )


def open_faces(args: argparse.Namespace, live: bool) -> list[Face]:
    """The faces that the options and the terminal ask for.

    live: whether anything is to be seen while it runs; a file is decoded before a terminal could show it.

    Raises:
        FileError: --stats-json cannot be written.
    """
    faces: list[Face] = [JsonLines(args.stats_json)] if args.stats_json else []
    if live and not args.quiet:
        terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        if terminal and not args.plain and find_spec("rich"):
            from stream.panel import Panels

            faces.append(Panels())
        else:
            faces.append(Lines(args.verbose))
    return faces
