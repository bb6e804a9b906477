"""clari-keygen: make a key."""

from __future__ import annotations

import argparse
import sys

from stream.errors import run_command
from stream.keys import write_key
from stream.options import command_parser

DESCRIPTION = """Make a key for --key-file or --curve, readable by its owner alone.

A key seals for one sender: the machine on which it was made. Copy FILE, and not FILE.epoch, to the receivers, over a way
that nobody reads; make a second key for the other direction."""


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("clari-keygen", DESCRIPTION)
    parser.add_argument("file", metavar="FILE", help="name of the new key file; FILE.epoch is made beside it")
    return parser


def main(argv: list[str] | None = None) -> int:
    def command() -> int:
        args = build_parser().parse_args(argv)
        write_key(args.file)
        print(f"clari-keygen: {args.file} written; copy it to the receivers, keep {args.file}.epoch here", file=sys.stderr)
        return 0

    return run_command("clari-keygen", command)


if __name__ == "__main__":
    raise SystemExit(main())
