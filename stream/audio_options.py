"""Options of sound: devices and recordings at both ends, conditioning and keying at the sender's."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from stream.devices import LATENCY_MS
from stream.errors import UsageError
from stream.front import Conditioning
from stream.highpass import CUT_OFF_HZ
from stream.keying import Keying, Mode
from stream.options import number


def add_device(parser: argparse.ArgumentParser, what: str) -> None:
    """The options of a sound card, `what` being microphone or speaker, and of recordings."""
    group = parser.add_argument_group("sound")
    group.add_argument("-d", "--device", help=f"{what}: index or part of its name")
    group.add_argument("-l", "--list-devices", action="store_true", help="list audio devices and exit")
    group.add_argument(
        "--latency-ms",
        type=number(1, 1000),
        default=LATENCY_MS,
        help="room between device and program; more survives a busier machine, and delays as much",
    )
    verb = "sent" if what == "microphone" else "heard"
    group.add_argument("--record", metavar="DIR", help=f"also keep what was {verb} as {verb}-DATE-TIME.wav in this folder")
    group.add_argument("--open-hz", type=number(100, 192_000), help=argparse.SUPPRESS)  # a card with a wrong clock


def add_voice(parser: argparse.ArgumentParser) -> None:
    """The options of what happens to speech before it is encoded, and of when it is sent."""
    group = parser.add_argument_group("voice", "A microphone is filtered and levelled unless told otherwise, a file is not.")
    group.add_argument(
        "--key",
        type=Mode,
        choices=tuple(Mode),
        default=Mode.VOX,
        help="when to send: vox, while somebody speaks; open, always; ptt, between two presses of the space bar, or SIGUSR1",
    )
    group.add_argument("--no-vad", dest="key", action="store_const", const=Mode.OPEN, help="the same as --key open")
    group.add_argument(
        "--max-talk-s",
        type=number(0, 86_400),
        default=0.0,
        help="time-out timer: a transmission that lasts so long ends, until the key is released or a second was silent; 0: none",
    )
    group.add_argument(
        "--agc", action=argparse.BooleanOptionalAction, help="automatic gain control and limiter (default: with --mic)"
    )
    group.add_argument(
        "--high-pass-hz", type=number(0, 1000), help=f"take out what is lower; 0: nothing (default: {CUT_OFF_HZ:g} with --mic)"
    )
    group.add_argument("--gate", action="store_true", help="noise gate: turn down what lies between words")


def conditioning_of(args: argparse.Namespace) -> Conditioning:
    """What the options do to the samples."""
    high_pass_hz = args.high_pass_hz if args.high_pass_hz is not None else CUT_OFF_HZ * args.mic
    return Conditioning(high_pass_hz, args.gate, args.mic if args.agc is None else args.agc)


def keying_of(args: argparse.Namespace, notify: Callable[[str], None]) -> Keying:
    """The key that the options choose.

    Raises:
        UsageError: push-to-talk without a microphone.
    """
    if args.key is Mode.PTT and not args.mic:
        raise UsageError("--key ptt switches a microphone; add --mic, or use --key vox")
    return Keying(Mode.OPEN if args.tone is not None else args.key, args.max_talk_s, notify)
