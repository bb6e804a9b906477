r"""What the named links do to packets, and how fast they are simulated: `python -m channel.survey`.

    python -m channel.survey --hours 24 --packet-bytes 32 --packet-s 0.96
    python -m channel.survey hf-poor acoustic-400 --hours 1

One line of Markdown per link: shares of packets dropped by the queue, lost, and damaged; wrong bits per bit that arrived;
mean number of packets in a row that did not arrive; what arrived in bits per second; virtual time over processor time, for
the link alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

from channel.presets import PRESETS, preset
from channel.simulator import ChannelConfig, ChannelReport, Simulator
from stream.errors import UsageError, run_command
from stream.link import LARGEST_PACKET_BYTES
from stream.options import command_parser, number

NAME = "channel.survey"
HEADER = "| preset | dropped % | lost % | missing in a row | damaged % | wrong bits | arrives bps | times real time |"


@dataclass(frozen=True)
class Survey:
    """What became of packets that were sent steadily."""

    report: ChannelReport
    runs: int  # of packets lost or dropped in a row
    virtual_s: float
    processor_s: float

    def row(self, name: str) -> str:
        """One line of the table."""
        report = self.report
        arrived = report.delivered - report.duplicated
        missing = report.lost + report.queue_dropped
        cells = (
            f"`{name}`",
            f"{100 * report.queue_dropped / report.offered:.1f}",
            f"{100 * report.lost / report.offered:.1f}",
            f"{missing / self.runs:.2f}" if self.runs else "-",
            f"{100 * report.damaged / max(1, arrived):.1f}",
            f"{report.bit_errors / max(1, 8 * report.bytes_delivered):.2g}",
            f"{8 * report.bytes_delivered / self.virtual_s:.0f}",
            f"{self.virtual_s / max(self.processor_s, 1e-9):.0f}",
        )
        return f"| {' | '.join(cells)} |"


def survey(config: ChannelConfig, seed: int, packet_bytes: int, packet_s: float, count: int) -> Survey:
    """Send `count` packets of one size, one every `packet_s` seconds of virtual time."""
    simulator = Simulator(config, seed)
    packet = bytes(packet_bytes)
    runs, missing = 0, False
    began_s = time.process_time()
    for k in range(count):
        former, missing = missing, not simulator.offer(k * packet_s, packet)
        runs += missing and not former
    return Survey(simulator.report(), runs, count * packet_s, time.process_time() - began_s)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""

    def command() -> int:
        parser = command_parser(NAME, "Measure the named links.")
        parser.add_argument("presets", nargs="*", metavar="PRESET", help="links; all without any")
        parser.add_argument("--hours", type=number(1e-3, 1e4), default=1.0, metavar="H", help="virtual time")
        parser.add_argument("--packet-bytes", type=int, default=32, metavar="N", help="size of every packet")
        parser.add_argument("--packet-s", type=number(1e-3, 1e4), default=0.96, metavar="S", help="seconds between packets")
        parser.add_argument("--seed", type=int, default=1, help="of every link")
        return run_survey(parser.parse_args(argv))

    return run_command(NAME, command)


def run_survey(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        UsageError: no such preset, or a value out of range.
    """
    if not 1 <= args.packet_bytes <= LARGEST_PACKET_BYTES:
        raise UsageError(f"--packet-bytes is {args.packet_bytes}; give 1 to {LARGEST_PACKET_BYTES}")
    count = max(1, round(3600 * args.hours / args.packet_s))
    try:
        links = [preset(name) for name in args.presets or PRESETS]
        print(f"{HEADER}\n|{'---|' * HEADER.count(' | ')}---|")
        for one in links:
            print(survey(one.config, args.seed, args.packet_bytes, args.packet_s, count).row(one.name), flush=True)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return 0


if __name__ == "__main__":
    sys.exit(main())
