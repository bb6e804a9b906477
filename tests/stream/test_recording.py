"""Recordings that outlive their program, the push-to-talk switch, and the test tone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream import rx, tx
from stream.errors import FileError
from stream.key_switch import KeySwitch
from stream.recording import Recording
from stream.tone import tone
from tests.conftest import SAMPLE_RATE_HZ, speech_like


def test_what_was_written_is_readable_at_any_moment(tmp_path: Path) -> None:
    recording, pcm = Recording(str(tmp_path / "new" / "folder"), "heard"), speech_like(3.0)
    assert not list((tmp_path / "new" / "folder").iterdir())  # nothing heard leaves nothing behind
    for start in range(0, len(pcm), 1280):
        recording.write(pcm[start : start + 1280])
    assert recording.path is not None
    kept = soundfile.read(recording.path, dtype="float32")[0]  # and the program might die now
    assert len(kept) == 2 * 13 * 1280 and np.allclose(kept, pcm[: len(kept)], atol=1e-4)
    recording.close()
    assert soundfile.info(recording.path).frames == len(pcm)


def test_a_recording_survives_a_killed_program(tmp_path: Path) -> None:
    code = (
        "import numpy as np, os, sys\nfrom stream.recording import Recording\n"
        "r = Recording(sys.argv[1], 'sent')\nfor _ in range(30): r.write(np.full(1280, 0.25, np.float32))\nos.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL
    (path,) = tmp_path.glob("sent-*.wav")
    assert soundfile.info(path).frames == 26 * 1280


def test_recordings_of_one_second_do_not_overwrite_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda form: "20260101-000000")
    for _ in range(3):
        recording = Recording(str(tmp_path), "sent")
        recording.write(speech_like(1.0))
        recording.close()
    assert len(list(tmp_path.glob("*.wav"))) == 3


def test_a_full_disk_ends_the_recording_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    recording = Recording(str(tmp_path), "sent", said.append)
    monkeypatch.setattr(Path, "open", lambda self, mode, buffering: open("/dev/full", "wb", buffering))  # noqa: SIM115
    for _ in range(5):
        recording.write(speech_like(1.0))
    recording.close()
    assert len(said) == 1 and "no space left" in said[0]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileError, match="choose another --record"):
        Recording(str(tmp_path / "file"), "sent")


def test_both_ends_record(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", speech_like(3.0), SAMPLE_RATE_HZ)
    kept, air = tmp_path / "kept", str(tmp_path / "air")
    assert tx.main(["--in", str(tmp_path / "in.wav"), "--out", air, "-q", "--no-vad", "--record", str(kept)]) == 0
    assert rx.main(["--in", air, "--out", str(tmp_path / "out.wav"), "-q", "--record", str(kept)]) == 0
    (sent,), (heard,) = kept.glob("sent-*.wav"), kept.glob("heard-*.wav")
    assert np.allclose(soundfile.read(sent)[0][: 3 * SAMPLE_RATE_HZ], soundfile.read(tmp_path / "in.wav")[0], atol=1e-4)
    assert np.allclose(soundfile.read(heard)[0], soundfile.read(tmp_path / "out.wav")[0], atol=1e-4)


def test_the_tone(tmp_path: Path) -> None:
    pcm = np.concatenate(list(tone(1000.0, 1.0)))
    spectrum = np.abs(np.fft.rfft(pcm))
    assert len(pcm) == SAMPLE_RATE_HZ and spectrum.argmax() == 1000 and np.abs(pcm).max() == pytest.approx(0.1, rel=0.01)
    assert abs(pcm[0]) < 1e-6 and abs(pcm[-1]) < 1e-3
    assert not list(tone(1000.0, 1.0, lambda: True))
    air = tmp_path / "air"
    assert tx.main(["--tone", "440", "--tone-s", "2", "--out", str(air), "-q", "-p", "fast"]) == 0
    assert air.stat().st_size == 7 * 16  # open: a tone is no speech
    assert rx.main(["--tone", "440", "--out", str(tmp_path / "tone.wav")]) == 0
    assert np.abs(np.fft.rfft(soundfile.read(tmp_path / "tone.wav")[0])).argmax() == 880  # of two seconds


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no SIGUSR1 on this system")
def test_the_space_bar_and_the_signal_toggle_and_the_terminal_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    termios = pytest.importorskip("termios", reason="no terminals of POSIX on this system")
    ours, theirs = os.openpty()
    with open(theirs, "rb", buffering=0, closefd=False) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        before, touched = termios.tcgetattr(theirs), []

        def gone(*_: object) -> None:
            raise termios.error(5, "Input/output error")

        switch = KeySwitch(lambda: touched.append(1))
        try:
            assert "space" in switch.how and "-USR1" in switch.how
            os.write(ours, b"x  \n")
            os.kill(os.getpid(), signal.SIGUSR1)
            deadline_s = time.monotonic() + 20
            while len(touched) < 3 and time.monotonic() < deadline_s:
                time.sleep(0.005)
        finally:
            switch.close()
        assert len(touched) == 3
        assert termios.tcgetattr(theirs) == before
        switch = KeySwitch(lambda: None)
        with monkeypatch.context() as patch:
            patch.setattr(termios, "tcsetattr", gone)
            switch.close()
    os.close(ours)
    os.close(theirs)
