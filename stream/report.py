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
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, TextIO

from stream.errors import ClariError, FileError
from stream.face import line_of
from stream.options import check_writable, open_stdout
from stream.snapshot import SenderSnapshot, Snapshot

if TYPE_CHECKING:
    from stream.web import Monitor

TICK_S = 0.25
JSON_INTERVAL_S = 1.0
LINE_INTERVAL_S = 10.0
VERBOSE_LINE_INTERVAL_S = 1.0


class Face(Protocol):
    """Something that shows snapshots."""

    interval_s: float

    def show(self, snapshot: Snapshot) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """A face that writes one JSON object per line."""

    interval_s = JSON_INTERVAL_S

    def __init__(self, path: str):
        """Open the file; `-` is stdout.

        Raises:
            FileError: it cannot be written, or stdout is closed.
        """
        check_writable(path)
        self._ours = path != "-"  # stdout is closed by whoever opened it
        try:
            self._file: TextIO = open(path, "w", encoding="utf-8") if self._ours else open_stdout()  # noqa: SIM115 - as long as the link
        except OSError as error:
            raise FileError(f"cannot write {path}: {(error.strerror or 'error').lower()}; choose another file") from None

    def show(self, snapshot: Snapshot) -> None:
        self._file.write(json.dumps(snapshot.as_dict()) + "\n")
        self._file.flush()  # whoever follows the file sees whole lines

    def close(self) -> None:
        if self._ours:
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
    parser.add_argument("-q", "--quiet", action="store_true", help="nothing on stderr but errors, and no panel")
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


def open_monitor(args: argparse.Namespace) -> Monitor | None:
    """The page of --web, if it is asked for; only then is anything of a web server loaded.

    Raises:
        ClariError: the extra is not installed, or the address cannot be bound.
    """
    if args.web is None:
        return None
    missing = [name for name in ("starlette", "uvicorn", "websockets") if find_spec(name) is None]
    if missing:
        raise ClariError(f"--web needs {', '.join(missing)}; install: pip install 'clari[web]'")
    from stream.web import Monitor

    return Monitor(args.web_host, args.web)
