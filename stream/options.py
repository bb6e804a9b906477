"""What the command lines share: parser, version, signals, files written at the end."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn, TextIO, TypeVar

from stream.errors import FileError, UsageError
from stream.help import HelpFormatter, epilog
from stream.protection import Protection
from stream.signals import on_ending

Item = TypeVar("Item")


class ClariParser(argparse.ArgumentParser):
    """A parser whose complaints are UsageError, which becomes one line: parse inside `run_command`."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def number(low: float, high: float) -> Callable[[str], float]:
    """An argument type: a finite number from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {low:g} to {high:g}")
        return value

    return parse


def whole(least: int, most: int) -> Callable[[str], int]:
    """An argument type: a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return parse


SPEED = number(0.01, 1000.0)  # of clocks


def clari_version() -> str:
    try:
        return version("clari")
    except PackageNotFoundError:
        return "not installed"


def command_parser(name: str, description: str) -> ClariParser:
    """A parser with one-line complaints, `--version`, and the exit codes below its help."""
    parser = ClariParser(prog=name, description=description, epilog=epilog(), formatter_class=HelpFormatter)
    parser.add_argument("--version", action="version", version=f"%(prog)s {clari_version()}")
    return parser


def add_protection(parser: argparse.ArgumentParser) -> None:
    """The options that both ends of a link must give alike."""
    parser.add_argument(
        "--repair", metavar="K+R", help="after K packets R repair packets follow; any R of K+R may be lost; at both ends"
    )
    parser.add_argument("--repeat", type=int, metavar="D", help="each packet repeats the codes of the one D before; at both ends")


def protection_of(args: argparse.Namespace) -> Protection:
    """The protection that the options name.

    Raises:
        UsageError: it is not possible.
    """
    return Protection.parse(args.repair, args.repeat)


def add_security(parser: argparse.ArgumentParser) -> None:
    """The options of sealed packets and secured sockets, alike at both ends."""
    parser.add_argument(
        "--key-file", metavar="FILE", help="seal packets with this key of clari-keygen; needs the extra seal; at both ends"
    )
    parser.add_argument(
        "--tag-bytes", type=int, choices=(4, 8), help="size of the tag that takes the CRC's place: 4 unless given; at both ends"
    )
    parser.add_argument("--curve", metavar="FILE", help="encrypt the ZeroMQ hop with this key of clari-keygen; at both ends")


def check_security(args: argparse.Namespace, sockets: bool) -> None:
    """Refuse options of security that would have no effect.

    Raises:
        UsageError: see above.
    """
    if args.tag_bytes and not args.key_file:
        raise UsageError("--tag-bytes is the size of a sealed packet's tag; add --key-file FILE")
    if args.curve and not sockets:
        raise UsageError("--curve secures a ZeroMQ endpoint, not a file; use --key-file to seal packets")


class Stop:
    """SIGINT, SIGTERM and SIGHUP as a flag, so that a loop ends in order, with its summary, instead of being torn apart.

    A read that blocks is interrupted (`next` below); anywhere else a second signal ends the program at once.
    """

    def __init__(self) -> None:
        self.requested = False
        self._blocking = False
        on_ending(self._stop)

    def __call__(self) -> bool:
        return self.requested

    def next(self, read: Callable[[], Item], end: Item) -> Item:
        """What `read` gives, or `end` once a signal has come, before or while it blocks."""
        try:
            self._blocking = True
            return end if self.requested else read()
        except KeyboardInterrupt:
            return end
        finally:
            self._blocking = False

    def _stop(self, number: int, frame: object) -> None:
        again, self.requested = self.requested, True
        if again or self._blocking:
            raise KeyboardInterrupt


def check_writable(path: str | None) -> None:
    """Refuse a file that cannot be written at the end before anything is done for it; `-` is stdout.

    Raises:
        FileError: its folder is missing, it or its folder is not writable, it is a folder itself, or stdout is closed.
    """
    if path is None:
        return
    if path == "-":
        open_stdout()
        return
    file = Path(path)
    if file.is_dir():
        raise FileError(f"{path} is a folder; give a file name in it")
    folder = file.absolute().parent
    if not folder.is_dir():
        raise FileError(f"cannot write {path}: its folder does not exist; make it or choose another")
    if not (os.access(file, os.W_OK) if file.exists() else os.access(folder, os.W_OK | os.X_OK)):
        raise FileError(f"cannot write {path}: permission denied; choose another file")


def open_stdout() -> TextIO:
    """Where `-` is written to.

    Raises:
        FileError: whoever started the program closed it.
    """
    if sys.stdout is None:
        raise FileError("stdout is closed; give a file")
    return sys.stdout


def write_json(path: str | None, values: Mapping[str, object]) -> None:
    """Write one JSON object to a file, or to stdout for `-`.

    Raises:
        FileError: the file cannot be written, or stdout is closed.
    """
    if path is None:
        return
    text = json.dumps(values) + "\n"
    if path == "-":
        open_stdout().write(text)
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileError(f"cannot write {path}: {(error.strerror or 'error').lower()}; choose another file") from None
