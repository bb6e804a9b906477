"""clari-tx: speech in, packets out."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from stream.audio import READS, read_file, read_pipe
from stream.audio_options import add_device, add_voice, conditioning_of, keying_of
from stream.clock import Clock
from stream.config import give_way, parse_options
from stream.control import check_station
from stream.engine import load_encoder, model_names
from stream.errors import FileError, LinkError, UsageError, run_command
from stream.frame import Pcm
from stream.front import Front
from stream.job import Job, Part
from stream.key_switch import KeySwitch
from stream.keying import Keying, Mode
from stream.keys import EpochFile, read_key
from stream.level import LevelMeter
from stream.link import PacketFile, PacketSink, ZmqLink
from stream.microphone import OVERRUN_CURE, Microphone
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
from stream.packet import Framing
from stream.profile import PROFILES, find_profile
from stream.recording import Recording
from stream.report import Reporter, add_reporting, open_faces
from stream.seal import TAG_BYTES, Sealer
from stream.sender import Sender, send
from stream.tone import tone
from stream.view import SenderView

PLAIN = Framing(decoder_id=0)

DESCRIPTION = """Send speech as packets of a few hundred bits per second.

examples:
  clari-tx --mic --connect tcp://127.0.0.1:5555            speak to a receiver or a channel
  clari-tx --mic --key ptt --connect tcp://127.0.0.1:5555  push to talk: the space bar begins and ends it
  clari-tx --in speech.wav --connect tcp://127.0.0.1:5555  send a file in real time
  clari-tx --in speech.wav --out air.bin --profile narrow  write the packets: the file's size is the air time
  clari-tx --text 'on our way' --station BASE --connect tcp://127.0.0.1:5555
  clari-tx --in speech.wav --out - | clari-rx --in - --out heard.wav"""


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("clari-tx", DESCRIPTION)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--in",
        dest="input",
        metavar="FILE",
        help=f"{READS}, of any rate and channels; - reads WAV from stdin, or raw samples with --raw",
    )
    source.add_argument("--mic", action="store_true", help="record from a microphone")
    source.add_argument(
        "--tone", metavar="HZ", type=number(20, 7900), nargs="?", const=1000.0, help="a test tone; 1000 Hz unless given"
    )
    parser.add_argument("--tone-s", metavar="SECONDS", type=number(0.1, 86_400), default=10.0, help="how long --tone lasts")
    parser.add_argument(
        "--raw", action="store_true", help="the input has no header: signed 16-bit little-endian mono samples at 16 kHz"
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--connect", metavar="ENDPOINT", help="ZeroMQ endpoint of a receiver or channel, like tcp://127.0.0.1:5555")
    target.add_argument("--out", metavar="FILE", help="write packets to a file; - is stdout")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite --out")
    profiles = ", ".join(
        f"{p.name} ({p.packet_s * 1000:.0f} ms, {PLAIN.packet_bytes(p)} bytes, {PLAIN.on_air_bps(p):.0f} bps on air)"
        for p in PROFILES.values()
    )
    parser.add_argument("-p", "--profile", default="standard", help=f"packet size: {profiles}; clari-rate shows it with protection")
    add_protection(parser)
    add_security(parser)
    add_device(parser, "microphone")
    add_voice(parser)
    parser.add_argument(
        "--station", default="", metavar="NAME", help="name of up to 8 characters that receivers are shown; one packet in 64"
    )
    parser.add_argument(
        "--text", action="append", default=[], help="message of up to 120 bytes that receivers are shown; repeatable"
    )
    parser.add_argument("-m", "--model", default="base", help=f"shipped model ({', '.join(model_names()) or 'none'}), or a folder")
    parser.add_argument(
        "--speed", type=SPEED, default=1.0, help="clock factor: 8 sends eight seconds in one, to receivers of the same --speed"
    )
    parser.add_argument("--stats", metavar="FILE", help="write a JSON summary at the end; - is stdout")
    add_reporting(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    def command() -> int:
        args = parse_options(build_parser(), argv)
        give_way(args, "out", "curve")
        if args.list_devices:
            from stream.devices import list_devices

            print(list_devices())
            return 0
        if not (args.input or args.mic or args.tone or args.text):
            raise UsageError("nothing to send; add --mic or --in FILE, --tone or --text TEXT")
        if not (args.connect or args.out):
            raise UsageError("nowhere to send; add --connect ENDPOINT or --out FILE")
        if [args.stats, args.stats_json, args.out].count("-") > 1:
            raise UsageError("packets and statistics cannot share stdout; write --stats and --stats-json to files")
        check_security(args, bool(args.connect))
        check_writable(args.stats)
        check_writable(args.stats_json)
        return transmit(args)

    return run_command("clari-tx", command)


def transmit(args: argparse.Namespace) -> int:
    """Build the pieces, run the loop, report."""
    profile, protection = find_profile(args.profile), protection_of(args)
    key = read_key(args.key_file) if args.key_file else None
    epochs = EpochFile(args.key_file) if key else None
    sealer = Sealer(key, args.tag_bytes or TAG_BYTES[0], epochs.next) if key and epochs else None
    curve_key = read_key(args.curve) if args.curve else None
    stop = Stop()

    def complain(line: str) -> None:
        print(f"clari-tx: {line}", file=sys.stderr, flush=True)

    def notify(line: str) -> None:
        if not args.quiet:
            complain(line)

    front = Front(conditioning_of(args), keying_of(args, notify))
    recording = Recording(args.record, "sent", complain) if args.record else None
    source: Iterable[Pcm]
    microphone = None
    if args.mic:
        encoder = load_encoder(args.model)  # before the device opens: loading holds the interpreter and would drop samples
        microphone = Microphone(args.device, args.latency_ms, notify, args.open_hz)
        source = microphone.blocks(stop)
    elif args.input:
        pipe = sys.stdin.buffer if sys.stdin else None
        blocks = read_pipe(pipe, args.raw) if args.input == "-" else read_file(args.input, raw=args.raw)
        source = until_stopped(blocks, stop)
        first = next(source, None)  # an unreadable file is reported before a model is loaded or a link opened
        if first is None and stop.requested:
            raise KeyboardInterrupt  # before there was anything to tell
        if first is None:
            raise FileError(f"{'stdin' if args.input == '-' else args.input} holds no samples; record again")
        encoder = load_encoder(args.model)
        source = chain([first], source)
    else:
        encoder, source = load_encoder(args.model), tone(args.tone, args.tone_s, stop) if args.tone else ()
    framing = Framing(encoder.meta.decoder_id, protection, sealer)
    station = check_station(args.station) if args.station else ""
    sent = recording.write if recording else None
    sender = Sender(encoder, profile, secrets.randbelow(8), framing, station, front, sent)
    for text in args.text:
        sender.say(text)
    link: PacketSink = ZmqLink.sender(args.connect, curve_key=curve_key) if args.connect else PacketFile(args.out, args.force)
    if not args.quiet:
        print(
            f"clari-tx: {profile.name}, protection {protection}, {framing.on_air_bps(profile):.0f} bps on air, "
            f"model {encoder.meta.name}",
            file=sys.stderr,
            flush=True,
        )
    clock = Clock(args.speed) if args.connect and not args.mic else None
    switch = talk_switch(front.keying, notify) if front.keying.mode is Mode.PTT else None
    meter = LevelMeter()
    view = SenderView(sender, meter, link, encoder.meta.name, lambda: microphone.overruns if microphone else 0)
    faces = open_faces(args, live=bool(args.mic or args.connect))
    job = Job([*([switch] if switch else []), *(face for face in faces if isinstance(face, Part))])
    try:
        with Reporter(view.look, faces):
            send(sender, meter.watch(source), link, clock)
    finally:
        job.close()
        if switch:
            switch.close()
        if recording:
            recording.close()
        link.close()
        if microphone:
            microphone.close()
        if epochs:
            epochs.close()
    stats = sender.stats
    if stats.packets and stats.dropped_packets == stats.packets:
        raise LinkError(
            f"nobody took a packet at {args.connect}; start clari-rx or clari-channel there first, "
            f"{'and with the same --curve' if args.curve else 'and if one runs with --curve, give the same here'}"
        )
    summary = {
        "profile": profile.name,
        "protection": str(protection),
        "nominal_bps": framing.on_air_bps(profile),
        "model": encoder.meta.name,
        **(microphone.trouble if microphone else {}),
        **stats.as_dict(),
    }
    write_json(args.stats, summary)
    if not args.quiet:
        lost = f", {stats.dropped_packets} dropped because nobody took them; start clari-rx first" if stats.dropped_packets else ""
        sent_s = stats.voice_packets * profile.packet_s
        saved_s = stats.silent_packets * profile.packet_s
        saved = f", {saved_s:.1f} s of silence not sent ({stats.saved_share:.0%} of the air time)" if saved_s else ""
        xruns = f", {microphone.overruns} overruns: {OVERRUN_CURE}" if microphone and microphone.overruns else ""
        print(
            f"clari-tx: {stats.speech_s:.2f} s of sound, {min(sent_s, stats.speech_s):.2f} s of speech, "
            f"{stats.packets} packets, {stats.on_air_bytes} bytes, "
            f"{stats.on_air_bps:.1f} bps on air (codes {stats.code_bps:.0f}), "
            f"{stats.repair_packets} repair and {stats.control_packets} control packets among them, "
            f"encoder real-time factor {stats.real_time_factor:.3f}{saved}{lost}{xruns}",
            file=sys.stderr,
        )
        if stats.silent_packets and front.too_quiet:
            complain(front.too_quiet)
    return 130 if stop.requested and not args.mic else 0


def talk_switch(keying: Keying, notify: Callable[[str], None]) -> KeySwitch:
    """The push-to-talk switch of a key; a line tells each change."""

    def toggle() -> None:
        keying.toggle()
        notify(f"{'on' if keying.pressed else 'off'} air")

    switch = KeySwitch(toggle, keying.release)
    notify(f"off air; {switch.how} to talk and to end")
    return switch


def until_stopped(blocks: Iterator[Pcm], stop: Stop) -> Iterator[Pcm]:
    """Blocks until the end or a signal."""
    while (block := stop.next(lambda: next(blocks, None), None)) is not None:
        yield block


if __name__ == "__main__":
    raise SystemExit(main())
