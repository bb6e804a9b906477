"""Damaged sound files and packet files against everything that reads them, a million or as many as there is time for.

A worker process damages and reads one after the other: sound as a file and as a pipe, packets as `clari-rx --in` does. Its own
code may raise nothing but the error that users get as one line, and has five seconds of processor time for each. The
library of sound formats may crash or spin: clari reads foreign formats in a process that it can give up. That is counted, and a
new worker goes on behind it.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stream import audio, foreign_child
from stream.benches.mutants import mutate, packet_seeds, scratch_folder, sound_seeds
from stream.config import without_settings
from stream.errors import ClariError, FileError
from stream.frame import SAMPLE_RATE_HZ, Pcm
from stream.options import number, whole, write_json
from stream.packet import Framing
from stream.playback import play_packets
from stream.protection import Protection
from stream.receiver import Receiver
from stream.ruler import DECODER_ID, RulerDecoder
from stream.sinks import NullSink

HELP = "damaged sound files and packet files: no traceback, no hang, nothing above five seconds"
LONGEST_S = 5.0  # processor time
LONGEST_SPEECH_S = 3600.0  # of a quarter of a second whose header was changed
PACKET_SHARE = 0.2  # of the files; the others are sound
STRANGERS = 0.05  # of those, for a receiver that was told another protection
OURS, THEIRS, DONE = b"o", b"l", b"."


def worker(seed: int, first: int, count: int, out: BinaryIO) -> None:
    """Read the files `first` to `first + count - 1` of a seed; tells before each step who is at work."""
    foreign_child.be_limited()
    foreign_child.PROCESSOR_S = LONGEST_S
    sounds, packets = list(sound_seeds().values()), packet_seeds()
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        for index in range(first, first + count):
            rng = np.random.default_rng((seed, index))
            foreign_child.limit()
            _tell(out, index, OURS)
            if rng.random() < PACKET_SHARE:
                protection, data = packets[int(rng.integers(len(packets)))]
                agreed = protection if rng.random() > STRANGERS else Protection()
                _packets(mutate(rng, data), agreed, int(rng.integers(1, 300)))
            else:
                data = mutate(rng, sounds[int(rng.integers(len(sounds)))])
                _sound(data, Path(folder) / "damaged", partial(_tell, out, index))
    _tell(out, first + count, DONE)


def _tell(out: BinaryIO, index: int, who: bytes) -> None:
    out.write(b"%d %s\n" % (index, who))
    out.flush()


def _packets(data: bytes, protection: Protection, size: int) -> None:
    stream = BytesIO(data)
    try:
        play_packets(Receiver(RulerDecoder(), 0.1, Framing(DECODER_ID, protection)), lambda: stream.read(size), NullSink(), None)
    except ClariError as error:
        _one_line(error)


def _sound(data: bytes, path: Path, tell: Callable[[bytes], None]) -> None:
    path.write_bytes(data)

    def library(name: str, cure: str) -> InThisProcess:
        tell(THEIRS)
        opened = InThisProcess(name, cure)
        foreign_child.limit()
        tell(OURS)
        return opened

    as_file = audio.read_file(str(path), warn=False, library=library)
    for source in (as_file, audio.read_pipe(BytesIO(data), raw=False, warn=False)):
        samples = 0
        try:
            for block in source:
                samples += len(block)
                if not np.isfinite(block).all() or samples > LONGEST_SPEECH_S * SAMPLE_RATE_HZ:
                    raise ValueError(f"{samples} samples, not all of them finite, or far too many")
        except ClariError as error:
            _one_line(error)


def _one_line(error: ClariError) -> None:
    if "\n" in str(error):
        raise ValueError("an error of more than one line")


class InThisProcess:
    """`ForeignFile` without its process: for files that do no harm, or a process that may end."""

    def __init__(self, path: str, cure: str):
        out = BytesIO()
        try:
            foreign_child.read(path, out)
        except Exception:  # as in the process of its own
            raise FileError(f"{path} cannot be read; {cure}") from None
        finally:
            foreign_child.unlimit()  # what this process does afterwards is no step of the library
        first, _, self._data = out.getvalue().partition(b"\n")
        self.rate_hz, self._channels = map(int, first.split())

    def blocks(self) -> Iterator[Pcm]:
        """The samples [N, channels]."""
        stream = BytesIO(self._data)
        while frames := int.from_bytes(stream.read(4), "little"):
            yield np.frombuffer(stream.read(4 * frames * self._channels), "<f4").reshape(frames, self._channels)

    def close(self) -> None:
        """Nothing is open."""


def fuzz(files: int, seed: int, minutes: float, first: int = 0) -> Counter[str]:
    """Damage and read up to so many files, or for so long; counts of what happened.

    Raises:
        ClariError: own code raised, or took too long; the message names seed and file.
    """
    counts: Counter[str] = Counter()
    end_s, index, end = time.monotonic() + 60 * minutes, first, first + files
    while index < end and time.monotonic() < end_s:
        last, who, how = _work(seed, index, end - index, end_s)
        given_up = who == THEIRS and how
        counts["files"] += last - index + bool(given_up)
        index = last + bool(given_up)
        if how and not given_up:
            raise ClariError(f"file {last} of seed {seed}: {how}")
        if given_up:
            counts[f"given up, {how} in the library"] += 1
    return counts


def _work(seed: int, first: int, count: int, end_s: float) -> tuple[int, bytes, str]:
    """Let a worker read; the file that it came to, who was at work, and how it ended if not by itself or because of the time."""
    command = [sys.executable, "-m", "stream.benches.files", str(seed), str(first), str(count)]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=without_settings())
        assert process.stdout is not None
        last, who = first, OURS
        try:
            for line in process.stdout:
                word, who = line.split()
                last = int(word)
                if time.monotonic() > end_s:
                    return last, who, ""
            code = process.wait()
        finally:  # also when somebody interrupts this
            process.kill()
            process.wait()
            process.stdout.close()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
    if who == DONE:
        return last, who, ""
    return last, who, signal.Signals(-code).name if code < 0 else (said or ["ended without a word"])[-1]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--files", type=whole(1, 10**9), default=10**6, help="how many (default: a million)")
    parser.add_argument("--minutes", type=number(0.01, 100_000), default=1440.0, help="no longer than this")
    parser.add_argument("--first", type=whole(0, 10**9), default=0, help="go on behind so many")
    parser.add_argument("--seed", type=whole(0, 10**9), default=1, help="the same seed makes the same files")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON; - is stdout")


def run(args: argparse.Namespace) -> int:
    counts = fuzz(args.files, args.seed, args.minutes, args.first)
    if args.json != "-":
        print(", ".join(f"{count} {name}" for name, count in counts.items()) + "; nothing raised, nothing took too long")
    write_json(args.json, {"schema_version": 1, "counts": counts})
    return 0


if __name__ == "__main__":
    seed, first, count = map(int, sys.argv[1:])
    worker(seed, first, count, foreign_child.private_stdout())
