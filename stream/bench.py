"""clari-bench: how fast, how large and how robust the runtime is, measured here and now.

Every bench is a module of `stream.benches` with HELP, add_options(parser) and run(args) -> exit code, and a line in BENCHES.
"""

from __future__ import annotations

import argparse
from typing import Protocol

from stream.benches import codec, faults, files, forgery, fuzz, latency, live
from stream.errors import run_command
from stream.help import HelpFormatter, epilog
from stream.options import command_parser


class Bench(Protocol):
    """What a module of `stream.benches` offers."""

    HELP: str

    def add_options(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


BENCHES: dict[str, Bench] = {
    "codec": codec,
    "faults": faults,
    "files": files,
    "forgery": forgery,
    "fuzz": fuzz,
    "latency": latency,
    "live": live,
}


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("clari-bench", "Measure speed, size and robustness.")
    commands = parser.add_subparsers(dest="command", required=True, help="what is measured; each has a --help of its own")
    for name, bench in BENCHES.items():
        described = commands.add_parser(
            name, help=bench.HELP, description=bench.__doc__, epilog=epilog(), formatter_class=HelpFormatter
        )
        bench.add_options(described)
    return parser


def main(argv: list[str] | None = None) -> int:
    def command() -> int:
        args = build_parser().parse_args(argv)
        return BENCHES[args.command].run(args)

    return run_command("clari-bench", command)


if __name__ == "__main__":
    raise SystemExit(main())
