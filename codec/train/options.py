"""What every training is asked on its command line."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


def training_parser(module: str, description: str, steps: int, rows: int, rate: float) -> argparse.ArgumentParser:
    """A parser of `python -m codec.train.MODULE` with run folder, steps, rows, learning rate and threads, and their defaults."""
    parser = argparse.ArgumentParser(prog=f"python -m codec.train.{module}", description=description)
    parser.add_argument("--out", type=Path, required=True, help="run folder")
    parser.add_argument("--steps", type=int, default=steps, help="(default: %(default)s)")
    parser.add_argument("--rows", type=int, default=rows, help="crops per step (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=rate, help="learning rate (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 is every core")
    return parser


def parse(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """The arguments, with as many threads as they ask for."""
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    return args
