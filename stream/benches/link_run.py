"""Sender and receiver as real processes with a listener between them, who notes every packet and when it passed."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.config import without_settings
from stream.content import Voice
from stream.demo import check_children, free_ports
from stream.errors import ClariError
from stream.link import ZmqLink
from stream.packet import Framing, PacketError
from stream.playout_clock import SHORTEST_DELAY_S
from stream.profile import find_profile
from stream.protection import Protection

START_S = 60.0  # a machine that is slower than that cannot talk live
END_S = 20.0
POLL_S = 0.05


@dataclass(frozen=True)
class Conditions:
    """What both ends are told.

    delay_ms: the receiver's playout delay, without what protection adds.
    preset: a link of clari-channel; empty: none lies between them.
    latency_ms: of audio devices; None: what the commands have by themselves.
    """

    profile: str
    model: str = "base"
    delay_ms: float = SHORTEST_DELAY_S * 1000
    repair: str | None = None
    repeat: int | None = None
    preset: str = ""
    seed: int = 1
    latency_ms: float | None = None

    @property
    def protection(self) -> Protection:
        """Repair packets or repetition. Raises UsageError."""
        return Protection.parse(self.repair, self.repeat)

    @property
    def settling_s(self) -> float:
        """How long after the sender's last packet everything is surely heard."""
        longest_link_s = 5.0 if self.preset else 0.0
        return 1.0 + self.delay_ms / 1000 + self.protection.delay_s(find_profile(self.profile).packet_s) + longest_link_s

    def options(self) -> list[str]:
        """Options that both ends have alike."""
        protection = [f"--{name}={value}" for name, value in (("repair", self.repair), ("repeat", self.repeat)) if value]
        return [f"--model={self.model}", *protection]


class Tap(threading.Thread):
    """Takes every packet at one endpoint and hands it on to another; nothing is changed, times are noted."""

    def __init__(self, bind: str, connect: str):
        super().__init__(daemon=True)
        self.packets: list[tuple[float, bytes]] = []
        self._bind, self._connect = bind, connect
        self._ended = threading.Event()

    def run(self) -> None:
        with ZmqLink.receiver(self._bind) as source, ZmqLink.sender(self._connect) as target:
            while not self._ended.is_set():
                packet = source.receive(POLL_S)
                if packet is not None:
                    self.packets.append((time.monotonic(), packet))
                    target.send(packet)
            target.drain(1.0)

    def end(self) -> None:
        self._ended.set()
        self.join()

    def voices(self, framing: Framing) -> dict[int, tuple[float, NDArray[np.uint8]]]:
        """Sequence number -> (time, codes [frames, 8]) of the voice packets that can be read; numbers do not wrap here."""
        found: dict[int, tuple[float, NDArray[np.uint8]]] = {}
        for when_s, packet in self.packets:
            try:
                content = framing.parse(packet).content
            except PacketError:
                continue
            if isinstance(content, Voice):
                found.setdefault(content.sequence, (when_s, content.codes))
        return found


class LinkRun:
    """The processes of one run: they live inside a `with`, and whoever fails says why.

    `tx` and `rx` are the options of source and sink.
    """

    def __init__(self, conditions: Conditions, tx: Sequence[str], rx: Sequence[str], environment: Mapping[str, str] | None = None):
        self.conditions = conditions
        self._options = {"tx": list(tx), "rx": list(rx)}
        self._environment = environment
        self._piped = "-" in tx  # it ends with its stdin
        self._temporary = tempfile.TemporaryDirectory()
        self._folder = Path(self._temporary.name)
        self._seconds = self._folder / "seconds.jsonl"
        self._logs = {name: self._folder / f"{name}.log" for name in ("tx", "channel", "rx")}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        ports = [f"tcp://127.0.0.1:{port}" for port in free_ports(4 if conditions.preset else 2)]
        self._receiver = ports[-1]
        self.taps = [Tap(*ports[place : place + 2]) for place in range(0, len(ports), 2)]
        self._sender = ports[0]
        self._channel = ports[1:3]

    def __enter__(self) -> LinkRun:
        conditions = self.conditions
        try:
            self._start(
                "rx",
                ["stream.rx", "--bind", self._receiver, f"--delay-ms={conditions.delay_ms}", f"--stats-json={self._seconds}"],
            )
            self.wait_for_words("rx")
            if conditions.preset:
                bind, connect = self._channel
                self._start(
                    "channel",
                    ["channel.relay", "--bind", bind, "--connect", connect, f"--preset={conditions.preset}",
                     f"--seed={conditions.seed}"],
                )  # fmt: skip
            for tap in self.taps:
                tap.start()
            self._start("tx", ["stream.tx", "--connect", self._sender, "--no-vad", f"--profile={conditions.profile}"])
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self, name: str, command: list[str]) -> None:
        command += self._options.get(name, [])
        if name != "channel":
            command += [*self.conditions.options(), f"--stats={self._folder / name}.json"]
        with self._logs[name].open("wb") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.PIPE if name == "tx" else subprocess.DEVNULL,
                stdout=subprocess.PIPE if name == "rx" else subprocess.DEVNULL,
                stderr=log,
                env=self._environment or without_settings(),
            )

    def wait_for_words(self, name: str) -> None:
        """Wait until a process says on stderr that it has begun.

        Raises:
            ClariError: it failed, or said nothing.
        """
        self._wait(lambda: self._logs[name].stat().st_size > 0, f"clari-{name} did not start within {START_S:.0f} s")

    def wait_for_packet(self) -> None:
        """Wait until the sender's first packet passes.

        Raises:
            ClariError: the sender failed, or sent nothing.
        """
        self._wait(lambda: bool(self.taps[0].packets), f"clari-tx sent nothing within {START_S:.0f} s")

    def _wait(self, reached: Callable[[], bool], otherwise: str) -> None:
        deadline_s = time.monotonic() + START_S
        while not reached():
            self.check()
            if time.monotonic() > deadline_s:
                raise ClariError(f"{otherwise}; try it by hand")
            time.sleep(0.01)

    def check(self) -> None:
        """Raise the error of a process that failed."""
        check_children(self.running, self._logs)

    def finish(self) -> dict[str, dict[str, Any]]:
        """End the receiver, then the sender, so that what the sender hurries out at its end moves no clock.

        Returns:
            the statistics of `tx` and `rx`, and among the latter `jitter_delay_s`, the median over the seconds of speech.

        Raises:
            ClariError: a process failed, or no speech was heard for a second.
        """
        self.check()
        for name in ("rx", "channel", "tx"):
            if name in self.running:
                self._end(name)
        self.check()
        for tap in self.taps:
            tap.end()
        stats = {name: json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("tx", "rx")}
        seconds = map(json.loads, self._seconds.read_text(encoding="utf-8").splitlines())
        delays_s = [second["jitter_delay_s"] for second in seconds if second["playing"]]
        if not delays_s:
            raise ClariError("no speech was heard for a second; try again on an idle machine")
        stats["rx"]["jitter_delay_s"] = statistics.median(delays_s)
        return stats

    def _end(self, name: str) -> None:
        process = self.running[name]
        if process.stdin is not None:
            process.stdin.close()
        if name != "tx" or not self._piped:
            process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            raise ClariError(f"clari-{name} did not end within {END_S:.0f} s; try it by hand") from None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()
        for tap in self.taps:
            if tap.is_alive():
                tap.end()
        self._temporary.cleanup()
