"""Speaker: a sink of 16 kHz mono blocks that never makes the receiver wait.

A ring lies between the receiver, which writes a block when it is due, and the device, which takes samples when it likes.
Each talk spurt begins with a little silence, so that a block that is written late is not missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import soxr

from stream.devices import LATENCY_MS, Device
from stream.frame import FRAME_S, SAMPLE_RATE_HZ, Pcm
from stream.ring import Ring

LONGEST_QUEUE_S = 0.64  # a device slower than the sender's drops speech here instead of adding delay for ever
LATE_S = 0.3  # a block that comes so much too late was missed; after that it begins another talk spurt
LAST_WORDS_S = 5.0  # at most, that closing waits for what is queued
UNDERRUN_CURE = "increase --latency-ms"


class Speaker:
    """An output device. Its callback copies from a ring."""

    def __init__(
        self,
        device: str | None = None,
        latency_ms: float = LATENCY_MS,
        notify: Callable[[str], None] = lambda line: None,
        open_hz: float | None = None,
    ):
        """Open it; see `Device` for the arguments. Raises DeviceError."""
        self._late_blocks = 0
        self.dropped_blocks = 0
        self._ring = Ring(1 << 18)
        self._device = Device("output", device, latency_ms / 1000, self._callback, UNDERRUN_CURE, notify, open_hz)
        self._latency_s = latency_ms / 1000
        self._opened = 0
        self._expected_s = 0.0  # when the next block of the talk spurt has to be written
        self._adapt()

    def _callback(self, out: Pcm, frames: int) -> None:
        out[self._ring.read_into(out) :] = 0

    @property
    def underruns(self) -> int:
        """Times at which the device had nothing to play in the midst of speech."""
        return self._device.xruns + self._late_blocks

    @property
    def trouble(self) -> dict[str, int]:
        """Counters for statistics: underruns, blocks dropped, and how often the device went away and came back."""
        return {"underruns": self.underruns, "dropped_blocks": self.dropped_blocks, "reopened": self._device.opened - 1}

    @property
    def queued_s(self) -> float:
        """Seconds of sound that the device has not taken yet."""
        return self._ring.level / self._rate_hz

    def write(self, pcm: Pcm) -> None:
        """Queue samples [N] for the device; while it is away they are lost, as time is."""
        if self._opened != self._device.opened:
            self._adapt()
        if not self._device.present:
            return
        block = pcm if self._resample is None else self._resample.resample_chunk(pcm)
        now_s = time.monotonic()
        cushion = round(self._latency_s * self._rate_hz)
        if self._ring.level - cushion > LONGEST_QUEUE_S * self._rate_hz:
            self.dropped_blocks += round((self._ring.level - cushion) / self._rate_hz / FRAME_S)
            self._ring.skip(self._ring.level - cushion)  # newest speech wins, and the delay is as before
        if not self._ring.level:
            self._late_blocks += now_s < self._expected_s + LATE_S
            self._ring.write(np.zeros(cushion, np.float32))
        self._ring.write(block)
        self._expected_s = now_s + len(pcm) / SAMPLE_RATE_HZ

    def close(self) -> None:
        """Play what is queued, then stop."""
        deadline_s = time.monotonic() + min(self.queued_s, LAST_WORDS_S) + FRAME_S
        while self.queued_s and self._device.present and time.monotonic() < deadline_s:
            time.sleep(FRAME_S / 8)
        if self._opened and self._device.present:
            time.sleep(2 * self._latency_s)  # what the device itself still holds
        self._device.close()

    def _adapt(self) -> None:
        """Take over the rate of a device that was opened, or opened again."""
        self._opened, self._rate_hz = self._device.opened, self._device.rate_hz
        same = self._rate_hz == SAMPLE_RATE_HZ
        self._resample = None if same else soxr.ResampleStream(SAMPLE_RATE_HZ, self._rate_hz, 1, dtype="float32")
        self._expected_s = 0.0
