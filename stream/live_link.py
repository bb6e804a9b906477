"""Sender, channel and receiver as three processes between the virtual microphone and loudspeaker of a sound server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from stream.demo import free_ports
from stream.errors import ClariError
from stream.frame import SAMPLE_RATE_HZ, Pcm
from stream.process import processor_s, resident_mb
from stream.sound_server import SoundServer
from stream.wav_stream import to_int16

READY = {"rx": "listening", "channel": "", "tx": "bps on air"}  # what a process says once it is ready
END_S = 60.0


class LiveLink:
    """Three processes that run until they are finished."""

    def __init__(self, server: SoundServer, folder: Path, tx: list[str], rx: list[str], channel: list[str] | None = None):
        """Start them, receiver first, each once the one before is ready. `tx`, `rx`, `channel`: further options.

        Raises:
            ClariError: one of them failed, in its own words.
        """
        self._folder = folder
        self.lines: dict[str, list[str]] = {name: [] for name in READY}  # what they said
        self.processes: dict[str, subprocess.Popen[str]] = {}
        air, ground = (f"tcp://127.0.0.1:{port}" for port in free_ports(2))
        speed = f"--speed={server.rate_hz / SAMPLE_RATE_HZ}"
        hertz = f"--open-hz={server.rate_hz}"
        commands = {
            "rx": ["stream.rx", "--bind", ground, "--speaker", "-d", "pulse", f"--stats={folder / 'rx.json'}", hertz, speed, *rx],
            "channel": ["channel.relay", "--bind", air, "--connect", ground, speed, *(channel or ["--seed", "1"])],
            "tx": ["stream.tx", "--mic", "-d", "pulse", "--connect", air, f"--stats={folder / 'tx.json'}", hertz, *tx],
        }
        try:
            for name, command in commands.items():
                started = subprocess.Popen(
                    [sys.executable, "-m", *command],
                    env=server.environment,
                    stderr=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    text=True,
                )
                assert started.stderr is not None
                self.processes[name] = started
                while READY[name]:
                    line = started.stderr.readline()
                    self.lines[name].append(line.rstrip())
                    if not line:
                        raise ClariError(" ".join(self.lines[name]).strip() or f"clari-{name} ended without a word")
                    if READY[name] in line:
                        break
                threading.Thread(target=self._follow, args=(name, started.stderr), daemon=True).start()
        except BaseException:
            self.kill()
            raise

    def _follow(self, name: str, stderr: IO[str]) -> None:
        for line in stderr:  # one by one: whoever waits for a line reads the list meanwhile
            self.lines[name].append(line.rstrip())

    def resident_mb(self, name: str) -> float:
        """Memory that a process holds now."""
        return resident_mb(self.processes[name].pid)

    def processor_s(self, name: str) -> float:
        """Processor time that a process has taken."""
        return processor_s(self.processes[name].pid)

    def finish(self) -> dict[str, dict[str, Any]]:
        """End them as Ctrl-C does, the sender first; returns the statistics of `tx` and `rx`.

        Raises:
            ClariError: one of them failed.
        """
        try:
            for name in ("tx", "channel", "rx"):
                self.processes[name].send_signal(signal.SIGINT)
                self.processes[name].wait(timeout=END_S)
            for name in ("tx", "rx"):
                if self.processes[name].returncode:
                    raise ClariError(self.lines[name][-1])
        finally:
            self.kill()
        return {name: json.loads((self._folder / f"{name}.json").read_text()) for name in ("tx", "rx")}

    def kill(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


def feed(process: subprocess.Popen[bytes], blocks: Iterator[Pcm]) -> None:
    """Hand samples to a process that plays them, from a thread of its own, until either ends."""

    def write() -> None:
        assert process.stdin is not None
        try:
            for pcm in blocks:
                process.stdin.write(to_int16(pcm))
            process.stdin.close()
        except BrokenPipeError:
            pass

    threading.Thread(target=write, daemon=True).start()


def recorded(process: subprocess.Popen[bytes], seconds: float) -> Pcm:
    """The next samples [N, 2] of a recording: what was spoken, what was heard. Shorter if the process ends."""
    assert process.stdout is not None
    data = process.stdout.read(round(seconds * SAMPLE_RATE_HZ) * 4)
    samples: Pcm = np.frombuffer(data[: len(data) // 4 * 4], "<i2").reshape(-1, 2).astype(np.float32) / np.float32(32768)
    return samples
