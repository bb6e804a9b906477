"""What talking and silence cost: processor time of the real sender and receiver, at the pace of the wall clock.

A clip of read speech is said again and again, then nobody speaks. The share is that of one core; it says what a battery
is asked for and whether a small machine can do it. Time that other programs take does not count.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stream import sound_server
from stream.audio import read_file
from stream.benches.link_run import Conditions, LinkRun
from stream.demo import CLIP
from stream.errors import ClariError
from stream.frame import SAMPLE_RATE_HZ, Pcm
from stream.process import processor_s, resident_mb
from stream.sound_server import SoundServer
from stream.wav_stream import to_int16

SETTLE_S = 2.0
QUIET_S = 5.0  # without a packet: the talk spurt was played and the encoder rests
LONGEST_TALK_S = 60.0  # that a sound server which was held up still owes
ROOM_DB = -65.0  # of full scale: a quiet room is not silent
ENDS = ("tx", "rx")
ENDPOINTS = ("pipes", "sound cards")


def conversation(window_s: float) -> Pcm:
    """The clip for as long as talking is measured, then an empty room for as long as silence is, float32 [N]."""
    clip = np.concatenate(list(read_file(str(CLIP))))
    talk = np.resize(clip, round((2 * SETTLE_S + window_s) * SAMPLE_RATE_HZ))
    samples = round((QUIET_S + LONGEST_TALK_S + window_s) * SAMPLE_RATE_HZ)
    room = 10 ** (ROOM_DB / 20) * np.random.default_rng(0).standard_normal(samples, np.float32)
    return np.concatenate([talk, room.astype(np.float32)])


def shares(run: LinkRun, window_s: float) -> dict[str, float]:
    """Share of a core that each end takes within the next seconds."""
    before, began_s = [processor_s(run.running[end].pid) for end in ENDS], time.monotonic()
    time.sleep(window_s)
    run.check()
    passed_s = time.monotonic() - began_s
    return {end: (processor_s(run.running[end].pid) - taken) / passed_s for end, taken in zip(ENDS, before, strict=True)}


def wait_for_quiet(run: LinkRun) -> None:
    """Wait until no packet has left for QUIET_S.

    Raises:
        ClariError: packets leave although nobody speaks.
    """
    deadline_s = time.monotonic() + LONGEST_TALK_S
    while (now_s := time.monotonic()) < deadline_s:
        run.check()
        if now_s - run.taps[0].packets[-1][0] > QUIET_S:
            return
        time.sleep(0.1)
    raise ClariError("the sender sends an empty room; try again on an idle machine")


def watch(run: LinkRun, window_s: float) -> dict[str, dict[str, float]]:
    """Measure a run that begins to hear `conversation` now."""
    run.wait_for_packet()
    time.sleep(SETTLE_S)
    talking = shares(run, window_s)
    wait_for_quiet(run)
    silent = shares(run, window_s)
    return {
        "talking": talking | {"together": sum(talking.values())},
        "silence": silent | {"together": sum(silent.values())},
        "resident_mb": {end: resident_mb(run.running[end].pid) for end in ENDS},
    }


@contextlib.contextmanager
def fed(run: LinkRun, sound: Pcm) -> Iterator[None]:
    """A thread hands the sender its samples, which it takes at their pace."""
    source = run.running["tx"].stdin
    assert source is not None

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):  # the measurement ends before the samples do
            source.write(to_int16(sound))

    threading.Thread(target=feed, daemon=True).start()
    run.wait_for_words("tx")
    yield
    run.running["tx"].kill()  # nobody waits for what is left of the silence


def over(endpoints: str, model: str, window_s: float) -> dict[str, dict[str, float]]:
    """Shares of a core while talking and in silence, and resident megabytes, between "pipes" or "sound cards".

    Raises:
        ClariError: a process failed, or there is no sound server.
    """
    conditions, sound = Conditions("standard", model), conversation(window_s)
    if endpoints == "pipes":
        with LinkRun(conditions, ["--in", "-", "--raw", "--key", "vox"], ["--null"]) as run, fed(run, sound):
            return watch(run, window_s)
    device = ["--device", "pulse"]
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(SoundServer(Path(folder))) as server,
        LinkRun(conditions, ["--mic", "--key", "vox", *device], ["--speaker", *device], server.environment) as run,
    ):
        run.wait_for_words("tx")
        mouth = server.speak()
        try:
            threading.Thread(target=mouth.communicate, args=(to_int16(sound),), daemon=True).start()
            return watch(run, window_s)
        finally:
            mouth.kill()
            mouth.wait()


def lacks(endpoints: str) -> str:
    """What is missing for these endpoints, in words; empty: nothing."""
    if not Path("/proc/self/stat").exists():
        return "this system does not count processor time in /proc"
    missing = sound_server.missing() if endpoints != "pipes" else []
    return f"no {', '.join(missing)}; install: apt-get install {sound_server.PACKAGES}" if missing else ""
