"""kill -9 and a new start of sender, channel and receiver in every order, over real sockets: `python -m channel.faults`.

Three processes with the real loops, sockets and relay, and the stand-in for the codec that numbers frames
(`stream/ruler.py`): each logs, a line at a time, which frame it spoke or heard when. So it is known to the frame what was
lost, and to the slot when speech resumed. The processes are forked from a server that has imported everything, so that
what is measured is the link and not the start of Python.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from channel.frame_log import HeardLog, Log, waited_s
from channel.relay import main as relay_main
from stream.clock import Clock
from stream.config import without_settings
from stream.demo import free_ports
from stream.errors import ClariError, run_command
from stream.frame import FRAME_S, SAMPLES_PER_FRAME, Pcm
from stream.link import ZmqLink
from stream.options import command_parser, number, write_json
from stream.packet import Framing
from stream.profile import PROFILES, Profile, find_profile
from stream.receiver import Receiver, receive
from stream.ruler import DECODER_ID, RulerDecoder, RulerEncoder
from stream.sender import Sender, send

NAME = "channel.faults"
PARTS = ("sender", "channel", "receiver")
ORDERS = tuple(order for count in (1, 2, 3) for order in itertools.permutations(PARTS, count))  # 15
DELAY_S = 0.2  # of playout
LINK_DELAY_S = 0.1
GENERATION_FRAMES = 4096  # numbers that one life of the sender has to itself: 5 minutes
LIVES = 16
POLL_S = 0.05
PATIENCE_S = 60.0  # of the wall, before something counts as hanging


@dataclass(frozen=True)
class Fault:
    """What one round of killing and starting cost."""

    order: tuple[str, ...]  # in which the parts were killed, and started again
    down_s: float  # from the first death to the last start
    resumed_s: float  # from the last start to the first frame heard that was spoken after the first death
    live_s: float  # from the last start to the first frame heard that was spoken after it
    lost_frames: int  # of those spoken from then on
    heard_frames: int
    waited_s: float  # of resumed_s and live_s: how long the new processes, added up, waited for a processor
    stalled_s: float  # by how much the machine held up the processes at worst


def run_sender(endpoint: str, profile: str, life: int, path: str) -> None:
    """Speak for ever; the frames of this life count from life * GENERATION_FRAMES."""
    log, first = Log(path), life % LIVES * GENERATION_FRAMES
    encoder = RulerEncoder(first)
    sender = Sender(encoder, find_profile(profile), life, Framing(DECODER_ID))
    link = ZmqLink.sender(endpoint)

    def source() -> Iterator[Pcm]:
        for frame in itertools.count(first):
            yield np.zeros(SAMPLES_PER_FRAME, np.float32)
            log.note(frame)  # asked for the next one: this one is spoken and encoded

    send(sender, source(), link, Clock())


def run_channel(inlet: str, outlet: str) -> None:
    """The command, as it is."""
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the life of the process
    settings = without_settings()
    os.environ.clear()
    os.environ.update(settings)
    sys.exit(relay_main(["--bind", inlet, "--connect", outlet, f"--delay-s={LINK_DELAY_S}"]))


def run_receiver(endpoint: str, path: str) -> None:
    """Listen for ever."""
    receiver = Receiver(RulerDecoder(), DELAY_S, Framing(DECODER_ID))
    receive(receiver, ZmqLink.receiver(endpoint), HeardLog(Log(path)), Clock(), 0.0, lambda: False)


class Link:
    """The three processes, and what they logged."""

    def __init__(self, profile: Profile, folder: str):
        self.spoken_log, self.heard_log = f"{folder}/spoken", f"{folder}/heard"
        self._air, self._ground = (f"tcp://127.0.0.1:{port}" for port in free_ports(2))
        self._profile = profile
        self._lives = 0
        self.stalled_s = 0.0
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["channel.relay", "stream.receiver", "stream.ruler", "stream.sender"])
        self._running: dict[str, BaseProcess] = {}

    def start(self, part: str) -> None:
        targets: dict[str, tuple[Callable[..., None], tuple[Any, ...]]] = {
            "sender": (run_sender, (self._air, self._profile.name, self._lives, self.spoken_log)),
            "channel": (run_channel, (self._air, self._ground)),
            "receiver": (run_receiver, (self._ground, self.heard_log)),
        }
        self._lives += part == "sender"
        target, args = targets[part]
        process = self._context.Process(target=target, args=args, daemon=True)
        process.start()
        self._running[part] = process

    def kill(self, part: str) -> None:
        """SIGKILL: no handler, no farewell."""
        self._running[part].kill()
        self._running[part].join()

    def close(self) -> None:
        for part in self._running:
            self.kill(part)

    def wait_for_speech(self, spoken_s: float, heard_s: float = 0.0) -> float:
        """Wait until a frame is heard after `heard_s` that was spoken after `spoken_s`; returns when it was heard.

        Raises:
            ClariError: a process has ended by itself, or nothing is heard for a minute.
        """
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            spoken = {event.frame: event.time_s for event in Log.read(self.spoken_log)}
            for event in Log.read(self.heard_log):
                if event.time_s > heard_s and spoken.get(event.frame, 0.0) > spoken_s:
                    return event.time_s
            for part, process in self._running.items():
                if not process.is_alive():
                    raise ClariError(f"the {part} ended by itself")
            self.sleep(POLL_S)
        raise ClariError(f"nothing was heard for {PATIENCE_S:.0f} s")

    def waited_s(self, parts: Sequence[str]) -> float:
        """How long these processes have waited for a processor since they were started."""
        return sum(waited_s(self._running[part].pid or 0) for part in parts)

    def sleep(self, seconds: float) -> None:
        """Sleep, and note by how much longer it was."""
        began_s = time.monotonic()
        time.sleep(seconds)
        self.stalled_s = max(self.stalled_s, time.monotonic() - began_s - seconds)


def faults(profile: Profile, orders: Sequence[tuple[str, ...]], pause_s: float, calm_s: float) -> Iterator[Fault]:
    """Kill and start the parts in each of the orders, with `pause_s` between two deaths and two starts.

    calm_s: how long the link is left alone, once speech has resumed, to see whether anything is lost.

    Raises:
        ClariError: speech does not come back, or a process ends by itself.
    """
    with tempfile.TemporaryDirectory() as folder:
        link = Link(profile, folder)
        try:
            for part in PARTS[::-1]:
                link.start(part)
            link.wait_for_speech(0.0)
            for order in orders:
                link.stalled_s = 0.0
                died_s = time.monotonic()
                for part in order:
                    link.kill(part)
                    link.sleep(pause_s)
                for part in order:
                    began_s = time.monotonic()
                    link.start(part)
                    link.sleep(pause_s)
                resumed_s, live_s = link.wait_for_speech(died_s, began_s), link.wait_for_speech(began_s)
                new_waited_s = link.waited_s(order)
                link.sleep(calm_s)
                calm_until_s = time.monotonic()
                link.wait_for_speech(calm_until_s)  # by then all that was spoken before has been heard, or never will be
                heard = {event.frame for event in Log.read(link.heard_log)}
                spoken = [event for event in Log.read(link.spoken_log) if event.time_s > live_s]
                calm = {event.frame for event in spoken if event.time_s < calm_until_s - FRAME_S}
                gaps_s = [after.time_s - before.time_s - FRAME_S for before, after in itertools.pairwise(spoken)]
                stalled_s = max(link.stalled_s, *gaps_s, 0.0)
                times_s = began_s - died_s, resumed_s - began_s, live_s - began_s
                yield Fault(order, *times_s, len(calm - heard), len(calm & heard), new_waited_s, stalled_s)
        finally:
            link.close()


def main(argv: list[str] | None = None) -> int:
    def command() -> int:
        parser = command_parser(f"python -m {NAME}", "kill -9 and restart of sender, channel and receiver, in every order.")
        parser.add_argument("-p", "--profile", default="standard", help=f"packet size: {', '.join(PROFILES)}")
        parser.add_argument("--pause-s", type=number(0, 60), default=0.2, help="between two deaths, and between two starts")
        parser.add_argument("--calm-s", type=number(0.5, 600), default=3.0, help="how long to look for losses after each")
        parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON; - is stdout")
        args: argparse.Namespace = parser.parse_args(argv)
        rows = []
        if args.json != "-":
            titles = ("down s", "speech s", "live s", "heard", "lost", "waited s", "stalled s")
            print(f"{'killed and started':<28}" + "".join(f"{title:>10}" for title in titles))
        for fault in faults(find_profile(args.profile), ORDERS, args.pause_s, args.calm_s):
            rows.append(asdict(fault))
            if args.json != "-":
                times_s = "".join(f"{each:>10.2f}" for each in (fault.down_s, fault.resumed_s, fault.live_s))
                counts = f"{fault.heard_frames:>10}{fault.lost_frames:>10}"
                held_s = f"{fault.waited_s:>10.2f}{fault.stalled_s:>10.2f}"
                print(f"{', '.join(fault.order):<28}{times_s}{counts}{held_s}", flush=True)
        write_json(args.json, {"schema_version": 1, "profile": args.profile, "faults": rows})
        return 0

    return run_command(NAME, command)


if __name__ == "__main__":
    sys.exit(main())
