"""Microphone: a source of 16 kHz mono blocks that goes on, with silence, while the device is unplugged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from stream.audio import Resampler
from stream.devices import LATENCY_MS, Device
from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm
from stream.ring import Ring

RING_SAMPLES = 1 << 18  # over a second of the fastest card: the loop may be held up for so long
POLL_S = 0.01
OVERRUN_CURE = "give the device more room with --latency-ms, and close other programs"


class Microphone:
    """An input device. Its callback copies into a ring; the loop takes what is there."""

    def __init__(
        self,
        device: str | None = None,
        latency_ms: float = LATENCY_MS,
        notify: Callable[[str], None] = lambda line: None,
        open_hz: float | None = None,
    ):
        """Open it; see `Device` for the arguments. Raises DeviceError."""
        self._ring = Ring(RING_SAMPLES)
        self._device = Device("input", device, latency_ms / 1000, self._callback, OVERRUN_CURE, notify, open_hz)

    def _callback(self, samples: Pcm, frames: int) -> None:
        self._ring.write(samples)

    @property
    def overruns(self) -> int:
        """Times that samples were lost: blocks that the device dropped, and blocks that found no room in the ring."""
        return self._device.xruns + self._ring.refused

    @property
    def trouble(self) -> dict[str, int]:
        """Counters for statistics: overruns, and how often the device went away and came back."""
        return {"overruns": self.overruns, "reopened": self._device.opened - 1}

    def blocks(self, stopped: Callable[[], bool]) -> Iterator[Pcm]:
        """Blocks as they come, until `stopped`; time goes on while the device is away."""
        opened, resample, given = 0, Resampler(SAMPLE_RATE_HZ), 0
        heard_s = time.monotonic()  # up to here, samples or silence were given
        while not stopped():
            if opened != self._device.opened:
                opened, resample = self._device.opened, Resampler(self._device.rate_hz)
            # Nothing happens before a frame is whole: waking for less would cost a battery more than silence does.
            missing_s = (SAMPLES_PER_FRAME - given % SAMPLES_PER_FRAME) / SAMPLE_RATE_HZ - self._ring.level / self._device.rate_hz
            if self._device.present and missing_s > 0:
                time.sleep(max(POLL_S, missing_s))
                continue
            samples, now_s = self._ring.read(), time.monotonic()
            if len(samples):
                heard_s = now_s
                block = resample(samples)
                given += len(block)
                yield block
                continue
            silent = int((now_s - heard_s) * SAMPLE_RATE_HZ)
            heard_s += silent / SAMPLE_RATE_HZ
            given += silent
            yield np.zeros(silent, np.float32)
            time.sleep(POLL_S)

    def close(self) -> None:
        self._device.close()
