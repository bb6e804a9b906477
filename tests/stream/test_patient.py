"""stdin and stdout that somebody else has made non-blocking: every byte, both ways."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stream.demo import CLIP
from stream.patient import Patient
from stream.wav_stream import header
from tests.conftest import speech_like

ROOT = Path(__file__).parents[2]
RAW = (speech_like(6.0) * 32767).astype("<i2").tobytes()


def not_blocking(descriptor: int) -> int:
    os.set_blocking(descriptor, False)
    return descriptor


def through(argv: list[str], data: bytes, slow_s: float = 0.02, late: bool = False) -> tuple[bytes, bytes, int]:
    """stdout, stderr and exit code of a command whose three streams do not block, fed and read in small pieces.

    late: they are made so while it runs, as programs do that share them.
    """
    ends = [os.pipe() for _ in range(3)]
    for read, write in ends:
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
        if not late:
            not_blocking(read)
            not_blocking(write)
    (stdin, feed), (out, stdout), (err, stderr) = ends
    process = subprocess.Popen([sys.executable, "-m", *argv], cwd=ROOT, stdin=stdin, stdout=stdout, stderr=stderr)
    if late:
        for descriptor in (stdin, stdout, stderr):
            not_blocking(descriptor)
    for descriptor in (stdin, stdout, stderr):
        os.close(descriptor)
    os.set_blocking(feed, True)

    def write() -> None:
        pieces = [data[k : k + 4000] for k in range(0, len(data), 4000)]
        for number, piece in enumerate(pieces):
            time.sleep(1.0 if number == 1 else slow_s)  # a gap once it reads
            os.write(feed, piece)
        os.close(feed)

    feeding = threading.Thread(target=write)
    feeding.start()
    got = {out: b"", err: b""}

    def drain(descriptor: int) -> None:
        os.set_blocking(descriptor, True)
        time.sleep(1.0)  # a reader that is late: the pipe is full by then
        while more := os.read(descriptor, 4096):
            got[descriptor] += more
            time.sleep(slow_s / 10)

    drains = [threading.Thread(target=drain, args=(descriptor,)) for descriptor in got]
    for thread in drains:
        thread.start()
    for thread in (feeding, *drains):
        thread.join()
    for descriptor in got:
        os.close(descriptor)
    return got[out], got[err], process.wait()


@pytest.mark.parametrize("late", [False, True], ids=["inherited", "while-it-runs"])
def test_a_sender_reads_all_of_a_stdin_with_gaps(late: bool) -> None:
    air, said, code = through(["stream.tx", "--in", "-", "--raw", "--out", "-", "--key", "open"], RAW, late=late)
    assert code == 0 and b"6.00 s of speech" in said and len(air) == 10 * 26


@pytest.mark.parametrize("late", [False, True], ids=["inherited", "while-it-runs"])
def test_a_receiver_writes_all_to_a_stdout_that_is_full(late: bool) -> None:
    air = subprocess.run(
        [sys.executable, "-m", "stream.tx", "--in", str(CLIP), "--out", "-", "-q", "--key", "open"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    heard, said, code = through(["stream.rx", "--in", "-", "--out", "-"], air, late=late)
    assert code == 0 and b"0 rejected" in said
    assert len(heard) == len(header(0)) + 2 * 1280 * 8 * len(air) // 26


def test_a_channel_passes_every_byte() -> None:
    packets = bytes(range(256)) * 100
    command = ["channel.relay", "--in", "-", "--out", "-", "--packet-bytes", "16", "--packet-s", "0.32", "-q"]
    assert through(command, packets)[0] == packets


def test_patience_has_an_end_where_the_other_has_gone() -> None:
    read, write = os.pipe()
    not_blocking(read)
    os.close(write)
    assert Patient(read, writable=False).read(10) == b""
    os.close(read)
