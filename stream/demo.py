"""clari-demo: a sender, a channel and a receiver as three real processes, and what became of the speech."""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from stream.audio import READS, read_file
from stream.config import parse_options, without_settings
from stream.demo_picture import draw
from stream.errors import ClariError, FileError, UsageError, run_command
from stream.frame import FRAME_S, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm
from stream.options import SPEED, add_protection, command_parser, number, protection_of
from stream.profile import PROFILES, find_profile

CLIP = Path(__file__).parent / "clips" / "pirates.flac"
LONGEST_S = 600.0
IDLE_S = 6.0  # of the clock, without a packet from the sender: several packets' time, since it sends silence too
START_S = 60.0  # of the wall, for a process to listen
GRACE_S = 5.0  # of the wall, for a process to end
TOO_SLOW = "this machine is too busy for live processes at this pace; try --realtime, or again when it is idle"
MISSING_UI = "needs matplotlib and pystoi; install them: pip install 'clari[ui]'"

DESCRIPTION = """Send a clip of real speech through a simulated link: clari-tx, clari-channel and clari-rx as three processes.

examples:
  clari-demo                          a shipped clip over a geostationary satellite
  clari-demo --loss 0.1 --ber 1e-2    a worse link
  clari-demo --realtime               at the pace of the speech"""


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("clari-demo", DESCRIPTION)
    parser.add_argument("--in", dest="input", metavar="FILE", default=str(CLIP), help=f"{READS} (default: the clip that ships)")
    parser.add_argument(
        "--out",
        metavar="DIR",
        default="clari-demo",
        help="folder for received.wav, demo.png and the statistics; those of an earlier run are replaced",
    )
    parser.add_argument("-p", "--profile", default="standard", help=f"packet size: {', '.join(PROFILES)}")
    add_protection(parser)
    parser.add_argument("-m", "--model", default="base", help="shipped model or folder")
    parser.add_argument("--preset", default="satellite-geo", help="link; clari-channel --list-presets shows all")
    parser.add_argument("--loss", type=number(0, 1), help="share of packets lost, in place of the preset's")
    parser.add_argument("--ber", type=number(0, 0.5), help="bit errors per bit, in place of the preset's")
    parser.add_argument("--seed", type=int, default=1, help="of the link: with the same seed its good and bad times are the same")
    parser.add_argument("--delay-ms", type=number(0, 10_000), default=240.0, help="playout delay of the receiver")
    parser.add_argument("--realtime", action="store_true", help="at the pace of the speech instead of faster")
    parser.add_argument("--speed", type=SPEED, default=5.0, help="clock factor unless --realtime")
    return parser


def free_ports(count: int) -> list[int]:
    """Local TCP ports that nobody holds."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def run_processes(args: argparse.Namespace, folder: Path, speed: float) -> dict[str, dict[str, Any]]:
    """Run the three commands to their end; returns their statistics as `tx`, `channel`, `rx`.

    Raises:
        ClariError: one of them failed; its own line says why.
    """
    ports = dict(zip(("channel", "rx"), free_ports(2), strict=True))
    air, ground = (f"tcp://127.0.0.1:{port}" for port in ports.values())
    overrides = [f"--{name}={value}" for name in ("loss", "ber") if (value := getattr(args, name)) is not None]
    protection = [f"--{name}={value}" for name in ("repair", "repeat") if (value := getattr(args, name)) is not None]
    files = {name: folder / f"{name}.json" for name in ("tx", "channel", "rx")}
    for file in (*files.values(), folder / "received.wav"):
        file.unlink(missing_ok=True)  # of an earlier run: what a failed one leaves must not be taken for its own
    # STOI compares sample by sample: every frame is sent, and heard at its place.
    commands = {
        "rx": ["stream.rx", "--bind", ground, "--out", str(folder / "received.wav"), f"--delay-ms={args.delay_ms}",
               "--max-delay-ms=0", f"--model={args.model}", f"--stats={files['rx']}", "--quiet", *protection],
        "channel": ["channel.relay", "--bind", air, "--connect", ground, f"--preset={args.preset}", f"--seed={args.seed}",
                    f"--idle-exit-s={IDLE_S}", f"--report={files['channel']}", *overrides],
        "tx": ["stream.tx", "--in", args.input, "--connect", air, f"--profile={args.profile}", f"--model={args.model}",
               f"--stats={files['tx']}", "--quiet", "--no-vad", *protection],
    }  # fmt: skip
    running: dict[str, subprocess.Popen[bytes]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        logs = {name: Path(temporary) / name for name in commands}
        try:
            for name, command in commands.items():
                with logs[name].open("wb") as log:
                    running[name] = subprocess.Popen(
                        [sys.executable, "-m", *command, f"--speed={speed}"], stderr=log, env=without_settings()
                    )
                wait_until_bound(ports.get(name), running, logs)
            # The sender ends first, then the channel, which hands over all that is under way. Whoever fails ends the others,
            # which would wait for packets for ever.
            for name in ("tx", "channel"):
                while running[name].poll() is None:
                    check_children(running, logs)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        running[name].wait(timeout=0.2)
            # The receiver cannot know whether silence is an outage of the link or the end: it is told, with time to play.
            with contextlib.suppress(subprocess.TimeoutExpired):
                running["rx"].wait(timeout=IDLE_S / speed)
            running["rx"].terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                running["rx"].wait(timeout=GRACE_S)
            check_children(running, logs)
        finally:
            for process in running.values():
                process.kill()
                process.wait()
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}


def wait_until_bound(port: int | None, running: dict[str, subprocess.Popen[bytes]], logs: dict[str, Path]) -> None:
    """Wait until the process that was started last listens at its port: the sender would drop what nobody takes.

    Raises:
        ClariError: it failed, or does not listen within START_S.
    """
    deadline_s = time.monotonic() + START_S
    while port is not None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        check_children(running, logs)
        if time.monotonic() > deadline_s:
            raise ClariError(TOO_SLOW)
        time.sleep(0.02)


def check_pace(tx: dict[str, Any], channel: dict[str, Any], rx: dict[str, Any]) -> None:
    """Raise ClariError where it was not the link that lost packets, or where the link lost all of them."""
    delivered = channel["packets"]["delivered"]
    if tx["dropped_packets"] or channel["refused"] or rx["received_packets"] < delivered:
        raise ClariError(TOO_SLOW)
    if rx["first_frame"] < 0:
        raise ClariError(
            "nothing was heard: the link left no packet whole; try less --loss or --ber" if not rx["late_packets"] else TOO_SLOW
        )


def check_children(running: dict[str, subprocess.Popen[bytes]], logs: dict[str, Path]) -> None:
    """Raise the error of a process that failed, with its own words and exit code."""
    for name, process in running.items():
        if process.poll():
            lines = logs[name].read_text(encoding="utf-8", errors="replace").strip().splitlines()
            error = ClariError(lines[-1] if lines else f"clari-{name} failed without a word; run it by hand to see why")
            error.exit_code = process.returncode if 0 < process.returncode < 126 else ClariError.exit_code
            raise error


def mouth_to_ear_s(tx: dict[str, Any], rx: dict[str, Any]) -> float:
    """Delay from a sample entering the sender to the same sample leaving the receiver, when playout began."""
    spoken_s = (rx["first_frame"] * SAMPLES_PER_FRAME - rx["shift_samples"]) / SAMPLE_RATE_HZ
    return float(rx["first_frame_s"] - tx["first_sample_s"] - spoken_s)


def align(original: Pcm, received: Pcm, rx: dict[str, Any]) -> tuple[Pcm, Pcm]:
    """Cut original and received samples to the stretch that both hold, sample beside sample."""
    start = rx["first_frame"] * SAMPLES_PER_FRAME - rx["shift_samples"]
    received = received[max(0, -start) :]
    original = original[max(0, start) :]
    length = min(len(original), len(received))
    return original[:length], received[:length]


def table(tx: dict[str, Any], channel: dict[str, Any], rx: dict[str, Any], stoi: float, speed: float) -> str:
    """The result, one line per figure."""
    in_channel = channel["packets"]["lost"] + channel["packets"]["queue_dropped"]
    rows = [
        ("profile", f"{tx['profile']}, protection {tx['protection']}, {tx['nominal_bps']:.0f} bps nominal"),
        ("speech", f"{tx['speech_s']:.2f} s"),
        ("on air", f"{tx['on_air_bps']:.1f} bps ({tx['on_air_bytes']} bytes, codes alone {tx['code_bps']:.0f} bps)"),
        ("packets sent", str(tx["packets"])),
        ("packets lost", f"{in_channel} in the channel, {rx['rejected_packets']} damaged beyond repair, {rx['late_packets']} late"),
        (
            "packets repaired",
            f"{rx['repaired_packets']} ({rx['corrected_bytes']} bytes), {rx['restored_packets']} restored from others",
        ),
        ("frames concealed", f"{rx['concealed_frames']} of {rx['frames']} ({rx['concealed_share']:.1%})"),
        ("mouth-to-ear delay", f"{mouth_to_ear_s(tx, rx):.2f} s at the start, {rx['added_delay_s']:.2f} s added by late packets"),
        (
            "clock",
            "real time" if speed == 1 else f"{speed:g} times as fast: waiting for a processor counts {speed:g} times in the delay",
        ),
        ("real-time factor", f"encoder {tx['real_time_factor']:.3f}, decoder {rx['real_time_factor']:.3f}"),
        ("STOI", f"{stoi:.3f}"),
    ]
    return "\n".join(f"{name:<20}{value}" for name, value in rows)


def main(argv: list[str] | None = None) -> int:
    def command() -> int:
        args = parse_options(build_parser(), argv)
        try:
            import matplotlib  # noqa: F401
            from pystoi import stoi
        except ImportError:
            raise UsageError(MISSING_UI) from None
        find_profile(args.profile)
        protection_of(args)
        original = np.concatenate(list(read_file(args.input, warn=False)))
        if len(original) / SAMPLE_RATE_HZ > LONGEST_S:
            raise UsageError(f"{args.input} is longer than {LONGEST_S / 60:.0f} minutes; give a shorter clip")
        folder = Path(args.out)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot make {folder}: {(error.strerror or 'error').lower()}; choose another --out") from None
        speed = 1.0 if args.realtime else args.speed
        stats = run_processes(args, folder, speed)
        tx, channel, rx = stats["tx"], stats["channel"], stats["rx"]
        check_pace(tx, channel, rx)
        heard = np.concatenate(list(read_file(str(folder / "received.wav"))))
        sent, received = align(original, heard, rx)
        quality = float(stoi(sent, received, SAMPLE_RATE_HZ)) if len(sent) > 10 * SAMPLE_RATE_HZ * FRAME_S else 0.0
        print(table(tx, channel, rx, quality, speed))
        lost = max(0, tx["packets"] - rx["received_packets"] + rx["rejected_packets"] + rx["duplicate_packets"])
        draw(folder / "demo.png", sent, received, tx["packets"], lost, rx["repaired_packets"])
        print(f"{folder / 'received.wav'} and {folder / 'demo.png'} written", file=sys.stderr)
        return 0

    return run_command("clari-demo", command)


if __name__ == "__main__":
    raise SystemExit(main())
