"""Ctrl-Z, `fg` and the background: who has the terminal, and what is on air."""

from __future__ import annotations

import os
import pty
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from stream import job, key_switch
from stream.job import Job, in_foreground
from stream.key_switch import KeySwitch
from stream.keying import Keying, Mode

termios = pytest.importorskip("termios", reason="no terminals of POSIX on this system")


class Noted:
    """A part that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Both ends of a terminal that is stdin."""
    ours, theirs = pty.openpty()
    with open(theirs, "rb", buffering=0, closefd=False) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours, theirs
    os.close(ours)
    os.close(theirs)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.005)
    assert condition()


def test_parts_pause_before_the_process_stops_and_resume_after(monkeypatch: pytest.MonkeyPatch) -> None:
    part, stops = Noted(), []
    before = signal.getsignal(signal.SIGTSTP)
    watching = Job([part])

    def stop(pid: int, number: int) -> None:
        stops.append((number, signal.getsignal(signal.SIGTSTP), list(part.told)))

    try:
        with monkeypatch.context() as patch:
            patch.setattr(job.os, "kill", stop)
            signal.raise_signal(signal.SIGTSTP)
        assert stops == [(signal.SIGTSTP, signal.SIG_DFL, ["pause"])]
        assert part.told == ["pause", "resume"]
        signal.raise_signal(signal.SIGCONT)  # after SIGSTOP
        assert part.told == ["pause", "resume"] * 2
        assert signal.getsignal(signal.SIGTSTP) == watching._stop
    finally:
        watching.close()
    assert signal.getsignal(signal.SIGTSTP) == before


def test_who_wants_no_job_control_gets_none() -> None:
    before = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    try:
        watching = Job([Noted()])
        assert signal.getsignal(signal.SIGTSTP) is signal.SIG_IGN
        watching.close()
    finally:
        signal.signal(signal.SIGTSTP, before)


def test_a_process_that_stops_goes_off_air_and_gives_the_terminal_back(terminal: tuple[int, int]) -> None:
    keying = Keying(Mode.PTT)
    before = termios.tcgetattr(terminal[1])
    switch = KeySwitch(keying.toggle, keying.release)
    try:
        assert termios.tcgetattr(terminal[1]) != before
        os.write(terminal[0], b" ")
        wait_for(lambda: keying.pressed)
        switch.pause()
        assert not keying.pressed and termios.tcgetattr(terminal[1]) == before
        switch.resume()
        wait_for(lambda: termios.tcgetattr(terminal[1]) != before)
        os.write(terminal[0], b" ")
        wait_for(lambda: keying.pressed)
    finally:
        switch.close()
    assert termios.tcgetattr(terminal[1]) == before


def test_in_the_background_the_signal_is_the_switch_and_the_terminal_is_left_alone(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    keying, listens = Keying(Mode.PTT), [False]
    monkeypatch.setattr(key_switch, "in_foreground", lambda number: listens[0])
    before = termios.tcgetattr(terminal[1])
    switch = KeySwitch(keying.toggle, keying.release)
    try:
        assert "space" not in switch.how and "-USR1" in switch.how
        os.kill(os.getpid(), signal.SIGUSR1)
        wait_for(lambda: keying.pressed)
        assert termios.tcgetattr(terminal[1]) == before
        listens[0] = True  # `fg` of a process that ran: no signal tells
        wait_for(lambda: termios.tcgetattr(terminal[1]) != before)
        os.write(terminal[0], b" ")
        wait_for(lambda: not keying.pressed)
    finally:
        switch.close()
    assert termios.tcgetattr(terminal[1]) == before


def test_a_terminal_that_does_not_control_us_cannot_stop_us(terminal: tuple[int, int]) -> None:
    assert in_foreground(terminal[1])
    file = os.open(os.devnull, os.O_RDONLY)
    os.close(file)
    assert not in_foreground(file)
