"""clari-rx: packets in, speech out."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable

from stream.audio_options import add_device
from stream.clock import Clock
from stream.config import give_way, parse_options
from stream.endpoint import LOCAL, reachable
from stream.engine import load_decoder, model_names
from stream.errors import UsageError, run_command
from stream.frame import SAMPLE_RATE_HZ
from stream.job import Job, Part
from stream.keys import HeardFile, read_key
from stream.level import LevelMeter
from stream.link import ZmqLink, open_packets
from stream.options import (
    SPEED,
    Stop,
    add_protection,
    add_security,
    check_security,
    check_writable,
    command_parser,
    number,
    protection_of,
    write_json,
)
from stream.output import OnTime, Tap, open_output, paced, trouble
from stream.packet import Framing
from stream.playback import play_packets
from stream.playout_clock import LONGEST_DELAY_S, SHORTEST_DELAY_S
from stream.profile import PROFILES, find_profile
from stream.receiver import Receiver, receive
from stream.recording import Recording
from stream.report import Face, Reporter, add_reporting, open_faces, open_monitor
from stream.seal import TAG_BYTES, Opener
from stream.sinks import check_output
from stream.speaker import Speaker
from stream.tone import tone
from stream.trace import Trace
from stream.view import ReceiverView

READ_BYTES = 4096
TONE_S = 2.0

DESCRIPTION = """Receive packets, repair and conceal what the link did to them, and play the speech.

examples:
  clari-rx --bind tcp://127.0.0.1:5555 --speaker         listen
  clari-rx --bind tcp://127.0.0.1:5555 --out heard.wav   record until Ctrl-C
  clari-rx --in air.bin --out heard.wav                  decode packets that clari-tx --out wrote"""


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("clari-rx", DESCRIPTION)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--bind", metavar="ENDPOINT", nargs="?", const=LOCAL, help=f"ZeroMQ endpoint to receive at; {LOCAL} unless one is given"
    )
    source.add_argument("--in", dest="input", metavar="FILE", help="read packets from a file; - is stdin")
    source.add_argument(
        "--tone", metavar="HZ", type=number(20, 7900), nargs="?", const=1000.0, help="play a test tone for two seconds"
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--speaker", action="store_true", help="play on a speaker")
    target.add_argument("--out", metavar="FILE", help="write WAV or FLAC; - writes WAV to stdout")
    target.add_argument("--null", action="store_true", help="decode and count, but keep nothing")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite --out")
    parser.add_argument("--raw", action="store_true", help="stdout gets raw signed 16-bit little-endian mono samples at 16 kHz")
    parser.add_argument("-m", "--model", default="base", help=f"shipped model ({', '.join(model_names()) or 'none'}), or a folder")
    parser.add_argument(
        "-p", "--profile", help=f"packet size of --in, if it cannot be told from the packets: {', '.join(PROFILES)}"
    )
    add_protection(parser)
    add_security(parser)
    add_device(parser, "speaker")
    parser.add_argument(
        "--delay-ms",
        type=number(0, 10_000),
        default=SHORTEST_DELAY_S * 1000,
        help="playout delay after the first packet, besides what --repair or --repeat needs; more survives more jitter",
    )
    parser.add_argument(
        "--max-delay-ms",
        type=number(0, 10_000),
        default=LONGEST_DELAY_S * 1000,
        help="the longest delay that jitter can ask for; not more than --delay-ms: the delay never changes",
    )
    parser.add_argument("--record-trace", metavar="FILE", help="write what the link did to each packet as CSV")
    parser.add_argument(
        "--idle-exit-s",
        type=number(0, 1e9),
        default=0.0,
        help="end after so long without packets or speech, once a packet came; 0: never",
    )
    parser.add_argument("--speed", type=SPEED, default=1.0, help="clock factor, the same as the sender's")
    parser.add_argument("--stats", metavar="FILE", help="write a JSON summary at the end; - is stdout")
    add_reporting(parser)
    parser.add_argument("--web", type=int, metavar="PORT", help="show the link in a browser, which can listen; needs the extra web")
    parser.add_argument(
        "--web-host", metavar="ADDRESS", default="127.0.0.1", help="address of --web; 0.0.0.0: for other machines too"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    def command() -> int:
        args = parse_options(build_parser(), argv)
        give_way(args, "input", "web", "curve")
        if args.list_devices:
            from stream.devices import list_devices

            print(list_devices())
            return 0
        if not (args.bind or args.input or args.tone):
            raise UsageError("nothing to receive; add --bind ENDPOINT or --in FILE")
        if not (args.speaker or args.out or args.null):
            raise UsageError("nowhere to play; add --speaker, --out FILE or --null")
        if [args.stats, args.stats_json, args.out].count("-") > 1:
            raise UsageError("samples and statistics cannot share stdout; write --stats and --stats-json to files")
        if args.web is not None and not args.bind:
            raise UsageError("--web shows a link while it runs; add --bind ENDPOINT")
        if args.record_trace == "-":
            raise UsageError("--record-trace is written while speech is heard; give it a file, not stdout")
        check_security(args, bool(args.bind))
        check_writable(args.stats)
        check_writable(args.stats_json)
        check_writable(args.record_trace)
        return play_tone(args) if args.tone else listen(args)

    return run_command("clari-rx", command)


def play_tone(args: argparse.Namespace) -> int:
    """Play the test tone and end."""
    if args.out:
        check_output(args.out, args.force)
    sink, stop = open_output(args, notifier(args)), Stop()
    out = OnTime(sink, Clock())
    try:
        for pcm in tone(args.tone, TONE_S, stop):
            out.write(pcm)
    finally:
        sink.close()
    return 130 if stop.requested else 0


def open_seal(args: argparse.Namespace) -> Opener | None:
    """What opens sealed packets, or None without --key-file. Only what was heard live stays known: a file may be played again."""
    if not args.key_file:
        return None
    key, heard = read_key(args.key_file), HeardFile(args.key_file, show)
    return Opener(key, args.tag_bytes or TAG_BYTES[0], *((heard.load(), heard.keep) if args.bind else ()))


def show(line: str) -> None:
    """News of the link and its devices, a line each."""
    print(f"clari-rx: {line}", file=sys.stderr, flush=True)


def notifier(args: argparse.Namespace) -> Callable[[str], None]:
    """What becomes of news: with --quiet nothing; --stats still tells of stations and texts."""
    return (lambda line: None) if args.quiet else show


def listen(args: argparse.Namespace) -> int:
    """Build the pieces, run the loop, report."""
    notify = notifier(args)
    if args.out:
        check_output(args.out, args.force)
    profile = find_profile(args.profile) if args.profile else None
    protection = protection_of(args)
    opener = open_seal(args)
    curve_key = read_key(args.curve) if args.curve else None
    stop = Stop()
    packets = open_packets(args.input) if args.input else None
    decoder = load_decoder(args.model)
    framing = Framing(decoder.meta.decoder_id, protection, opener)
    trace = Trace(args.record_trace, framing.sequence_count, protection.block, show) if args.record_trace else None
    receiver = Receiver(decoder, args.delay_ms / 1000, framing, notify, args.max_delay_ms / 1000, trace)
    link = ZmqLink.receiver(args.bind, curve_key=curve_key) if args.bind else None
    recording = Recording(args.record, "heard", show) if args.record else None
    monitor = open_monitor(args)
    sink = open_output(args, notify)
    receiver.keep_pauses = not (args.speaker and link)
    if link and not args.quiet:
        open_to = (
            ", open to anybody who reaches it: add --curve or --key-file"
            if reachable(args.bind) and not (curve_key or opener)
            else ""
        )
        print(f"clari-rx: listening at {args.bind}, model {decoder.meta.name}{open_to}", file=sys.stderr, flush=True)
    if monitor and not args.quiet:
        print(f"clari-rx: monitor at {monitor.url}{monitor.warning}", file=sys.stderr, flush=True)
    meter = LevelMeter()
    view = ReceiverView(receiver, meter, decoder.meta.name, decoder.meta.shift_samples / SAMPLE_RATE_HZ, sink)
    faces: list[Face] = [*open_faces(args, live=bool(link)), *([monitor] if monitor else [])]
    out = paced(sink) if link or not args.speaker else OnTime(paced(sink), Clock())
    ear = Tap(out, [*([recording.write] if recording else []), meter.add, *([monitor.hear] if monitor else [])])
    with contextlib.ExitStack() as stack:  # each of them is closed, also where another one fails
        for each in (link, trace, recording, sink):
            if each:
                stack.callback(each.close)
        stack.callback(Job([face for face in faces if isinstance(face, Part)]).close)
        if link:
            with Reporter(view.look, faces):
                receive(receiver, link, ear, Clock(args.speed), args.idle_exit_s, stop)
                if not args.speaker:  # what has arrived belongs into the file
                    for pcm in receiver.rest():
                        ear.write(pcm)
        else:
            assert packets is not None
            file = packets

            def read() -> bytes:
                return stop.next(lambda: file.read1(READ_BYTES), b"")

            with Reporter(view.look, faces):
                play_packets(receiver, read, ear, profile, stop)
    stats = receiver.stats
    news: dict[str, object] = {"station": receiver.mailbox.station, "texts": receiver.mailbox.texts}
    troubles = sink.trouble if isinstance(sink, Speaker) else {}
    write_json(
        args.stats, {"model": decoder.meta.name, "shift_samples": decoder.meta.shift_samples, **news, **troubles, **stats.as_dict()}
    )
    if not args.quiet:
        sealed = f"{stats.forged_packets} forged, {stats.replayed_packets} replayed, " if opener else ""
        print(
            f"clari-rx: {stats.received_packets} packets, {stats.repaired_packets} repaired ({stats.corrected_bytes} bytes), "
            f"{stats.restored_packets} restored, "
            f"{stats.rejected_packets} rejected, {sealed}{stats.late_packets} late, {stats.duplicate_packets} duplicate, "
            f"{stats.other_packets} of another stream; {stats.frames} frames, {stats.concealed_share:.1%} concealed, "
            f"{f'{stats.skipped_frames} left out as too old, ' if stats.skipped_frames else ''}"
            f"delay {1000 * stats.playout_delay_s:.0f} ms, decoder real-time factor {stats.real_time_factor:.3f}{trouble(sink)}",
            file=sys.stderr,
        )
    return 130 if args.input and stop.requested else 0


if __name__ == "__main__":
    raise SystemExit(main())
