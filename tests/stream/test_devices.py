"""Microphone and speaker on a library that stands in for sounddevice: what is copied, counted, lost and found again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import devices
from stream.errors import DeviceError
from stream.microphone import Microphone
from stream.ring import Ring
from stream.speaker import Speaker

PATIENCE_S = 20.0


class Library:
    """One headset that can be unplugged; its streams call back when a test says so."""

    class PortAudioError(Exception):
        pass

    def __init__(self) -> None:
        self.plugged, self.rates_hz, self.streams = True, (16_000, 48_000), []
        self.name = "Headset"
        self.InputStream = self.OutputStream = self._open

    def query_devices(self, device: Any = None, kind: str = "") -> dict[str, Any]:
        if not self.plugged or (device is not None and device != 0 and device not in self.name):
            raise ValueError(f"No {kind} device matching {device!r}")
        channels = {"max_input_channels": 1, "max_output_channels": 2}
        return {"index": 0, "name": self.name, "default_samplerate": 48_000.0, **channels}

    def _open(self, rate_hz: float, channels: int, callback: Callable[..., None], **others: Any) -> Any:
        if rate_hz not in self.rates_hz:
            raise self.PortAudioError("Invalid sample rate")
        assert others["blocksize"] == others["latency"] * rate_hz / 2  # each block wakes two threads, also in silence
        self.streams.append(Stream(self, rate_hz, channels, callback))
        return self.streams[-1]

    def _terminate(self) -> None: ...

    def _initialize(self) -> None: ...


class Stream:
    def __init__(self, library: Library, rate_hz: float, channels: int, callback: Callable[..., None]):
        self._library, self.rate_hz, self.channels, self.callback = library, rate_hz, channels, callback

    @property
    def active(self) -> bool:
        return self._library.plugged

    def start(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    headset = Library()
    monkeypatch.setattr(devices, "import_sounddevice", lambda: headset)
    monkeypatch.setattr(devices, "silence_libraries", lambda: None)
    monkeypatch.setattr(devices, "WATCH_S", 0.002)
    monkeypatch.setattr(devices, "BACK_OFF_S", (0.002,))
    return headset


def wait_for(what: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("write", "read", "skip")), st.integers(0, 70))))
def test_a_ring_keeps_order_and_counts_what_it_refuses(steps: list[tuple[str, int]]) -> None:
    ring, model, number, refused = Ring(64), [], 0, 0
    held = 0  # samples whose place is taken, skipped ones too until the reader comes
    for what, count in steps:
        if what == "write":
            samples = np.arange(number, number + count, dtype=np.float32)
            number += count
            fits = min(count, 64 - held)
            ring.write(samples)
            model += list(samples[:fits])
            held, refused = held + fits, refused + (fits < count)
        elif what == "read":
            out = np.full(count, -1, np.float32)
            there = ring.read_into(out)
            assert there == min(count, len(model)) and list(out[:there]) == model[:there] and (out[there:] == -1).all()
            model = model[there:]
            held = len(model)
        else:
            ring.skip(count)
            model = model[count:]
        assert ring.level == len(model) and ring.refused == refused
    assert list(ring.read()) == model


def test_a_callback_into_the_ring_allocates_no_samples() -> None:
    import tracemalloc

    ring, block = Ring(1 << 14), np.ones(512, np.float32)
    out = np.empty(512, np.float32)
    ring.write(block)
    tracemalloc.start()
    try:
        for _ in range(100):
            ring.write(block)
            ring.read_into(out)
        assert tracemalloc.get_traced_memory()[1] < 512 * 4  # less than one block at any moment
    finally:
        tracemalloc.stop()


def test_a_microphone_gives_what_was_recorded_and_counts_what_was_lost(library: Library) -> None:
    microphone = Microphone(None)
    blocks = microphone.blocks(lambda: False)
    recorded = np.arange(1300, dtype=np.float32)[:, None]  # a frame, which is waited for, and a little more
    for first in range(0, 1300, 130):
        library.streams[0].callback(recorded[first : first + 130], 130, None, False)
    assert np.array_equal(next(blocks), recorded[:, 0])
    recorded = recorded[:300]
    library.streams[0].callback(recorded, 300, None, True)
    assert microphone.overruns == 1
    for _ in range(1000):
        library.streams[0].callback(recorded, 300, None, False)  # nobody reads
    assert microphone.overruns == 1 + 1001 - (1 << 18) // 300  # times, not samples
    microphone.close()


def test_a_card_without_16_khz_is_resampled(library: Library) -> None:
    library.rates_hz = (48_000,)
    microphone, speaker = Microphone("Headset"), Speaker("0")
    assert [stream.rate_hz for stream in library.streams] == [48_000, 48_000]
    library.streams[0].callback(np.zeros((48_000, 1), np.float32), 48_000, None, False)
    assert abs(len(next(microphone.blocks(lambda: False))) - 16_000) < 1000
    speaker.write(np.zeros(16_000, np.float32))
    assert abs(speaker.queued_s - 1.04) < 0.1
    microphone.close()
    speaker.close()


def test_a_microphone_that_is_unplugged_gives_silence_until_it_is_back(library: Library) -> None:
    said: list[str] = []
    microphone = Microphone("Head", notify=said.append)
    library.plugged = False
    wait_for(lambda: len(said) == 1)
    blocks, silence = microphone.blocks(lambda: False), 0
    while silence < 800:  # time goes on
        block = next(blocks)
        assert not block.any()
        silence += len(block)
    library.plugged = True
    wait_for(lambda: len(said) == 2)
    library.streams[-1].callback(np.ones((1280, 1), np.float32), 1280, None, False)
    while not (block := next(blocks)).any():
        pass
    assert len(block) == 1280 and microphone.trouble["reopened"] == 1
    assert said == ["Headset went away; waiting for it", "Headset is back"]
    microphone.close()


def test_the_default_device_may_be_replaced_and_a_chosen_one_not(library: Library) -> None:
    said: dict[str, list[str]] = {"default": [], "chosen": []}
    default, chosen = Microphone(None, notify=said["default"].append), Speaker("Headset", notify=said["chosen"].append)
    library.plugged = False
    wait_for(lambda: all(said.values()))
    library.name, library.plugged = "Built-in", True
    wait_for(lambda: len(said["default"]) == 2)
    assert said["default"][1] == "Built-in takes the place of Headset" and len(said["chosen"]) == 1
    chosen.write(np.ones(1280, np.float32))  # is lost, and nobody waits
    assert chosen.queued_s == 0
    default.close()
    chosen.close()


def test_a_device_that_stands_still_is_opened_again(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "STANDSTILL_S", 0.01)
    microphone = Microphone(None)
    wait_for(lambda: len(library.streams) > 1)
    microphone.close()


def test_a_speaker_plays_a_cushion_then_speech_then_silence(library: Library) -> None:
    speaker = Speaker(None, latency_ms=10)
    speaker.write(np.full(1280, 0.5, np.float32))
    out = np.full((2000, 2), 9.0, np.float32)
    library.streams[0].channels = 2
    library.streams[0].callback(out, 2000, None, False)
    assert np.array_equal(out[:, 0], np.repeat([0, 0.5, 0], [160, 1280, 560]).astype(np.float32))
    assert np.array_equal(out[:, 1], out[:, 0])
    assert speaker.underruns == 0
    speaker.write(np.full(1280, 0.5, np.float32))  # at once, but the device had nothing to play before
    assert speaker.underruns == 1
    speaker.close()


def test_a_speaker_that_does_not_keep_up_plays_the_newest(library: Library) -> None:
    speaker = Speaker(None, latency_ms=10)
    for number in range(10):
        speaker.write(np.full(1280, number, np.float32))
    assert speaker.dropped_blocks == 9 and speaker.queued_s < 0.2
    out = np.zeros((1280, 1), np.float32)
    library.streams[0].callback(out, 1280, None, False)
    assert out[-1, 0] == 9
    speaker.close()


def test_xruns_are_told_with_their_cure(library: Library) -> None:
    said: list[str] = []
    speaker = Speaker(None, notify=said.append)
    library.streams[0].callback(np.zeros((10, 1), np.float32), 10, None, True)
    wait_for(lambda: bool(said))
    assert said == ["1 xruns so far on Headset: increase --latency-ms"]
    speaker.close()


def test_a_device_that_cannot_be_opened_is_one_line(library: Library) -> None:
    library.rates_hz = ()
    with pytest.raises(DeviceError, match="cannot record from Headset: Invalid sample rate; choose another --device"):
        Microphone(None)
    library.plugged = False
    with pytest.raises(DeviceError, match="no default output device"):
        Speaker(None)
    assert threading.active_count() < 50
