"""The commands as their users run them: files, pipes, sockets, and every kind of bad input in one line."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream import bench, demo, devices, rate, rx, tx
from stream.demo import CLIP
from stream.link import ZmqLink
from tests.conftest import SAMPLE_RATE_HZ, speech_like

ROOT = Path(__file__).parents[2]


def free_endpoint() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def fails(capsys: pytest.CaptureFixture[str], command, argv: list[str], code: int, says: str) -> None:
    """The command exits with `code` and says one line that contains `says`."""
    assert command.main(argv) == code
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert says in lines[0]
    assert "Traceback" not in captured.err


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
        for data, extra in ((wav.read_bytes(), []), (raw, ["--raw"]), (raw, []))
    ]
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
        assert all(look["kind"] == kind and look["schema_version"] == 1 for look in looks)
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


def bad_wav(path: Path, kind: str) -> Path:
    path = path / f"{kind}.wav"
    header = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + 400, b"WAVEfmt ", 16, 1, 1, 0, 0, 2, 16, b"data", 400)
    content = {"empty": b"", "text": b"this is text\n" * 50, "zero-hz": header + bytes(400), "header-only": header[:20]}
    if kind == "no-samples":
        soundfile.write(path, np.zeros(0, np.float32), SAMPLE_RATE_HZ)
    elif kind != "missing":
        path.write_bytes(content[kind])
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "zero-hz", "header-only", "no-samples"])
def test_bad_input_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    path = bad_wav(tmp_path, kind)
    fails(capsys, tx, ["--in", str(path), "--out", str(tmp_path / "air")], 6, path.name)
    assert not (tmp_path / "air").exists()  # no output appears for an input that is none


def test_samples_that_are_no_numbers_are_sent_as_silence_with_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pcm = speech_like(1.0)
    pcm[100:200] = np.nan
    pcm[300] = np.inf
    soundfile.write(tmp_path / "nan.wav", pcm, SAMPLE_RATE_HZ, "FLOAT")
    assert tx.main(["--in", str(tmp_path / "nan.wav"), "--out", str(tmp_path / "air"), "-q"]) == 0
    assert "101 samples are not finite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        ([], 2, "--mic or --in"),
        (["--in", "WAV"], 2, "--connect ENDPOINT or --out"),
        (["--in", "WAV", "--out", "AIR", "--profile", "wide"], 2, "fast, standard, narrow"),
        (["--in", "WAV", "--out", "AIR", "--model", "none"], 4, "no model 'none'"),
        (["--in", "WAV", "--out", "DIR/no/air"], 6, "cannot write"),
        (["--in", "WAV", "--connect", "carrier-pigeon"], 5, "tcp://127.0.0.1:5555"),
        (["--in", "WAV", "--out", "-", "--stats", "-"], 2, "stdout"),
        (["--in", "WAV", "--out", "-", "--stats-json", "-"], 2, "stdout"),
        (["--in", "WAV", "--out", "AIR", "--stats-json", "DIR/no/s.json"], 6, "folder does not exist"),
        (["--in", "WAV", "--connect", "tcp://no.such.host.invalid:5555"], 5, "no host"),
        (["--in", "WAV", "--connect", "tcp://127.0.0.1:99999"], 5, "1 to 65535"),
        (["--in", "WAV", "--connect", "inproc://x"], 5, "only tcp:// and ipc://"),
        (["--in", "WAV", "--connect", "ipc:///no/such/folder/x"], 5, "folder does not exist"),
        (["--in", "WAV", "--connect", "tcp://127.0.0.1:9", "--speed", "1000", "-q"], 5, "nobody took a packet"),
        (["--in", "WAV", "--out", "WAV"], 6, "--force"),
        (["--in", "WAV", "--out", "AIR", "--stats", "DIR/no/s.json"], 6, "folder does not exist"),
        (["--in", "DIR", "--out", "AIR"], 6, "no regular file"),
        (["--in", "/dev/null", "--out", "AIR"], 6, "no regular file"),
        (["--in", "WAV", "--out", "/dev/full", "-q"], 6, "no space left"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else None,
)
def test_sender_options(
    tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str], argv: list[str], code: int, says: str
) -> None:
    names = {"WAV": str(wav), "AIR": str(tmp_path / "air"), "DIR": str(tmp_path)}
    fails(capsys, tx, [names.get(word, word.replace("DIR", str(tmp_path))) for word in argv], code, says)


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        ([], 2, "--bind ENDPOINT or --in"),
        (["--in", "AIR"], 2, "--speaker"),
        (["--in", "MISSING", "--out", "OUT.wav"], 6, "no such file"),
        (["--in", "GARBAGE", "--out", "OUT.wav"], 5, "no valid packet"),
        (["--in", "EMPTY", "--out", "OUT.wav"], 5, "no valid packet"),
        (["--in", "GARBAGE", "--out", "OUT.mp3"], 2, ".wav or .flac"),
        (["--in", "GARBAGE", "--out", "GARBAGE.wav"], 6, "--force"),
        (["--in", "GARBAGE", "--out", "OUT.wav", "--model", "none"], 4, "no model"),
        (["--in", "GARBAGE", "--out", "OUT.wav", "--profile", "wide"], 2, "unknown profile"),
        (["--bind", "nonsense", "--null"], 5, "cannot bind nonsense"),
        (["--bind", "tcp://127.0.0.1:99999", "--null"], 5, "1 to 65535"),
        (["--bind", "ipc://GARBAGE", "--null"], 5, "no socket"),
        (["--in", "GARBAGE", "--out", "OUT.wav", "--stats", "/no/folder/s.json"], 6, "folder does not exist"),
        (["--in", "GARBAGE", "--out", "/no/folder/out.wav"], 6, "folder does not exist"),
        (["--in", "GARBAGE", "--null", "--profile", "fast"], 5, "no valid packet"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else None,
)
def test_receiver_options(tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], code: int, says: str) -> None:
    (tmp_path / "GARBAGE").write_bytes(np.random.default_rng(0).bytes(500))
    (tmp_path / "GARBAGE.wav").write_bytes(b"precious")
    (tmp_path / "EMPTY").write_bytes(b"")
    (tmp_path / "AIR").write_bytes(b"x")
    words = {name: str(tmp_path / name) for name in ("AIR", "MISSING", "OUT.wav", "OUT.mp3", "GARBAGE", "GARBAGE.wav", "EMPTY")}
    words |= {"ipc://GARBAGE": f"ipc://{tmp_path / 'GARBAGE'}"}
    before = (tmp_path / "GARBAGE").read_bytes()
    fails(capsys, rx, [words.get(word, word) for word in argv], code, says)
    assert (tmp_path / "GARBAGE.wav").read_bytes() == b"precious"
    assert (tmp_path / "GARBAGE").read_bytes() == before
    assert not (tmp_path / "OUT.wav").exists()  # nothing heard leaves nothing behind


def test_force_overwrites_only_with_something_heard(tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    air, out = tmp_path / "air.bin", tmp_path / "out.wav"
    out.write_bytes(b"precious")
    (tmp_path / "garbage").write_bytes(bytes(500))
    assert rx.main(["--in", str(tmp_path / "garbage"), "--out", str(out), "--force", "-q"]) == 5
    assert out.read_bytes() == b"precious"
    assert tx.main(["--in", str(wav), "--out", str(air), "-q"]) == 0
    assert tx.main(["--in", str(wav), "--out", str(air), "-q"]) == 6
    assert tx.main(["--in", str(wav), "--out", str(air), "-q", "--force"]) == 0
    assert rx.main(["--in", str(air), "--out", str(out), "--force", "-q"]) == 0
    assert soundfile.info(out).frames == air.stat().st_size // 26 * 8 * 1280


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        (tx, ["--in", "x", "--out", "y", "--speed", "nan"]),
        (tx, ["--in", "x", "--connect", "tcp://127.0.0.1:9", "--speed", "0"]),
        (tx, ["--in", "x", "--mic", "--out", "y"]),
        (tx, ["--no-such-option"]),
        (rx, ["--in", "x", "--null", "--delay-ms", "-5"]),
        (rx, ["--bind", "tcp://127.0.0.1:0", "--null", "--idle-exit-s", "nan"]),
        (demo, ["--loss", "1.5"]),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str], command, argv: list[str]) -> None:
    assert command.main(argv) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "--help" in lines[0]


def test_an_endpoint_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = free_endpoint()
    with socket.create_server(("127.0.0.1", int(endpoint.rsplit(":", 1)[1]))):
        fails(capsys, rx, ["--bind", endpoint, "--null"], 5, "another program holds it")


@pytest.mark.parametrize(
    ("command", "argv"), [(tx, ["--mic", "--out", "AIR"]), (rx, ["--bind", "ENDPOINT", "--speaker"]), (tx, ["-l"]), (rx, ["-l"])]
)
def test_no_portaudio_is_two_lines_with_the_packages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command, argv: list[str]
) -> None:
    class NoPortAudio:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoPortAudio(), *sys.meta_path])
    words = {"AIR": str(tmp_path / "air"), "ENDPOINT": free_endpoint()}
    assert command.main([words.get(word, word) for word in argv]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "no PortAudio" in lines[0] and "apt-get install libportaudio2 libasound2-plugins" in lines[1]


def test_no_such_device_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PortAudioError(Exception):
        pass

    class Library:
        @staticmethod
        def query_devices(device: object, kind: str) -> None:
            raise ValueError(f"No {kind} device matching {device!r}")

    Library.PortAudioError = PortAudioError
    monkeypatch.setattr(devices, "import_sounddevice", lambda: Library)
    fails(capsys, tx, ["--mic", "--device", "Headset", "--out", str(tmp_path / "air")], 3, "--list-devices")


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
    fails(capsys, rx, ["--in", str(tmp_path / "none"), "--null", "-q"], 6, "none")
