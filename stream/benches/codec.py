"""Encoder and decoder on one core, beside Codec2 and Opus; and what talking and silence cost.

Runs the encoder with the packets of each profile, and the decoder frame by frame, in processes of their own, pinned to one core,
as a sender and a receiver do. The real-time factor is processor time by duration of speech; milliseconds are processor time as
well, so that other work on the machine does not count: for the encoder of a whole packet, which is the burst at its end, for the
decoder of a frame. What cannot be measured here is left out and named on stderr.
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

from stream.audio import read_file
from stream.benches import energy, others
from stream.config import without_settings
from stream.demo import CLIP, free_ports
from stream.engine import find_graph, load_decoder, load_encoder
from stream.errors import ClariError, UsageError
from stream.frame import FRAME_S, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from stream.options import number, write_json
from stream.process import resident_mb
from stream.profile import PROFILES

HELP = "encoder and decoder on one core, beside Codec2 and Opus; energy while talking and in silence"
PARTS = (*(f"encoder {name}" for name in PROFILES), "decoder")
SECTIONS = ("others", "energy")
OTHERS_S = 60.0  # of speech, so that the start of a program hardly counts
SCHEMA_VERSION = 3
COLUMNS = (  # key, title, width, digits
    ("real_time_factor", "real-time factor", 18, 4),
    ("p50_ms", "p50 ms", 9, 2),
    ("p99_ms", "p99 ms", 9, 2),
    ("load_s", "load s", 9, 2),
    ("resident_mb", "resident MB", 13, 0),
    ("peak_mb", "peak MB", 9, 0),
    ("file_mb", "file MB", 9, 1),
)

Figures = dict[str, dict[str, float]]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model", default="base", help="shipped model or folder")
    parser.add_argument("--frames", type=int, default=1000, help="frames of 80 ms to time")
    parser.add_argument(
        "--energy-s", metavar="SECONDS", type=number(1, 3600), default=20.0, help="how long talking and silence are watched"
    )
    parser.add_argument("--skip", nargs="+", choices=SECTIONS, default=[], help="leave out other codecs or energy")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON; - is stdout")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)


def measure(part: str, model: str, frames: int) -> dict[str, float]:
    """Time one graph in this process, pinned to one core: packets of a profile through the encoder, or the decoder's frames."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    role, _, profile = part.partition(" ")
    calls = -(-frames // PROFILES[profile].frames) if profile else frames
    frames_each = PROFILES[profile].frames if profile else 1
    rng = np.random.default_rng(0)
    began = time.perf_counter()
    work: list[Callable[[], object]]
    if role == "encoder":
        encoder = load_encoder(model)
        load_s = time.perf_counter() - began
        samples = (rng.standard_normal((calls, frames_each * SAMPLES_PER_FRAME)) * 0.05).astype(np.float32)
        sending = encoder.stream()
        work = [partial(sending.encode, packet) for packet in samples]
    else:
        decoder = load_decoder(model)
        load_s = time.perf_counter() - began
        hearing = decoder.stream()
        work = [partial(hearing.decode, codes) for codes in rng.integers(0, 4, (calls, 8)).astype(np.uint8)]
    seconds = [timed(each) for each in work]
    return {
        "real_time_factor": float(np.mean(seconds)) / (frames_each * FRAME_S),
        "p50_ms": float(np.percentile(seconds, 50) * 1000),
        "p99_ms": float(np.percentile(seconds, 99) * 1000),
        "load_s": load_s,
        "resident_mb": resident_mb(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "file_mb": find_graph(model, role).stat().st_size / 1e6,
    }


def timed(work: Callable[[], object]) -> float:
    """Seconds of processor time."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measure_parts(model: str, frames: int) -> Figures:
    """`measure` of every part, each in a process of its own.

    Raises:
        ClariError: one of them failed, in its own words.
    """
    figures = {}
    for part in PARTS:
        command = [sys.executable, "-m", "stream.bench", "codec", f"--part={part}", f"--model={model}", f"--frames={frames}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise ClariError(done.stderr.strip().removeprefix("clari-bench: "))
        figures[part] = json.loads(done.stdout)
    return figures


def start_seconds(model: str) -> dict[str, dict[str, float]]:
    """Seconds from starting sender and receiver until each says that it is ready, and their resident megabytes then."""
    endpoint = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    commands = {
        "clari_tx": ["stream.tx", "--in", "-", "--raw", "--out", os.devnull],
        "clari_rx": ["stream.rx", "--bind", endpoint, "--null"],
    }
    figures = {}
    for name, command in commands.items():
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--model", model],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=without_settings(),
        )
        assert process.stdin and process.stderr
        process.stdin.write(bytes(2 * SAMPLES_PER_FRAME))
        process.stdin.flush()
        line = process.stderr.readline().decode()
        figures[name] = {"ready_s": time.perf_counter() - began, "resident_mb": resident_mb(process.pid)}
        if name == "clari_rx":
            process.terminate()
        process.communicate()
        if process.returncode:
            raise ClariError(line.strip().removeprefix(f"{name.replace('_', '-')}: "))
    return figures


def row(name: str, part: str, figures: dict[str, float]) -> str:
    """A line of the table; what was not measured is a dash."""
    cells = [f"{figures[key]:>{width}.{digits}f}" if key in figures else f"{'-':>{width}}" for key, _, width, digits in COLUMNS]
    return f"{name:<13}{part:<17}{''.join(cells)}"


def left_out(what: str, why: str) -> None:
    print(f"clari-bench: {what} left out: {why}", file=sys.stderr)


def run(args: argparse.Namespace) -> int:
    """Measure and print; returns the exit code.

    Raises:
        ClariError: the model cannot be loaded, or a process failed.
    """
    if args.frames < 10:
        raise UsageError(f"--frames {args.frames} is too few to time; give at least 10")
    if args.part:
        print(json.dumps(measure(args.part, args.model, args.frames)))
        return 0
    starts = start_seconds(args.model)
    systems: dict[str, Figures] = {"clari": measure_parts(args.model, args.frames)}
    if "others" not in args.skip:
        speech = np.resize(np.concatenate(list(read_file(str(CLIP)))), round(OTHERS_S * SAMPLE_RATE_HZ))
        for name in others.NAMES:
            if why := others.lacks(name):
                left_out(name, why)
            else:
                systems[name] = others.measure(name, speech)
    print("one core".ljust(30) + "".join(title.rjust(width) for _, title, width, _ in COLUMNS))
    for name, figures in systems.items():
        for part in figures:
            print(row(name, part, figures[part]))
    for name, figures_of_start in starts.items():
        print(
            f"{name.replace('_', '-')} is ready {figures_of_start['ready_s']:.2f} s after its start "
            f"and takes {figures_of_start['resident_mb']:.0f} MB"
        )
    costs = {} if "energy" in args.skip else measure_energy(args)
    write_json(
        args.json,
        {
            "schema_version": SCHEMA_VERSION,
            "frames": args.frames,
            "systems": systems,
            **starts,
            "energy": costs,
        },
    )
    return 0


def measure_energy(args: argparse.Namespace) -> dict[str, dict[str, dict[str, float]]]:
    """Shares of a core between every kind of endpoints that is there; printed as they come."""
    costs = {}
    print(f"{'share of one core':<24}{'sender':>9}{'receiver':>10}{'together':>10}")
    for endpoints in energy.ENDPOINTS:
        if why := energy.lacks(endpoints):
            left_out(f"energy over {endpoints}", why)
            continue
        costs[endpoints] = energy.over(endpoints, args.model, args.energy_s)
        for state in ("talking", "silence"):
            share = costs[endpoints][state]
            print(f"{f'{state}, {endpoints}':<24}{share['tx']:>9.3f}{share['rx']:>10.3f}{share['together']:>10.3f}", flush=True)
    return costs
