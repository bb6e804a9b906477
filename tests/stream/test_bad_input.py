"""Odd bytes on stdin, streams that are closed, readers that leave, signals: the commands as real processes."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from stream.clock import Clock
from stream.output import OnTime
from tests.conftest import speech_like

ROOT = Path(__file__).parents[2]
TX = f"{sys.executable} -m stream.tx"


def run(argv: list[str], data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", *argv], input=data, capture_output=True, cwd=ROOT, check=False)


def wav_bytes(
    samples: bytes,
    channels: int = 1,
    rate_hz: int = 16000,
    code: int = 1,
    bits: int = 16,
    length: int | None = None,
    extra: bytes = b"",
) -> bytes:
    """A WAV file with a LIST chunk of odd size before its format, and any header."""
    form = struct.pack("<HHIIHH", code, channels, rate_hz, 0, 2 * channels & 0xFFFF, bits) + extra
    chunks = b"LIST" + struct.pack("<I", 5) + b"abcde\0" + b"fmt " + struct.pack("<I", len(form)) + form
    return b"RIFF" + bytes(4) + b"WAVE" + chunks + b"data" + struct.pack("<I", len(samples) if length is None else length) + samples


SAMPLES = (speech_like(1.0) * 32767).astype("<i2").tobytes()
EXTENSIBLE = struct.pack("<HHIH14x", 22, 16, 4, 1)


def codes_of(air: bytes) -> list[bytes]:
    """The code bytes of standard packets: what does not depend on the random stream number."""
    return [air[start + 2 : start + 18] for start in range(0, len(air), 26)]


@pytest.mark.parametrize(
    "data",
    [
        wav_bytes(SAMPLES),
        wav_bytes(SAMPLES, length=0),
        wav_bytes(SAMPLES, length=0xFFFFFFFF - 36),
        wav_bytes(SAMPLES, code=0xFFFE, extra=EXTENSIBLE),
    ],
    ids=["plain", "length-0", "length-unknown", "extensible"],
)
def test_wav_of_any_header_on_stdin(data: bytes) -> None:
    expected = run(["stream.tx", "--in", "-", "--raw", "--out", "-", "-q"], SAMPLES).stdout
    sent = run(["stream.tx", "--in", "-", "--out", "-", "-q"], data)
    assert sent.returncode == 0, sent.stderr
    assert codes_of(sent.stdout) == codes_of(expected)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", b"stdin is empty"),
        (b"x", b"add --raw"),
        (SAMPLES, b"add --raw"),
        (b"RIFF", b"incomplete"),
        (b"fLaC" + bytes(100), b"FLAC"),
        (b"OggS" + bytes(100), b"Ogg"),
        (b"ID3\x04" + bytes(100), b"MP3"),
        (wav_bytes(b""), b"no samples"),
        (wav_bytes(SAMPLES, rate_hz=0xFFFFFFF0 // 2), b"Hz"),
        (wav_bytes(SAMPLES, channels=65535, rate_hz=1), b"65535 channels"),
        (wav_bytes(SAMPLES, bits=64), b"64-bit samples of codec 1"),
        (wav_bytes(SAMPLES, code=3), b"16-bit samples of codec 3"),
        (wav_bytes(SAMPLES, code=2), b"MS ADPCM"),
        (b"RIFF" + bytes(4) + b"WAVEjunk" + b"\xff" * 40, b"damaged"),
    ],
    ids=[
        "empty",
        "one-byte",
        "headerless",
        "header",
        "flac",
        "ogg",
        "mp3",
        "no-samples",
        "rate",
        "channels",
        "64-bit",
        "half-float",
        "adpcm",
        "huge-chunk",
    ],
)
def test_other_things_on_stdin_are_one_line(data: bytes, says: bytes) -> None:
    done = run(["stream.tx", "--in", "-", "--out", "-", "-q"], data)
    assert done.returncode == 6 and done.stdout == b""
    assert says in done.stderr and len(done.stderr.strip().splitlines()) == 1


def shell(script: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["bash", "-c", script], capture_output=True, cwd=ROOT, check=False)


def test_a_reader_that_leaves_ends_the_sender_quietly(wav: Path) -> None:
    done = shell(f"{TX} --in {wav} --out - -q -p fast | head -c 10 | wc -c; echo ${{PIPESTATUS[@]}}")
    assert done.stdout.split() == [b"10", b"0", b"0", b"0"] and done.stderr == b""


@pytest.mark.parametrize("script", ["--in - --out - -q 0<&-", "--in - --raw --out - -q 1>&- < /dev/zero"])
def test_closed_streams_are_one_line(script: str) -> None:
    done = shell(f"{TX} {script}")
    assert done.returncode == 6 and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("option", ["--out", "--stats", "--stats-json"])
def test_a_closed_stdout_matters_only_to_who_writes_there(tmp_path: Path, wav: Path, option: str) -> None:
    air = tmp_path / "air.bin"
    if option == "--out":
        done = shell(f"{TX} --in {wav} --out {air} -q >&-")
        assert done.returncode == 0 and done.stderr == b"" and air.stat().st_size % 26 == 0
        return
    done = shell(f"{TX} --in {wav} --out {air} -q {option} - >&-")
    assert done.returncode == 6 and done.stderr == b"clari-tx: stdout is closed; give a file\n" and not air.exists()


def test_messages_never_land_among_the_packets(wav: Path) -> None:
    done = shell(f"{TX} --in {wav} --out - 2>&-")
    assert done.returncode == 0 and done.stdout
    assert len(done.stdout) % 26 == 0 and b"clari" not in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_sender_that_waits_for_stdin(tmp_path: Path, number: int) -> None:
    air = tmp_path / "air.bin"
    command = [sys.executable, "-m", "stream.tx", "--in", "-", "--raw", "--out", str(air), "-p", "fast"]
    sender = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert sender.stdin and sender.stderr
    sender.stdin.write(SAMPLES[: 2 * 8000])
    sender.stdin.flush()
    assert b"bps on air" in sender.stderr.readline()
    sender.send_signal(number)
    summary = sender.stderr.read()
    assert sender.wait(timeout=30) == 130
    assert b"packets" in summary and b"Traceback" not in summary
    assert air.stat().st_size % 16 == 0 and air.stat().st_size > 0


@pytest.mark.parametrize("packets", [0, 3])
def test_a_signal_ends_a_receiver_that_waits_for_stdin(tmp_path: Path, packets: int) -> None:
    """Also before the first packet: who interrupts it has not sent it a wrong file."""
    air = run(["stream.tx", "--in", "-", "--raw", "--out", "-", "-q"], 3 * SAMPLES).stdout[: 26 * packets]
    heard = tmp_path / "heard.wav"
    command = [sys.executable, "-m", "stream.rx", "--in", "-", "--out", str(heard)]
    receiver = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert receiver.stdin and receiver.stderr
    receiver.stdin.write(air)
    receiver.stdin.flush()
    deadline_s = time.monotonic() + 30.0
    while not heard.exists() and time.monotonic() < deadline_s:  # it is written from the moment on in which signals are caught
        time.sleep(0.01)
    receiver.send_signal(signal.SIGINT)
    said = receiver.stderr.read()
    assert receiver.wait(timeout=30) == 130
    assert b"packets, 0 repaired" in said and b"Traceback" not in said and b"no valid packet" not in said


def test_packets_of_a_file_go_to_a_speaker_at_the_pace_of_speech() -> None:
    class Fake:
        speed, now, heard = 1.0, 100.0, 0

        def now_s(self) -> float:
            return self.now

        def sleep_until(self, when_s: float) -> None:
            self.now = max(self.now, when_s)

        def write(self, pcm: np.ndarray) -> None:
            assert self.heard <= (self.now - 100.0) * 16_000 + 1  # never before what was written is heard
            self.heard += len(pcm)

    fake = Fake()
    sink = OnTime(fake, cast(Clock, fake))
    for _ in range(10):
        sink.write(np.zeros(1280, np.float32))
    assert fake.now == pytest.approx(100.0 + 9 * 0.08)
    fake.now += 5.0  # nothing came for a while: what comes now is heard at once, and the pace is as before
    sink.write(np.zeros(1280, np.float32))
    assert fake.now == pytest.approx(105.72)
