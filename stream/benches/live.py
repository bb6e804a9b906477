"""A long conversation between virtual microphone and loudspeaker, and whether anything drifts."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from stream.alignment import delay_s
from stream.audio import read_file
from stream.demo import CLIP
from stream.devices import LATENCY_MS
from stream.errors import ClariError, UsageError
from stream.frame import SAMPLE_RATE_HZ, Pcm
from stream.live_link import LiveLink, feed, recorded
from stream.options import number, write_json
from stream.process import stolen_s
from stream.sound_server import SoundServer

HELP = "talk over virtual sound cards for an hour: drift, xruns and memory"
PAUSE_S = 1.0
SETTLED_MINUTES = 2  # after which memory and delay are compared


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=number(0.25, 100_000), default=60.0, help="how long to talk")
    parser.add_argument(
        "--mic-ppm",
        type=number(-10_000, 10_000),
        default=125.0,
        help="clock error of the microphone, in steps of 62.5 ppm: its rate is a whole number of hertz",
    )
    parser.add_argument("--speaker-ppm", type=number(-10_000, 10_000), default=0.0, help="of the speaker")
    parser.add_argument("-p", "--profile", default="fast", help="packet size")
    parser.add_argument("--latency-ms", type=number(1, 1000), default=LATENCY_MS, help="as of clari-tx and clari-rx")
    parser.add_argument("--delay-ms", type=number(0, 10_000), default=200.0, help="as of clari-rx")
    parser.add_argument("--speed", type=number(0.05, 1), default=1.0, help="of all clocks: less for a machine that is busy")
    parser.add_argument("--window-s", type=number(10, 600), default=60.0, help="speech in each row")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON; - is stdout")


def talk(clip: Pcm) -> Iterator[Pcm]:
    """The clip again and again, with pauses of uneven length."""
    for turn in count():
        yield clip
        yield np.zeros(round(PAUSE_S * (1 + turn % 3 / 2) * SAMPLE_RATE_HZ), np.float32)


def opened_hz(rate_hz: int, ppm: float) -> int:
    """The whole rate at which a device is opened, so that its clock seems wrong by about `ppm`."""
    return round(rate_hz * (1 + ppm * 1e-6))


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code.

    Raises:
        ClariError: something that is needed is missing, or a process failed.
    """
    rate_hz = round(SAMPLE_RATE_HZ * args.speed)
    mic_hz, speaker_hz = opened_hz(rate_hz, args.mic_ppm), opened_hz(rate_hz, args.speaker_ppm)
    rows: list[dict[str, float]] = []  # of each window; underruns and concealed frames since the start
    total = round(args.minutes * 60 / args.window_s)
    if not total:
        raise UsageError("--minutes is shorter than --window-s; talk longer")
    began_stolen_s = stolen_s()
    clip = np.concatenate(list(read_file(str(CLIP))))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        server = SoundServer(folder, rate_hz)
        link = speaking = listening = None
        try:
            common = [f"--latency-ms={args.latency_ms}"]
            link = LiveLink(
                server,
                folder,
                [*common, f"--open-hz={mic_hz}", f"--profile={args.profile}"],
                [*common, f"--open-hz={speaker_hz}", f"--delay-ms={args.delay_ms}", f"--stats-json={folder / 'seconds.jsonl'}"],
            )
            listening, speaking = server.listen(), server.speak()
            feed(speaking, talk(clip))
            print(
                f"{'minute':>8}{'delay ms':>10}{'tx MB':>8}{'rx MB':>8}{'underruns':>11}{'concealed':>11}{'processors':>12}",
                flush=True,
            )
            before_s = 0.0
            for turn in range(total):
                sound = recorded(listening, args.window_s)
                if len(sound) < args.window_s * SAMPLE_RATE_HZ:
                    raise ClariError("the recording ended; the sound server has gone")
                newest = json.loads((folder / "seconds.jsonl").read_text(encoding="utf-8").rstrip().rsplit("\n", 1)[-1])
                used_s = link.processor_s("tx") + link.processor_s("rx")
                row = {
                    "minute": (turn + 1) * args.window_s / 60,
                    "delay_ms": 1000 * delay_s(sound[:, 0], sound[:, 1]),
                    "tx_mb": link.resident_mb("tx"),
                    "rx_mb": link.resident_mb("rx"),
                    "underruns": newest["underruns"],
                    "concealed": newest["concealed_frames"],
                    "processors": (used_s - before_s) / (args.window_s / args.speed),
                }
                before_s = used_s
                rows.append(row)
                print(
                    f"{row['minute']:>8.1f}{row['delay_ms']:>10.1f}{row['tx_mb']:>8.1f}{row['rx_mb']:>8.1f}"
                    f"{row['underruns']:>11}{row['concealed']:>11}{row['processors']:>12.3f}",
                    flush=True,
                )
            stats = link.finish()
        finally:
            for process in (speaking, listening):
                if process:
                    process.kill()
                    process.wait()
            if link:
                link.kill()
            server.close()
    settled = rows[min(round(SETTLED_MINUTES * 60 / args.window_s), len(rows) - 1) :]
    delays = [row["delay_ms"] for row in settled]
    figures = {
        "minutes": args.minutes,
        "mic_ppm": 1e6 * (mic_hz / rate_hz - 1),
        "speaker_ppm": 1e6 * (speaker_hz / rate_hz - 1),
        "speed": args.speed,
        "delay_growth_ms": max(delays) - delays[0],
        "stolen_s": stolen_s() - began_stolen_s,  # a virtual machine may hold up everything in it
        "tx_growth_mb": settled[-1]["tx_mb"] - settled[0]["tx_mb"],
        "rx_growth_mb": settled[-1]["rx_mb"] - settled[0]["rx_mb"],
        **{key: stats["tx"][key] for key in ("overruns", "dropped_packets")},
        **{key: stats["rx"][key] for key in ("underruns", "dropped_blocks", "late_packets", "concealed_frames", "frames")},
    }
    if args.json != "-":
        print("\n".join(f"{name:<18}{value:g}" for name, value in figures.items()))
    write_json(args.json, {"schema_version": 1, **figures, "rows": rows})
    return 0
