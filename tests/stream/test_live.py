"""Microphone to loudspeaker over a real PulseAudio with virtual devices, and how delays are measured.

CLARI_SOUND_SPEED=0.1 makes everything ten times as slow, for a machine that is too busy for real time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream import rx, tx
from stream.alignment import delay_s
from stream.benches.live import opened_hz, talk
from stream.demo import CLIP
from stream.live_link import LiveLink, feed, recorded
from stream.sound_server import PACKAGES, SoundServer, missing
from tests.conftest import SAMPLE_RATE_HZ, speech_like

ROOMY = ["--latency-ms", "200"]
XRUNS = {"tx": ("overruns",), "rx": ("underruns", "dropped_blocks")}  # counters of what a sound card missed
SPEED = float(os.environ.get("CLARI_SOUND_SPEED", "1"))


def sound(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs a sound server; it is skipped where there is none."""
    return pytest.mark.sound(
        pytest.mark.skipif(bool(missing()), reason=f"no {', '.join(missing())}; install: apt-get install {PACKAGES}")(test)
    )


@pytest.mark.parametrize("delay_ms", [0, 3, 730, 2111])
def test_the_delay_between_two_recordings_is_found(delay_ms: float) -> None:
    spoken = speech_like(8.0, seed=2)
    late = np.roll(spoken, round(delay_ms * 16))
    late[: round(delay_ms * 16)] = 0
    noisy = 0.3 * late + 0.002 * np.random.default_rng(0).standard_normal(len(late)).astype(np.float32)
    assert delay_s(spoken, noisy) * 1000 == pytest.approx(delay_ms, abs=1.5)


def test_what_the_live_measurement_plays() -> None:
    parts = talk(np.ones(100, np.float32))
    assert [len(next(parts)) for _ in range(6)] == [100, 16000, 100, 24000, 100, 32000]
    assert [opened_hz(16_000, ppm) for ppm in (-125, 0, 100)] == [15_998, 16_000, 16_002]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SoundServer]:
    started = SoundServer(tmp_path, round(SPEED * SAMPLE_RATE_HZ))
    yield started
    started.close()


def intelligibility(spoken: np.ndarray, heard: np.ndarray) -> float:
    """STOI of two recordings [N] that begin at the same moment, the mean over stretches of 3 s, each laid on the other.

    A receiver follows the clock of its sound card, so the delay wanders by some milliseconds: nobody hears that, but a STOI
    with one delay for all would take it for distortion. Nor do envelopes of 200 bit/s find a delay closer than some 30 ms.
    """
    from pystoi import stoi

    late = round(delay_s(spoken, heard) * SAMPLE_RATE_HZ)
    first, last = (np.flatnonzero(np.abs(spoken) > 1e-3)[place] for place in (0, -1))
    heard = np.pad(heard, SAMPLE_RATE_HZ)
    stretches = np.linspace(first, last, (last - first) // (3 * SAMPLE_RATE_HZ) + 1, dtype=int)

    def one(begin: int, end: int) -> float:
        def best(around: int, reach: int, step: int) -> tuple[float, int]:
            places = range(around - reach, around + reach + 1, step)
            moved = {place: heard[SAMPLE_RATE_HZ + begin + place : SAMPLE_RATE_HZ + end + place] for place in places}
            return max((float(stoi(spoken[begin:end], said, SAMPLE_RATE_HZ)), place) for place, said in moved.items())

        return best(best(late, 640, 80)[1], 80, 16)[0]

    return float(np.mean([one(begin, end) for begin, end in pairwise(stretches)]))


def clip_through(
    server: SoundServer, folder: Path, kept: Path, parts: list[np.ndarray]
) -> tuple[np.ndarray, dict[str, dict[str, float]]]:
    """Say `parts`, the last of them silence; what was spoken and heard [N, 2], and the statistics of both ends."""
    link = LiveLink(server, folder, [*ROOMY, "--record", str(kept)], [*ROOMY, "--record", str(kept), "--delay-ms", "400"])
    processes = []
    try:
        processes += [listening := server.listen(), speaking := server.speak()]
        feed(speaking, iter(parts))
        both = recorded(listening, 2 + sum(map(len, parts)) / SAMPLE_RATE_HZ)
        return both, link.finish()
    finally:
        link.kill()
        for process in processes:
            process.kill()
            process.wait()


@sound
def test_a_clip_through_virtual_devices_is_as_intelligible_as_through_files(server: SoundServer, tmp_path: Path) -> None:
    clip = soundfile.read(CLIP, dtype="float32")[0]
    tail = np.zeros(3 * SAMPLE_RATE_HZ, np.float32)
    assert tx.main(["--in", str(CLIP), "--out", str(tmp_path / "air"), "-q", "--no-vad"]) == 0
    assert rx.main(["--in", str(tmp_path / "air"), "--out", str(tmp_path / "file.wav"), "-q"]) == 0
    through_files = soundfile.read(tmp_path / "file.wav", dtype="float32")[0]
    expected = intelligibility(np.concatenate([clip, tail])[: len(through_files)], through_files)
    # Sound cards that were not served in time lose samples, and say so; such a run measures the machine and is repeated once.
    for attempt in range(2):
        kept = tmp_path / f"kept-{attempt}"
        both, stats = clip_through(server, tmp_path, kept, [np.zeros(SAMPLE_RATE_HZ // 2, np.float32), clip, tail])
        missed = {name: stats[end][name] for end, names in XRUNS.items() for name in names}
        print(f"attempt {attempt}: {missed}")
        if not any(missed.values()):
            break
    assert stats["rx"]["concealed_frames"] == stats["rx"]["late_packets"] == stats["tx"]["dropped_packets"] == 0
    live = intelligibility(both[:, 0], both[:, 1])
    print(f"STOI live {live:.4f}, through files {expected:.4f}; delay {1000 * delay_s(both[:, 0], both[:, 1]):.0f} ms; {stats}")
    assert abs(live - expected) <= 0.02
    (heard,) = kept.glob("heard-*.wav")
    assert soundfile.info(heard).frames == pytest.approx(stats["rx"]["frames"] * 1280, abs=2000)  # but for stretching


@sound
def test_speech_goes_on_after_the_sound_server_was_killed(server: SoundServer, tmp_path: Path) -> None:
    link = LiveLink(server, tmp_path, ROOMY, ROOMY)
    again = None
    try:
        server.kill()
        (tmp_path / "native").unlink(missing_ok=True)
        deadline_s = time.monotonic() + 60
        while not all("went away" in " ".join(link.lines[name]) for name in ("tx", "rx")):
            assert time.monotonic() < deadline_s, link.lines
            time.sleep(0.1)
        again = SoundServer(tmp_path, server.rate_hz)
        while not all("is back" in " ".join(link.lines[name]) for name in ("tx", "rx")):
            assert time.monotonic() < deadline_s, link.lines
            time.sleep(0.1)
        listening, speaking = again.listen(), again.speak()
        feed(speaking, iter([speech_like(6.0, level=0.3)]))
        both = recorded(listening, 8.0)
        listening.kill()
        speaking.kill()
        stats = link.finish()
    finally:
        link.kill()
        if again:
            again.close()
    assert np.abs(both[:, 1]).max() > 0.02 and stats["tx"]["reopened"] >= 1 and stats["rx"]["reopened"] >= 1
    assert all(line.startswith("clari-") for name in link.lines for line in link.lines[name])  # no library speaks there
