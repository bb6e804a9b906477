"""clari-bench: how fast and how large the runtime is, measured here and now.

`codec` pins itself to one core and runs encoder and decoder each in a process of its own, as a sender and a receiver
do, and starts `clari-tx` to see when it is ready. `forgery` attacks a sealed link.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from stream.engine import load_decoder, load_encoder
from stream.errors import ClariError, UsageError, run_command
from stream.fec import parity
from stream.frame import FRAME_S, SAMPLES_PER_FRAME
from stream.options import command_parser, write_json
from stream.packet import PROFILES, ForgedPacketError, Framing, PacketError, ReplayedPacketError, Voice
from stream.seal import TAG_BYTES, Opener, Sealer


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("clari-bench", "Measure speed and size.")
    commands = parser.add_subparsers(dest="command", required=True)
    codec = commands.add_parser("codec", help="encoder and decoder on one core: real-time factor, frame times, load time, memory")
    codec.add_argument("-m", "--model", default="base", help="shipped model or folder")
    codec.add_argument("--frames", type=int, default=1000, help="frames to time (default: %(default)s)")
    codec.add_argument("--json", metavar="FILE", help="also write the figures as JSON; - is stdout")
    codec.add_argument("--part", choices=("encoder", "decoder"), help=argparse.SUPPRESS)
    forgery = commands.add_parser(
        "forgery", help="forged, replayed and truncated packets against a sealed link: how many are heard"
    )
    forgery.add_argument("--packets", type=int, default=1_000_000, help="packets to try (default: %(default)s)")
    forgery.add_argument("--tag-bytes", type=int, choices=TAG_BYTES, default=4, help="size of the tag (default: %(default)s)")
    forgery.add_argument("--json", metavar="FILE", help="also write the figures as JSON; - is stdout")
    return parser


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
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin and process.stderr
    process.stdin.write(bytes(2 * SAMPLES_PER_FRAME))
    process.stdin.flush()
    line = process.stderr.readline().decode()
    ready_s = time.perf_counter() - began
    process.communicate()
    if process.returncode:
        raise ClariError(line.strip().removeprefix("clari-tx: "))
    return ready_s, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def codec(args: argparse.Namespace) -> int:
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


def forgery_figures(packets: int, tag_bytes: int, seed: int = 0) -> dict[str, dict[str, int]]:
    """Try `packets` hostile packets, evenly of every kind, on the receiver of a sealed link that hears a sender.

    Returns:
        for every kind: packets, forged, replayed, rejected (no packet at all), heard.
    """
    rng, profile, key = np.random.default_rng(seed), PROFILES["fast"], bytes(range(32))
    epochs = itertools.count(2)
    sender = Framing(7, seal=Sealer(key, tag_bytes, lambda step: next(epochs)))
    stranger = Framing(7, seal=Sealer(bytes(32), tag_bytes, lambda step: 2))
    receiver = Framing(7, seal=Opener(key, tag_bytes))
    body_bytes = sender.packet_bytes(profile) - profile.parity_bytes
    heard: list[bytes] = []
    kinds = ("random bytes", "random with parity", "changed with parity", "another key", "replayed", "truncated")
    figures = {kind: dict.fromkeys(("packets", "forged", "replayed", "rejected", "heard"), 0) for kind in kinds}

    def with_parity(data: bytes) -> bytes:
        return data + parity(data, profile.parity_bytes)

    def hostile(kind: str) -> bytes:
        genuine = heard[int(rng.integers(len(heard)))]
        if kind == "random bytes":
            return rng.bytes(len(genuine))
        if kind == "random with parity":
            return with_parity(rng.bytes(body_bytes))
        if kind == "changed with parity":
            data = bytearray(genuine[:body_bytes])
            data[int(rng.integers(body_bytes))] ^= int(rng.integers(1, 256))
            return with_parity(bytes(data))
        if kind == "another key":
            return stranger.build(Voice(0, int(rng.integers(1024)), codes, False), profile)
        return genuine if kind == "replayed" else genuine[: int(rng.integers(len(genuine)))]

    for number in range(packets):
        codes = rng.integers(0, 4, (profile.frames, 8)).astype(np.uint8)
        if number % 100 == 0:  # a genuine packet now and then, so that there is something to replay
            heard.append(sender.build(Voice(0, number // 100 % 1024, codes, False), profile))
            receiver.parse(heard[-1])
        figure = figures[kind := kinds[number % len(kinds)]]
        figure["packets"] += 1
        try:
            receiver.parse(hostile(kind))
            figure["heard"] += 1
        except ForgedPacketError:
            figure["forged"] += 1
        except ReplayedPacketError:
            figure["replayed"] += 1
        except PacketError:
            figure["rejected"] += 1
    return figures


def forgery(args: argparse.Namespace) -> int:
    if args.packets < 100:
        raise UsageError(f"--packets {args.packets} is too few to say anything; give at least 100")
    figures = forgery_figures(args.packets, args.tag_bytes)
    if args.json != "-":
        columns = ("packets", "forged", "replayed", "rejected", "heard")
        print(f"{'':<22}" + "".join(f"{column:>10}" for column in columns))
        for kind, figure in figures.items():
            print(f"{kind:<22}" + "".join(f"{figure[column]:>10}" for column in columns))
    write_json(args.json, {"schema_version": 1, "tag_bytes": args.tag_bytes, "kinds": figures})
    return 0


def main(argv: list[str] | None = None) -> int:
    def command() -> int:
        args = build_parser().parse_args(argv)
        return {"codec": codec, "forgery": forgery}[args.command](args)

    return run_command("clari-bench", command)


if __name__ == "__main__":
    raise SystemExit(main())
