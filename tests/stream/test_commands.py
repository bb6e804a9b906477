"""The commands as their users run them: files, pipes, sockets and terminals."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pty
import signal
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream import bench, demo, rate, rx, tx
from stream.demo import CLIP
from stream.link import ZmqLink
from tests.conftest import SAMPLE_RATE_HZ, free_endpoint, speech_like

ROOT = Path(__file__).parents[2]


def test_the_narrow_profile_keeps_its_promise_on_the_shipped_clip(tmp_path: Path) -> None:
    air, stats = tmp_path / "air.bin", tmp_path / "tx.json"
    assert tx.main(["--in", str(CLIP), "--out", str(air), "--profile", "narrow", "--quiet", "--stats", str(stats)]) == 0
    seconds = soundfile.info(CLIP).duration
    assert air.stat().st_size * 8 / seconds <= 275
    figures = json.loads(stats.read_text())
    assert figures["on_air_bytes"] == air.stat().st_size
    assert figures["on_air_bps"] == pytest.approx(air.stat().st_size * 8 / seconds)
    assert figures["code_bps"] == 200


@pytest.mark.parametrize(
    ("rate_hz", "channels", "subtype"), [(8000, 1, "PCM_16"), (44100, 2, "FLOAT"), (48000, 1, "PCM_24"), (16000, 3, "PCM_16")]
)
def test_any_rate_and_channel_count(tmp_path: Path, rate_hz: int, channels: int, subtype: str) -> None:
    time_s = np.arange(2 * rate_hz) / rate_hz
    sound = np.repeat((0.1 * np.sin(2 * np.pi * 300 * time_s))[:, None], channels, axis=1)
    soundfile.write(tmp_path / "in.wav", sound, rate_hz, subtype)
    assert tx.main(["--in", str(tmp_path / "in.wav"), "--out", str(tmp_path / "air"), "--stats", str(tmp_path / "s"), "-q"]) == 0
    assert json.loads((tmp_path / "s").read_text())["speech_samples"] == pytest.approx(32000, abs=16)


def test_pipes_of_samples_and_packets(tmp_path: Path, wav: Path) -> None:
    """wav > clari-tx > clari-channel > clari-rx > wav, all through stdin and stdout."""
    sender = [sys.executable, "-m", "stream.tx", "--in", "-", "--out", "-", "--profile", "fast", "-q"]
    channel = [sys.executable, "-m", "channel.relay", "--in", "-", "--out", "-", "--packet-bytes", "16", "--packet-s", "0.32"]
    receiver = [sys.executable, "-m", "stream.rx", "--in", "-", "--out", "-", "-q"]
    packets = subprocess.run(sender, input=wav.read_bytes(), capture_output=True, check=True, cwd=ROOT).stdout
    assert len(packets) % 16 == 0
    arrived = subprocess.run(channel, input=packets, capture_output=True, check=True, cwd=ROOT).stdout
    assert arrived == packets
    heard = subprocess.run(receiver, input=arrived, capture_output=True, check=True, cwd=ROOT).stdout
    assert heard[:4] == b"RIFF" and len(heard) == 44 + len(packets) // 16 * 4 * 1280 * 2
    raw = subprocess.run([*receiver, "--raw"], input=arrived, capture_output=True, check=True, cwd=ROOT).stdout
    assert raw == heard[44:]


def test_raw_samples_equal_the_same_wav(tmp_path: Path, wav: Path) -> None:
    with wave.open(str(wav)) as audio:
        raw = audio.readframes(audio.getnframes())
    command = [sys.executable, "-m", "stream.tx", "--in", "-", "--out", "-", "-q"]
    packets = [
        subprocess.run([*command, *extra], input=data, capture_output=True, check=True, cwd=ROOT).stdout
        for data, extra in ((wav.read_bytes(), []), (raw, ["--raw"]))
    ]
    (tmp_path / "speech.raw").write_bytes(raw)
    assert tx.main(["--in", str(tmp_path / "speech.raw"), "--raw", "--out", str(tmp_path / "air"), "-q"]) == 0
    packets.append((tmp_path / "air").read_bytes())
    codes = [[packet[i : i + 26][2:18] for i in range(0, len(packet), 26)] for packet in packets]
    assert codes[0] == codes[1] == codes[2]


def test_two_processes_over_a_socket(tmp_path: Path, wav: Path) -> None:
    endpoint, out, stats = free_endpoint(), tmp_path / "heard.wav", tmp_path / "rx.json"
    command = [sys.executable, "-m", "stream.rx", "--bind", endpoint, "--out", str(out), "--stats", str(stats)]
    receiver = subprocess.Popen(
        [*command, "--speed", "4", "--idle-exit-s", "2", "--delay-ms", "8000", "--max-delay-ms", "0"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )
    try:
        assert receiver.stderr is not None and b"listening" in receiver.stderr.readline()
        assert tx.main(["--in", str(wav), "--connect", endpoint, "--speed", "4", "-q"]) == 0
        _, messages = receiver.communicate(timeout=60)
    finally:
        receiver.kill()
    assert receiver.returncode == 0, messages
    figures = json.loads(stats.read_text())
    assert figures["received_packets"] == 5
    assert soundfile.info(out).frames == figures["frames"] * 1280
    assert abs(soundfile.info(out).samplerate - SAMPLE_RATE_HZ) == 0


def test_an_interrupted_receiver_keeps_what_it_heard(tmp_path: Path, wav: Path) -> None:
    endpoint, out = free_endpoint(), tmp_path / "heard.wav"
    command = [
        sys.executable,
        "-m",
        "stream.rx",
        "--bind",
        endpoint,
        "--out",
        str(out),
        "--speed",
        "4",
        "--delay-ms",
        "8000",
        "--max-delay-ms",
        "0",
    ]
    receiver = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        assert receiver.stderr is not None
        assert "listening" in receiver.stderr.readline()
        assert tx.main(["--in", str(wav), "--connect", endpoint, "--speed", "4", "-q"]) == 0
        receiver.terminate()
        _, messages = receiver.communicate(timeout=60)
    finally:
        receiver.kill()
    assert receiver.returncode == 0
    assert "frames" in messages and "Traceback" not in messages
    assert soundfile.info(out).frames == 5 * 8 * 1280  # all that was sent, also what had not had its turn


def test_statistics_every_second_from_both_ends(tmp_path: Path, wav: Path) -> None:
    endpoint, files = free_endpoint(), {kind: tmp_path / f"{kind}.jsonl" for kind in ("receiver", "sender")}
    command = [sys.executable, "-m", "stream.rx", "--bind", endpoint, "--null", "--stats-json", str(files["receiver"])]
    receiver = subprocess.Popen([*command, "--speed", "4", "--idle-exit-s", "2"], cwd=ROOT, stderr=subprocess.PIPE)
    try:
        assert receiver.stderr is not None and b"listening" in receiver.stderr.readline()
        sending = ["--in", str(wav), "--connect", endpoint, "--speed", "4", "-q", "--station", "base"]
        assert tx.main([*sending, "--stats-json", str(files["sender"])]) == 0
        receiver.communicate(timeout=120)
    finally:
        receiver.kill()
    for kind, file in files.items():
        looks = [json.loads(line) for line in file.read_text().splitlines()]
        assert [look["final"] for look in looks] == [False] * (len(looks) - 1) + [True]
        assert all(look["kind"] == kind and look["schema_version"] == 2 for look in looks)
        assert all(later["uptime_s"] > look["uptime_s"] for look, later in itertools.pairwise(looks))
    sent, heard = (json.loads(files[kind].read_text().splitlines()[-1]) for kind in ("sender", "receiver"))
    assert sent["packets"] == heard["received_packets"] > 0 and heard["station"] == sent["station"] == "BASE"
    assert sent["on_air_bytes"] == heard["received_bytes"]


def test_a_file_that_is_decoded_has_one_last_look(tmp_path: Path, wav: Path) -> None:
    air, stats = tmp_path / "air.bin", tmp_path / "rx.jsonl"
    assert tx.main(["--in", str(wav), "--out", str(air), "-q"]) == 0
    assert rx.main(["--in", str(air), "--null", "-q", "--stats-json", str(stats)]) == 0
    look = json.loads(stats.read_text().splitlines()[-1])
    assert look["final"] and look["strip"] == "r" * look["received_packets"] and look["frames"] == 8 * look["received_packets"]


def read_terminal(leader: int, until: str) -> str:
    """What appears on a terminal up to some words; up to its end if there are none."""
    text = b""
    while not until or until.encode() not in text:
        try:
            more = os.read(leader, 4096)
        except OSError:  # the last program has closed it
            more = b""
        if not more:
            break
        text += more
    return text.decode()


@pytest.mark.parametrize("kind", ["receiver", "sender"])
def test_a_terminal_shows_a_panel_and_ctrl_c_a_summary(kind: str) -> None:
    endpoint = free_endpoint()
    command = {
        "receiver": ["stream.rx", "--bind", endpoint, "--null"],
        "sender": ["stream.tx", "--in", str(CLIP), "--connect", endpoint],
    }[kind]
    leader, follower = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with contextlib.ExitStack() as stack:
        if kind == "sender":
            stack.enter_context(ZmqLink.receiver(endpoint))
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=follower, env=environment
        )
        os.close(follower)
        try:
            shown = read_terminal(leader, "Ctrl-C ends")
            assert ("waiting for packets" if kind == "receiver" else "bps now") in shown
            process.send_signal(signal.SIGINT)
            rest = read_terminal(leader, "")
            assert process.wait(timeout=120) == (0 if kind == "receiver" else 130)
        finally:
            process.kill()
            os.close(leader)
        assert process.stdout is not None and process.stdout.read() == b""  # stdout is for data
    last = rest.strip().splitlines()[-1]
    assert ("0 packets, 0 repaired" if kind == "receiver" else "s of speech") in last
    assert "\x1b[?25h" in rest and "Traceback" not in rest  # the cursor is back


def test_samples_that_are_no_numbers_are_sent_as_silence_with_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pcm = speech_like(1.0)
    pcm[100:200] = np.nan
    pcm[300] = np.inf
    soundfile.write(tmp_path / "nan.wav", pcm, SAMPLE_RATE_HZ, "FLOAT")
    assert tx.main(["--in", str(tmp_path / "nan.wav"), "--out", str(tmp_path / "air"), "-q"]) == 0
    assert "101 samples are not finite" in capsys.readouterr().err


@pytest.mark.parametrize("command", [tx, rx, demo, bench, rate], ids=lambda module: module.__name__)
def test_help_and_version(capsys: pytest.CaptureFixture[str], command) -> None:
    for option in ("--help", "--version"):
        with pytest.raises(SystemExit) as stop:
            command.main([option])
        assert stop.value.code == 0
    assert "exit codes:\n  0    success" in capsys.readouterr().out


def test_a_quiet_receiver_prints_nothing_and_still_tells_its_statistics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    air, stats = tmp_path / "air", tmp_path / "rx.json"
    assert tx.main(["--text", "on our way", "--station", "BASE", "--out", str(air), "-q"]) == 0
    assert rx.main(["--in", str(air), "--null", "-q", "--stats", str(stats)]) == 0
    said = capsys.readouterr()
    assert said.err == "" and said.out == ""
    figures = json.loads(stats.read_text())
    assert (figures["station"], figures["texts"]) == ("BASE", ["on our way"])
    assert rx.main(["--in", str(air), "--null"]) == 0
    assert "on our way" in capsys.readouterr().err  # without -q it would have
    assert rx.main(["--in", str(tmp_path / "none"), "--null", "-q"]) == 6
    assert len(capsys.readouterr().err.splitlines()) == 1
