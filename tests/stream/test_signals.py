"""Ctrl-C, SIGTERM and SIGHUP end every command in order; a terminal that closes takes nothing with it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile

from stream import signals
from stream.demo import CLIP
from stream.errors import run_command
from stream.link import ZmqLink
from tests.conftest import free_endpoint, speech_like

ROOT = Path(__file__).parents[2]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
LONG_S = 300.0  # a machine may be busy; nothing here waits for it otherwise


@pytest.fixture(autouse=True)
def nothing_is_ignored() -> Iterator[None]:
    """Whoever runs the tests with nohup has SIGHUP ignored, here and in every process that is started."""
    former = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, former)


def until(condition: Callable[[], object]) -> None:
    """Wait for something that must happen."""
    deadline_s = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@contextlib.contextmanager
def started(argv: list[str], how: str = "-m") -> Iterator[subprocess.Popen[bytes]]:
    """A command as a process, with pipes on all sides."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, how, *argv], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# What runs until it is ended, the words with which it says that it runs, its exit codes, and the words of its last line.
COMMANDS = {
    "tx": (["stream.tx", "--in", str(CLIP), "--connect", "TAKEN", "--plain"], "bps on air", (130,), "s of speech"),
    "tx-tone": (["stream.tx", "--tone", "--tone-s", "600", "--connect", "TAKEN", "--plain"], "bps on air", (130,), "s of speech"),
    "rx": (["stream.rx", "--bind", "ENDPOINT", "--null"], "listening", (0,), "packets, 0 repaired"),
    "rx-out": (["stream.rx", "--bind", "ENDPOINT", "--out", "DIR/heard.wav"], "listening", (0,), "packets, 0 repaired"),
    "channel": (["channel.relay", "--bind", "ENDPOINT", "--connect", "ANOTHER"], None, (0, 130), "clari-channel:"),
    "demo": (["stream.demo", "--realtime", "--out", "DIR/demo"], None, (130,), "interrupted"),
    "bench": (["stream.bench", "fuzz", "--minutes", "30"], None, (130,), "interrupted"),
    "files": (["stream.bench", "files"], None, (130,), "interrupted"),
    "sim": (["channel.sim", "--link-only", "--stream-s", "1000000", "--out", "DIR/sim"], None, (130,), "interrupted"),
}


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: signal.Signals(number).name)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_in_order(tmp_path: Path, name: str, number: int) -> None:
    argv, ready, codes, last = COMMANDS[name]
    words = {"ENDPOINT": free_endpoint(), "ANOTHER": free_endpoint(), "TAKEN": free_endpoint()}
    with (
        ZmqLink.receiver(words["TAKEN"]),
        started([words.get(word, word.replace("DIR", str(tmp_path))) for word in argv]) as process,
    ):
        assert process.stderr is not None
        if ready:
            assert ready in process.stderr.readline().decode()
        else:  # it says nothing; a handler for SIGTERM is the first that it does (Python has one for Ctrl-C from the beginning)
            until(lambda: caught(process.pid, signal.SIGTERM))
        process.send_signal(number)
        said = process.communicate(timeout=LONG_S)[1].decode()
        assert process.wait(timeout=LONG_S) in codes, said
        assert "Traceback" not in said and (not last or last in said.splitlines()[-1]), said


def caught(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own for a signal."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(mask >> (number - 1) & 1)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: signal.Signals(number).name)
@pytest.mark.parametrize("command", ["stream.tx", "stream.rx", "channel.relay"])
def test_commands_that_wait_for_stdin_end_in_order(tmp_path: Path, command: str, number: int) -> None:
    options = {
        "stream.tx": ["--raw", "--out", "-"],
        "stream.rx": ["--null"],
        "channel.relay": ["--out", "-", "--packet-bytes", "16", "--packet-s", "0.32"],
    }
    with started([command, "--in", "-", *options[command]]) as process:
        until(lambda: caught(process.pid, signal.SIGTERM))
        process.send_signal(number)
        assert process.stderr is not None
        said = process.stderr.read().decode()  # with stdin open: its end would be another reason to end
        assert process.wait(timeout=LONG_S) in (0, 130) and "Traceback" not in said


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: signal.Signals(number).name)
def test_a_signal_ends_a_sender_whose_sound_library_spins(tmp_path: Path, number: int) -> None:
    ignored = "import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\nwhile True: pass\n"
    (tmp_path / "child.py").write_text(ignored)
    soundfile.write(tmp_path / "voice.aiff", speech_like(1.0), 16_000)
    code = (
        "import sys\nfrom pathlib import Path\nfrom stream import foreign, tx\n"
        "foreign.CHILD = Path(sys.argv[1])\nraise SystemExit(tx.main(sys.argv[2:]))"
    )
    options = ["--in", str(tmp_path / "voice.aiff"), "--out", str(tmp_path / "air")]
    with started([code, str(tmp_path / "child.py"), *options], how="-c") as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.exists():
            pytest.skip("this kernel does not list children")
        until(lambda: children.read_text().split())
        (child,) = children.read_text().split()
        process.send_signal(number)
        process.communicate(timeout=LONG_S)
        assert process.returncode == 130
        assert not Path(f"/proc/{child}").exists()


def test_what_was_started_with_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    command = ["nohup", sys.executable, "-m", "stream.rx", "--bind", free_endpoint(), "--null"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert b"listening" in process.stderr.readline()
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.poll() is None
        process.terminate()
        assert b"packets" in process.stderr.read() and process.wait(timeout=LONG_S) == 0
    finally:
        process.kill()


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_terminal_that_closes_leaves_a_whole_file_and_the_statistics(tmp_path: Path, suffix: str) -> None:
    """As a receiver over ssh whose connection is lost: its panel, its messages and its summary have nowhere to go."""
    air, out, stats = tmp_path / "air", tmp_path / f"heard.{suffix}", tmp_path / "rx.json"
    subprocess.run([sys.executable, "-m", "stream.tx", "--in", str(CLIP), "--out", str(air), "-q"], cwd=ROOT, check=True)
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "stream.rx", "--in", "-", "--out", str(out), "--stats", str(stats)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=follower, stderr=follower, start_new_session=True)
    os.close(follower)
    try:
        assert process.stdin is not None
        process.stdin.write(air.read_bytes())
        process.stdin.flush()
        until(out.exists)
        os.close(leader)
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=LONG_S) in (0, 130)
    finally:
        process.kill()
        process.stdin = None
    heard, figures = soundfile.info(out), json.loads(stats.read_text())
    assert heard.frames > 8000 and figures["frames"] * 1280 == pytest.approx(heard.frames, abs=8 * 1280)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_kill_leaves_a_readable_file(tmp_path: Path, suffix: str) -> None:
    air = subprocess.run(
        [sys.executable, "-m", "stream.tx", "--in", str(CLIP), "--out", "-", "-q"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    ).stdout
    out = tmp_path / f"heard.{suffix}"
    with started(["stream.rx", "--in", "-", "--out", str(out)]) as process:
        assert process.stdin is not None
        process.stdin.write(air)
        process.stdin.flush()
        until(lambda: out.exists() and soundfile.info(out).frames > 9 * 16_000)  # readable each time
        process.kill()
        process.wait()
    pcm, _ = soundfile.read(out)
    assert len(pcm) > 9 * 16_000 and abs(pcm).max() > 0.05


def test_handlers_are_put_back_and_answer_in_between() -> None:
    before = {number: signal.getsignal(number) for number in signals.ENDING}
    for number in signals.ENDING:
        assert run_command("clari-test", lambda number=number: signal.raise_signal(number) or 0) == 130
    assert {number: signal.getsignal(number) for number in signals.ENDING} == before


def test_workers_leave_the_answer_to_their_parent() -> None:
    code = (
        "import signal\nfrom stream.worker import begin_worker\nfrom stream.errors import run_command\n"
        "run_command('x', lambda: begin_worker() or 0)\n"
        "begin_worker()\nprint([signal.getsignal(n).name for n in (2, 15, 1)])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['SIG_IGN', 'SIG_DFL', 'SIG_IGN']"


def test_an_interruption_that_python_dropped_is_raised_at_the_next_turn() -> None:
    with signals.interruptible():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)  # as if a destructor had dropped it
        with pytest.raises(KeyboardInterrupt):
            signals.check()
    signals.check()  # the next command begins anew
