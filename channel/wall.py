"""A soak on the wall clock: clari-tx, clari-channel and clari-rx as they are, with a clip of speech over and over.

The delay is measured on the samples: the loudness of what is heard, laid over the loudness of what was sent, fits best at
the delay from mouth to ear. That needs no help of the three programs.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.audio import from_int16, read_file
from stream.config import without_settings
from stream.demo import CLIP, free_ports
from stream.errors import ClariError
from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm
from stream.process import resident_mb
from stream.wav_stream import to_int16

ENVELOPE_SAMPLES = 320  # 20 ms
LONGEST_DELAY_S = 8.0
END_S = 20.0  # for a process to end
MOST_BYTES = 1 << 16  # of a read: what a pipe holds


@dataclass(frozen=True)
class WallRow:
    """What was measured over one stretch of time, up to `elapsed_s`."""

    elapsed_s: float
    delay_s: float  # from mouth to ear
    likeness: float  # of the loudness heard and sent at that delay: correlation, 1 is the same
    sender_mb: float
    channel_mb: float
    receiver_mb: float


def envelope(pcm: Pcm) -> NDArray[np.float64]:
    """Samples [N] -> root of the loudness of every 20 ms, which keeps loud moments from deciding alone."""
    whole = pcm[: len(pcm) // ENVELOPE_SAMPLES * ENVELOPE_SAMPLES].astype(np.float64).reshape(-1, ENVELOPE_SAMPLES)
    loudness: NDArray[np.float64] = np.sqrt(np.sqrt(np.mean(whole**2, axis=1)))
    return loudness


def best_delay(heard: Pcm, heard_from_s: float, clip: Pcm, speed: float) -> tuple[float, float]:
    """(delay in seconds, correlation) at which what was heard from `heard_from_s` on fits a clip repeated since 0.

    heard: samples [N]. speed: of the clock that sent the clip, against the one that heard it.
    """
    sent, received = envelope(clip), envelope(heard)
    step_s = ENVELOPE_SAMPLES / SAMPLE_RATE_HZ
    times_s = heard_from_s + np.arange(len(received)) * step_s
    best = (0.0, -1.0)
    for delay_s in np.arange(0.0, LONGEST_DELAY_S, step_s):
        place = (times_s - delay_s) * speed * SAMPLE_RATE_HZ % len(clip) / ENVELOPE_SAMPLES
        fit = float(np.corrcoef(received, sent[np.minimum(place.astype(int), len(sent) - 1)])[0, 1])
        if fit > best[1]:
            best = (float(delay_s), fit)
    return best


def wall_soak(
    hours: float, row_s: float, ppm: float, speed: float, channel: list[str], protection: list[str], summary: dict[str, Any]
) -> Iterator[WallRow]:
    """Run the three programs for so many hours of the wall; a row every `row_s`. At the end `summary` gets what they report.

    ppm: by how much the sender's clock is faster. speed: of all three clocks, below 1 where the processor is too busy for 1.
    channel: options of clari-channel. protection: of sender and receiver.

    Raises:
        ClariError: one of them ended.
    """
    clip, faster = np.concatenate(list(read_file(str(CLIP)))), 1 + ppm * 1e-6
    air, ground = (f"tcp://127.0.0.1:{port}" for port in free_ports(2))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        reports = {name: Path(folder) / name for name in ("tx", "channel", "rx")}
        commands = {
            "rx": ["stream.rx", "--bind", ground, "--out", "-", "--raw", "--quiet", f"--stats={reports['rx']}",
                   f"--speed={speed}", *protection],
            "channel": ["channel.relay", "--bind", air, "--connect", ground, f"--report={reports['channel']}",
                        f"--speed={speed}", *channel],
            "tx": ["stream.tx", "--in", "-", "--raw", "--connect", air, "--no-vad", f"--speed={speed * faster}",
                   f"--stats={reports['tx']}", *protection],
        }  # fmt: skip
        running = {}
        for name, command in commands.items():
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.PIPE if name == "tx" else subprocess.DEVNULL,
                stdout=subprocess.PIPE if name == "rx" else None,
                stderr=subprocess.PIPE if name == "tx" else subprocess.DEVNULL,
                env=without_settings(),
            )
            running[name] = process
            stack.callback(process.wait)
            stack.callback(process.kill)
        tx, rx = running["tx"], running["rx"]
        stopping = threading.Event()
        feeder = threading.Thread(target=_feed, args=(tx, clip, stopping), daemon=True)
        feeder.start()
        assert tx.stderr and rx.stdout
        tx.stderr.readline()  # it says that it is ready, and sends from now on
        began_s = time.monotonic()
        blocks: list[Pcm] = []
        first_s = row_began_s = 0.0
        while (now_s := time.monotonic() - began_s) < hours * 3600:
            # As the receiver writes them: a slot has more or fewer samples than a frame where it follows the sender's clock.
            data = os.read(rx.stdout.fileno(), MOST_BYTES)
            if any(process.poll() is not None for process in running.values()) or not data:
                raise ClariError("one of the three programs ended; run them by hand to see why")
            now_s = time.monotonic() - began_s
            if not blocks:  # the first sample of this block was due when the block was written
                first_s, row_began_s = now_s, row_began_s or now_s
            blocks.append(from_int16(data))
            if now_s - row_began_s >= row_s:
                delay_s, likeness = best_delay(np.concatenate(blocks), first_s * speed, clip, faster)
                sizes = (resident_mb(running[name].pid) for name in ("tx", "channel", "rx"))
                yield WallRow(now_s, delay_s, likeness, *sizes)
                blocks, row_began_s = [], now_s
        stopping.set()
        drain = threading.Thread(target=rx.stdout.read, daemon=True)  # a receiver whose reader sleeps could not end
        drain.start()
        tx.communicate(timeout=END_S)
        for name in ("channel", "rx"):
            running[name].terminate()
            running[name].wait(END_S)
        summary |= {name: json.loads(path.read_text(encoding="utf-8")) for name, path in reports.items()}


def _feed(process: subprocess.Popen[bytes], clip: Pcm, stopping: threading.Event) -> None:
    """Write the clip over and over; the sender reads at the pace of its clock."""
    data = to_int16(clip)
    pipe = process.stdin
    assert pipe
    with contextlib.suppress(BrokenPipeError):
        while not stopping.is_set():
            for start in range(0, len(data), 2 * SAMPLES_PER_FRAME):
                if stopping.is_set():
                    break
                pipe.write(data[start : start + 2 * SAMPLES_PER_FRAME])
