"""Whether everything that clari needs at run time can be installed on another machine without a compiler.

    python -m stream.service.wheels                         # 64-bit ARM, Python 3.11
    python -m stream.service.wheels --machine armv7l

Asks pip, and so the package index that pip uses; nothing is installed. Exit code 1 if a wheel is missing.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import requires

from stream.errors import ClariError, run_command
from stream.options import command_parser

NAME = "stream.service.wheels"
GLIBC = ("manylinux2014", "manylinux_2_28")  # what wheels for Debian 11 and later are built for
DESCRIPTION = """Table of the wheels that a machine of another kind would install to run clari."""


def runtime_requirements() -> list[str]:
    """What the installed clari says it needs, without any extra.

    Raises:
        ClariError: clari is not installed.
    """
    try:
        return [each for each in requires("clari") or [] if "extra ==" not in each]
    except ModuleNotFoundError:
        raise ClariError("clari is not installed here; install it: pip install .") from None


def pip_command(requirement: str, machine: str, python: str, folder: str) -> list[str]:
    """The command that finds the wheels of a requirement and of what it needs in turn."""
    platforms = [f"--platform={glibc}_{machine}" for glibc in GLIBC]
    return [
        *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--only-binary=:all:"),
        *(*platforms, f"--python-version={python}", "--implementation=cp", f"--target={folder}", "--report=-", requirement),
    ]


def wheels_of(report: str) -> dict[str, str]:
    """Name -> file name of every wheel in a report of pip (its installation report, version 1)."""
    items = json.loads(report[report.index("{") :])["install"]
    return {item["metadata"]["name"]: item["download_info"]["url"].rpartition("/")[2] for item in items}


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser(NAME, DESCRIPTION)
    parser.add_argument("--machine", default="aarch64", help="as `uname -m` says it there")
    parser.add_argument("--python", metavar="VERSION", default="3.11", help="of that machine")
    return parser


def main(argv: list[str] | None = None) -> int:
    def command() -> int:
        args = build_parser().parse_args(argv)
        missing = 0
        found: dict[str, str] = {}
        with tempfile.TemporaryDirectory() as folder:
            for requirement in runtime_requirements():
                name = re.split(r"[^A-Za-z0-9_.-]", requirement)[0]
                done = subprocess.run(
                    pip_command(requirement, args.machine, args.python, folder), capture_output=True, text=True, check=False
                )
                if done.returncode:
                    missing += 1
                    reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")][-1:] or ["pip failed"]
                    print(f"{name:<20}none: {reason[0].removeprefix('ERROR: ')}", flush=True)
                    continue
                for wheel, file_name in wheels_of(done.stdout).items():
                    if wheel not in found:
                        print(f"{wheel:<20}{file_name}", flush=True)
                    found[wheel] = file_name
        if missing:
            raise ClariError(f"{missing} without a wheel for {args.machine}; pip would need a compiler there")
        return 0

    return run_command(NAME, command)


if __name__ == "__main__":
    raise SystemExit(main())
