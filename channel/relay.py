r"""`clari-channel`: a simulated link as a process between sender and receiver.

Over sockets, on the wall clock (packets come in at --bind and go out to --connect):

    clari-channel --bind tcp://127.0.0.1:5555 --connect tcp://127.0.0.1:5556 --preset satellite-geo --seed 1

In a pipe of packets of one size, in virtual time and as fast as possible:

    clari-tx --in a.wav --out - --profile narrow \
        | clari-channel --in - --out - --packet-bytes 32 --packet-s 0.96 --preset hf | clari-rx --in - --out b.wav

Both directions of one half-duplex link, each with its own pair of endpoints:

    clari-channel --preset acoustic-400 --bind tcp://127.0.0.1:5555 --connect tcp://127.0.0.1:5556 \
        --return-bind tcp://127.0.0.1:5557 --return-connect tcp://127.0.0.1:5558
"""

from __future__ import annotations

import argparse
import math
import sys
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import asdict, replace
from typing import BinaryIO

from channel.named import acoustic_delay_s
from channel.presets import preset, preset_table
from channel.pump import relay_sockets, relay_stream
from channel.simulator import ChannelConfig, Simulator, two_way
from channel.trace import Trace, read_trace
from channel.transit import Transit
from stream.clock import Clock
from stream.config import give_way, parse_options
from stream.errors import FileError, UsageError, run_command
from stream.keys import read_key
from stream.link import LARGEST_PACKET_BYTES, PacketFile, PacketSink, ZmqLink, open_packets
from stream.options import SPEED, check_writable, command_parser, number, write_json

NAME = "clari-channel"
DESCRIPTION = """Simulate a narrow, bad link between clari-tx and clari-rx. SIGINT and SIGTERM are its normal end.

examples:
  clari-channel --bind tcp://127.0.0.1:5555 --connect tcp://127.0.0.1:5556 --preset satellite-geo --seed 1
  clari-channel --in air.bin --out heard.bin --packet-bytes 26 --packet-s 0.64 --loss 0.1
  clari-channel --trace sea.csv --delay-s 1.0"""
REPORT_SCHEMA_VERSION = 1
BIND = "tcp://127.0.0.1:5555"
CONNECT = "tcp://127.0.0.1:5556"
DRAIN_S = 1.0  # at the end, for the receiver to take what has arrived
OPTIONS = {  # that set a value of the configuration: errors name what was typed
    "delay_s": "--delay-s",
    "jitter_s": "--jitter-s",
    "loss_rate": "--loss",
    "mean_burst_s": "--burst-s",
    "ber": "--ber",
    "duplicate_rate": "--duplicate",
    "bit_rate_bps": "--bit-rate",
}
Lane = tuple[Simulator, Transit, PacketSink]  # one direction and where it leads


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_parser(NAME, DESCRIPTION)
    named = parser.add_mutually_exclusive_group()
    named.add_argument("--preset", default="clean", help="named link")
    named.add_argument("--trace", metavar="FILE", help="recorded link: losses, bit errors and delays of a CSV, over and over")
    parser.add_argument("--list-presets", action="store_true", help="print the named links and exit")
    parser.add_argument("--seed", type=int, default=0, help="the same seed and the same packets give the same damage")
    link = parser.add_argument_group("link", "each replaces one value of the preset; fading and outages stay")
    link.add_argument("--bit-rate", type=float, metavar="BPS", help="bit rate; 0: no limit")
    link.add_argument("--delay-s", type=float, metavar="S", help="propagation delay")
    link.add_argument("--range-m", type=float, metavar="M", help="instead of --delay-s: metres of sea, at 1500 m/s")
    link.add_argument("--jitter-s", type=float, metavar="S", help="mean extra delay")
    link.add_argument("--loss", type=float, metavar="SHARE", help="share of packets lost, 0 to 1")
    link.add_argument("--burst-s", type=float, metavar="S", help="mean duration of a bad period; 0: independent losses")
    link.add_argument("--ber", type=float, metavar="SHARE", help="bit errors per bit, 0 to 0.5")
    link.add_argument("--duplicate", type=float, metavar="SHARE", help="share of packets that arrive twice, 0 to 1")
    sockets = parser.add_argument_group("sockets")
    sockets.add_argument("--bind", metavar="ENDPOINT", help=f"where clari-tx connects to (default: {BIND})")
    sockets.add_argument("--connect", metavar="ENDPOINT", help=f"where clari-rx is bound (default: {CONNECT})")
    sockets.add_argument("--return-bind", metavar="ENDPOINT", help="of the other direction, which shares the link")
    sockets.add_argument("--return-connect", metavar="ENDPOINT", help="of the other direction")
    sockets.add_argument("--curve", metavar="FILE", help="encrypt every hop with this key of clari-keygen; at all ends")
    sockets.add_argument("--speed", type=SPEED, default=1.0, help="clock factor; give all processes the same")
    sockets.add_argument(
        "--idle-exit-s", type=number(0, 1e9), default=0.0, metavar="S", help="end after S s of no packets, once one came; 0: never"
    )
    pipe = parser.add_argument_group("pipe", "instead of sockets")
    pipe.add_argument("--in", dest="source", metavar="FILE", help="packets back to back; - is stdin")
    pipe.add_argument("--out", dest="sink", metavar="FILE", help="those that arrive; - is stdout")
    pipe.add_argument("-f", "--force", action="store_true", help="overwrite --out")
    pipe.add_argument("--packet-bytes", type=int, metavar="N", help="size of every packet")
    pipe.add_argument("--packet-s", type=float, metavar="S", help="seconds between packets")
    parser.add_argument("-q", "--quiet", action="store_true", help="no summary on stderr")
    parser.add_argument("--report", metavar="FILE", help="write what happened as JSON; - is stdout")
    return parser


def channel_config(args: argparse.Namespace) -> ChannelConfig:
    """The preset's link with the values that the options replace.

    Raises:
        UsageError: no such preset, or a value out of range.
    """
    if args.range_m is not None and not 0 <= args.range_m < math.inf:
        raise UsageError(f"--range-m is {args.range_m:g}; give metres, 0 or more")
    delay_s = args.delay_s if args.range_m is None else acoustic_delay_s(args.range_m)
    named = {"delay_s": delay_s, "jitter_s": args.jitter_s, "loss_rate": args.loss, "mean_burst_s": args.burst_s}
    named |= {"ber": args.ber, "duplicate_rate": args.duplicate}
    try:
        config = preset(args.preset).config
        if delay_s is not None and delay_s >= 0:  # the ends of a short link swing less far: they do not pass through each other
            config = replace(config, delay_swing_s=min(config.delay_swing_s, delay_s))
        config = replace(config, **{name: value for name, value in named.items() if value is not None})
        return config if args.bit_rate is None else replace(config, bit_rate_bps=args.bit_rate or None)
    except ValueError as error:
        field, verb, rest = str(error).partition(" is ")
        raise UsageError(f"{OPTIONS.get(field, field)}{verb}{rest}{_as_share(field, named.get(field))}") from None


def _as_share(field: str, value: float | None) -> str:
    """What was meant, where a percentage was given in place of a share."""
    percentage = field in ("loss_rate", "duplicate_rate") and value is not None and 1 < value <= 100
    return f", like {value / 100:g} for {value:g} %" if percentage and value is not None else ""


def recorded(args: argparse.Namespace) -> Trace | None:
    """The trace to replay, if one was named.

    Raises:
        FileError: it is no trace.
    """
    try:
        return read_trace(args.trace) if args.trace else None
    except ValueError as error:
        raise FileError(str(error)) from None


def check_usage(args: argparse.Namespace) -> None:
    """Raise UsageError for options that are out of range or do not fit together."""
    check_writable(args.report)
    if args.seed < 0:
        raise UsageError(f"--seed is {args.seed}; give 0 or more")
    if args.range_m is not None and args.delay_s is not None:
        raise UsageError("--range-m and --delay-s both tell the delay; give one")
    if (args.return_bind is None) != (args.return_connect is None):
        raise UsageError("the other direction needs both --return-bind and --return-connect")
    pipe = (args.source, args.sink, args.packet_bytes, args.packet_s)
    if all(option is None for option in pipe):
        return
    if any(option is None for option in pipe):
        raise UsageError("a pipe needs all of --in, --out, --packet-bytes and --packet-s")
    if args.curve:
        raise UsageError("--curve secures ZeroMQ endpoints, not a pipe; seal the packets with clari-tx --key-file")
    if args.bind or args.connect or args.return_bind:
        raise UsageError("--bind and --connect are for sockets, --in and --out for a pipe; give one pair")
    if not 1 <= args.packet_bytes <= LARGEST_PACKET_BYTES:
        raise UsageError(f"--packet-bytes is {args.packet_bytes}; give 1 to {LARGEST_PACKET_BYTES}")
    if not (math.isfinite(args.packet_s) and args.packet_s > 0):
        raise UsageError(f"--packet-s is {args.packet_s}; give seconds above 0")
    if args.sink == "-" and args.report == "-":
        raise UsageError("--out and --report cannot both be stdout; give one a file")


def report_fields(args: argparse.Namespace, config: ChannelConfig, lanes: list[Lane]) -> dict[str, object]:
    """What --report writes."""
    first, *others = lanes
    fields: dict[str, object] = {
        "schema_version": REPORT_SCHEMA_VERSION,
        "preset": None if args.trace else args.preset,
        "trace": args.trace,
        "seed": args.seed,
        "config": asdict(config),
        "packets": asdict(first[0].report()),
        "refused": first[1].refused,
        "in_flight": first[1].in_flight,
    }
    if others:
        fields["return_packets"] = asdict(others[0][0].report())
    return fields


def summary(simulator: Simulator, transit: Transit) -> str:
    """What happened, in one line."""
    report = simulator.report()
    return (
        f"{report.offered} packets, {report.lost} lost, {report.queue_dropped} dropped by the queue, "
        f"{report.damaged} damaged ({report.bit_errors} bits), {report.duplicated} duplicated, "
        f"{transit.refused} not taken by the receiver, {transit.in_flight} under way"
    )


def run_channel(args: argparse.Namespace) -> int:
    """Build the link, relay until the end or a signal, tell what happened."""
    check_usage(args)
    config = channel_config(args)
    there, back = two_way(config, args.seed, recorded(args))
    key = read_key(args.curve) if args.curve else None
    with ExitStack() as stack:
        source = stack.enter_context(_open_source(args, key))
        sink = stack.enter_context(
            closing(PacketFile(args.sink, args.force) if args.sink else ZmqLink.sender(args.connect or CONNECT, curve_key=key))
        )
        lanes: list[Lane] = [(there, Transit(there, sink.send), sink)]
        sources = [source]
        if args.return_bind:
            sources.append(stack.enter_context(ZmqLink.receiver(args.return_bind, curve_key=key)))
            answer = stack.enter_context(ZmqLink.sender(args.return_connect, curve_key=key))
            lanes.append((back, Transit(back, answer.send), answer))
        try:
            if isinstance(source, ZmqLink):
                pairs = [(transit, each) for (_, transit, _), each in zip(lanes, sources, strict=True) if isinstance(each, ZmqLink)]
                relay_sockets(pairs, Clock(args.speed), args.idle_exit_s)
            else:
                relay_stream(lanes[0][1], source, args.packet_bytes, args.packet_s)
        except KeyboardInterrupt:
            pass  # the normal end of a process that would run for ever
        for simulator, transit, out in lanes:
            transit.refused += out.drain(DRAIN_S)
            if not args.quiet:
                print(f"{NAME}: {summary(simulator, transit)}", file=sys.stderr)
        write_json(args.report, report_fields(args, config, lanes))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point of `clari-channel`; returns the exit code."""

    def command() -> int:
        args = parse_options(build_parser(), argv)
        give_way(args, "source", "bind", "connect", "return_bind", "return_connect", "curve")
        if args.list_presets:
            print(preset_table())
            return 0
        return run_channel(args)

    return run_command(NAME, command)


def _open_source(args: argparse.Namespace, key: bytes | None) -> AbstractContextManager[ZmqLink | BinaryIO]:
    if args.source:
        packets = open_packets(args.source)
        return nullcontext(packets) if args.source == "-" else packets  # stdin is not ours to close
    return ZmqLink.receiver(args.bind or BIND, curve_key=key)


if __name__ == "__main__":
    sys.exit(main())
