r"""Hours of speech through sender, channel and receiver: does the delay or the memory grow? `python -m channel.soak`.

In virtual time, with a stand-in for the codec that numbers frames (`stream/ruler.py`) and everything else as it is:

    python -m channel.soak --hours 24 --ppm 300
    python -m channel.soak --hours 24 --ppm -300 --repair 8+2

On the wall clock, with clari-tx, clari-channel and clari-rx as three processes and the real codec (`channel/wall.py`):

    python -m channel.soak --wall --hours 1 --ppm 300
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from channel.simulator import ChannelConfig, Simulator
from channel.transit import Transit
from channel.wall import wall_soak
from stream.errors import run_command
from stream.frame import FRAME_S, SAMPLES_PER_FRAME, Pcm
from stream.front import Front
from stream.keying import Keying, Mode
from stream.options import SPEED, add_protection, command_parser, number, protection_of, write_json
from stream.packet import Framing
from stream.process import resident_mb
from stream.profile import PROFILES, Profile, find_profile
from stream.protection import Protection
from stream.receiver import Receiver
from stream.ruler import DECODER_ID, NUMBERS, RulerDecoder, RulerEncoder, heard_frame
from stream.sender import Sender

NAME = "channel.soak"
LINK = ChannelConfig(bit_rate_bps=1000.0, delay_s=0.25, jitter_s=0.03, loss_rate=0.05, mean_burst_s=1.5, ber=0.001)
DELAY_S = 0.2
TALK_S, SPURTS_S, SPURT_S, SILENCE_S = 3000.0, 600.0, 7.0, 5.0  # 50 minutes without a pause, then 10 of short talk spurts


@dataclass(frozen=True)
class Row:
    """One stretch of virtual time: delays from mouth to ear, and memory at its end."""

    until_s: float
    heard_frames: int
    concealed_frames: int
    delay_s: float  # mean over the frames heard
    shortest_s: float
    longest_s: float
    resident_mb: float
    objects: int  # that Python's collector knows


def speaks(now_s: float) -> bool:
    """Whether somebody speaks: mostly without a pause, which is the hardest for a playout clock, at times in spurts."""
    within_s = now_s % (TALK_S + SPURTS_S)
    return within_s < TALK_S or (within_s - TALK_S) % (SPURT_S + SILENCE_S) < SPURT_S


def soak(hours: float, ppm: float, profile: Profile, protection: Protection, seed: int, row_s: float = 3600.0) -> Iterator[Row]:
    """Run so many hours of the receiver's clock; a row every `row_s`. The sender's clock is `ppm` faster."""
    framing = Framing(DECODER_ID, protection)
    sender = Sender(RulerEncoder(), profile, 3, framing, front=Front(keying=Keying(Mode.VOX)))
    receiver = Receiver(RulerDecoder(), DELAY_S, framing)
    arrived: list[bytes] = []

    def deliver(packet: bytes) -> int:
        arrived.append(packet)
        return 0

    transit = Transit(Simulator(LINK, seed), deliver)
    spoken_s = 1 / (1 + ppm * 1e-6)  # seconds of the receiver for one of the sender
    loud = np.concatenate([np.full(SAMPLES_PER_FRAME, level, np.float32) for level in (0.1, 0.001)] * (profile.frames // 2))
    silent = np.zeros(profile.frames * SAMPLES_PER_FRAME, np.float32)
    delays_s: list[float] = []
    newest = concealed = packets = 0
    row_end_s = row_s

    def play(until_s: float) -> None:
        nonlocal newest
        while receiver.playout.playing and receiver.playout.next_due_s <= until_s:
            now_s = receiver.playout.next_due_s
            for pcm in receiver.play(now_s):
                newest = note(now_s, pcm, newest)

    def note(now_s: float, pcm: Pcm, newest: int) -> int:
        frame = heard_frame(pcm)
        if frame is None:
            return newest
        frame = newest + (frame - newest + NUMBERS // 2) % NUMBERS - NUMBERS // 2
        delays_s.append(now_s - frame * FRAME_S * spoken_s)
        return max(newest, frame)

    while row_end_s <= hours * 3600 + 1e-6:
        packets += 1
        now_s = packets * profile.packet_s * spoken_s  # the packet's last sample was spoken
        while transit.next_s <= now_s:
            arrival_s = transit.next_s
            play(arrival_s)
            transit.forward(arrival_s)
            for packet in arrived:
                receiver.arrive(arrival_s, packet)
            arrived.clear()
        play(now_s)
        for packet in sender.push(loud if speaks(now_s) else silent):
            transit.accept(now_s, packet)
        if now_s >= row_end_s:
            gc.collect()
            lost = receiver.stats.concealed_frames - concealed
            concealed += lost
            known = np.array(delays_s or [0.0])
            ends = float(known.mean()), float(known.min()), float(known.max())
            yield Row(row_end_s, len(delays_s), lost, *ends, resident_mb(), len(gc.get_objects()))
            delays_s.clear()
            row_end_s += row_s


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser(f"python -m {NAME}", "Hours of speech through sender, channel and receiver: delay and memory.")
    parser.add_argument("--hours", type=number(0.01, 1000), default=24.0, help="of the receiver's clock, or of the wall")
    parser.add_argument("--ppm", type=number(-1000, 1000), default=300.0, help="how much the sender's clock is faster")
    parser.add_argument("--wall", action="store_true", help="three real processes on the wall clock, with the codec")
    parser.add_argument("--speed", type=SPEED, default=1.0, help="of the clocks with --wall; below 1 on a busy machine")
    parser.add_argument("-p", "--profile", default="standard", help=f"packet size: {', '.join(PROFILES)}")
    parser.add_argument("--seed", type=int, default=1, help="of the channel")
    parser.add_argument("--row-s", type=number(10, 1e6), default=3600.0, help="seconds in one line of figures")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON; - is stdout")
    add_protection(parser)
    return parser


def in_virtual_time(args: argparse.Namespace) -> dict[str, Any]:
    """The simulation; prints a line per row."""
    rows = []
    print(
        f"{'hours':>7}{'heard':>8}{'concealed':>11}{'delay s':>9}{'min':>7}{'max':>7}{'resident MB':>13}{'objects':>9}", flush=True
    )
    for row in soak(args.hours, args.ppm, find_profile(args.profile), protection_of(args), args.seed, args.row_s):
        rows.append(asdict(row))
        print(
            f"{row.until_s / 3600:>7.2f}{row.heard_frames:>8}{row.concealed_frames:>11}{row.delay_s:>9.3f}{row.shortest_s:>7.2f}"
            f"{row.longest_s:>7.2f}{row.resident_mb:>13.1f}{row.objects:>9}",
            flush=True,
        )
    return {"rows": rows}


def on_the_wall(args: argparse.Namespace) -> dict[str, Any]:
    """Three processes; prints a line per row."""
    protection = [f"--{name}={value}" for name in ("repair", "repeat") if (value := getattr(args, name)) is not None]
    link = {"bit-rate": LINK.bit_rate_bps, "delay-s": LINK.delay_s, "jitter-s": LINK.jitter_s, "loss": LINK.loss_rate}
    link |= {"burst-s": LINK.mean_burst_s, "ber": LINK.ber, "seed": args.seed}
    channel = [f"--{name}={value}" for name, value in link.items()]
    summary: dict[str, Any] = {}
    rows = []
    print(f"{'minutes':>8}{'delay s':>9}{'likeness':>10}{'tx MB':>8}{'channel MB':>12}{'rx MB':>8}", flush=True)
    for row in wall_soak(args.hours, args.row_s, args.ppm, args.speed, channel, protection, summary):
        rows.append(asdict(row))
        print(
            f"{row.elapsed_s / 60:>8.1f}{row.delay_s:>9.2f}{row.likeness:>10.2f}{row.sender_mb:>8.1f}{row.channel_mb:>12.1f}"
            f"{row.receiver_mb:>8.1f}",
            flush=True,
        )
    rx = summary["rx"]
    print(
        f"{rx['frames']} frames, {rx['concealed_share']:.2%} concealed, {rx['late_packets']} packets late, "
        f"playout delay {rx['playout_delay_s']:.2f} s at the end"
    )
    return {"rows": rows, **summary}


def main(argv: list[str] | None = None) -> int:
    def command() -> int:
        args = build_parser().parse_args(argv)
        write_json(args.json, {"schema_version": 1, **(on_the_wall(args) if args.wall else in_virtual_time(args))})
        return 0

    return run_command(NAME, command)


if __name__ == "__main__":
    sys.exit(main())
