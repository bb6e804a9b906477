"""Encoder and decoder on one core: real-time factor, frame times, load time, memory; and when `clari-tx` is ready.

Pins itself to one core and runs encoder and decoder each in a process of its own, as a sender and a receiver do.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from stream.config import without_settings
from stream.engine import load_decoder, load_encoder
from stream.errors import ClariError, UsageError
from stream.frame import FRAME_S, SAMPLES_PER_FRAME
from stream.options import write_json

HELP = "encoder and decoder on one core: real-time factor, frame times, load time, memory"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model", default="base", help="shipped model or folder")
    parser.add_argument("--frames", type=int, default=1000, help="frames to time")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON; - is stdout")
    parser.add_argument("--part", choices=("encoder", "decoder"), help=argparse.SUPPRESS)


def measure(part: str, model: str, frames: int) -> dict[str, float]:
    """Time one graph in this process, pinned to one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    samples = (np.random.default_rng(0).standard_normal((frames, SAMPLES_PER_FRAME)) * 0.05).astype(np.float32)
    codes = np.random.default_rng(0).integers(0, 4, (frames, 8)).astype(np.uint8)
    began = time.perf_counter()
    if part == "encoder":
        encoder = load_encoder(model)
        load_s = time.perf_counter() - began
        sending = encoder.stream()
        seconds = [timed(partial(sending.encode, frame)) for frame in samples]
    else:
        decoder = load_decoder(model)
        load_s = time.perf_counter() - began
        hearing = decoder.stream()
        seconds = [timed(partial(hearing.decode, frame)) for frame in codes]
    return {
        "real_time_factor": float(np.mean(seconds) / FRAME_S),
        "p50_ms": float(np.percentile(seconds, 50) * 1000),
        "p99_ms": float(np.percentile(seconds, 99) * 1000),
        "load_s": load_s,
        "resident_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def start_seconds(model: str) -> tuple[float, float]:
    """Seconds from starting `clari-tx` until it says it is ready, and its peak resident megabytes."""
    command = [sys.executable, "-m", "stream.tx", "--in", "-", "--raw", "--out", os.devnull, "--model", model]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=without_settings())
    assert process.stdin and process.stderr
    process.stdin.write(bytes(2 * SAMPLES_PER_FRAME))
    process.stdin.flush()
    line = process.stderr.readline().decode()
    ready_s = time.perf_counter() - began
    process.communicate()
    if process.returncode:
        raise ClariError(line.strip().removeprefix("clari-tx: "))
    return ready_s, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def run(args: argparse.Namespace) -> int:
    if args.frames < 10:
        raise UsageError(f"--frames {args.frames} is too few to time; give at least 10")
    if args.part:
        print(json.dumps(measure(args.part, args.model, args.frames)))
        return 0
    ready_s, resident_mb = start_seconds(args.model)  # first: RUSAGE_CHILDREN keeps the largest child
    figures: dict[str, dict[str, float]] = {}
    for part in ("encoder", "decoder"):
        command = [
            sys.executable,
            "-m",
            "stream.bench",
            "codec",
            "--part",
            part,
            "--model",
            args.model,
            "--frames",
            str(args.frames),
        ]
        figures[part] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"{'':<10}{'real-time factor':>18}{'p50 ms':>9}{'p99 ms':>9}{'load s':>9}{'resident MB':>13}")
    for part, row in figures.items():
        print(
            f"{part:<10}{row['real_time_factor']:>18.3f}{row['p50_ms']:>9.2f}{row['p99_ms']:>9.2f}{row['load_s']:>9.2f}{row['resident_mb']:>13.0f}"
        )
    print(f"clari-tx is ready {ready_s:.2f} s after its start and takes {resident_mb:.0f} MB; {args.frames} frames, one core")
    write_json(
        args.json,
        {"schema_version": 1, "frames": args.frames, **figures, "clari_tx": {"ready_s": ready_s, "resident_mb": resident_mb}},
    )
    return 0
