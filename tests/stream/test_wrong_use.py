"""Wrong options, files and endpoints: one line that names the cure, the documented exit code, and nothing lost."""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream import demo, devices, rx, tx
from stream.errors import FileError
from stream.sinks import FileSink
from tests.conftest import SAMPLE_RATE_HZ, free_endpoint


def fails(capsys: pytest.CaptureFixture[str], command, argv: list[str], code: int, says: str) -> None:
    """The command exits with `code` and says one line that contains `says`."""
    assert command.main(argv) == code
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert says in lines[0]
    assert "Traceback" not in captured.err


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
        (["--in", "WAV", "--connect", "tcp://127.0.0.1:5²"], 5, "1 to 65535"),
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
        (["--in", "GARBAGE", "--null", "--record-trace", "-"], 2, "give it a file"),
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


def test_an_output_without_permission_is_refused_before_anything_is_done(
    tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked of the system, and so answered here: root may write anywhere."""
    kept = tmp_path / "kept.json"
    kept.write_text("{}")
    refused = {kept, tmp_path}
    monkeypatch.setattr(os, "access", lambda path, mode: path not in refused)
    argv = ["--in", str(wav), "--out", str(tmp_path / "air"), "--stats"]
    fails(capsys, tx, [*argv, str(kept)], 6, "permission denied; choose another file")
    fails(capsys, tx, [*argv, str(tmp_path / "new.json")], 6, "permission denied; choose another file")
    assert not (tmp_path / "air").exists()
    refused.remove(kept)
    assert tx.main([*argv, str(kept), "-q"]) == 0


def test_a_header_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """A disk that fills up may show only when the file is closed."""
    sink = FileSink(str(tmp_path / "out.wav"))
    sink.write(np.zeros(1280, np.float32))
    assert sink._file is not None
    sink._file.close()

    class Full:
        def close(self) -> None:
            raise OSError(28, "No space left on device")

    sink._file = Full()
    with pytest.raises(FileError, match="check permissions and free space"):
        sink.close()


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
