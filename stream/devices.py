"""Microphone and speaker. sounddevice is imported here and only when a device is asked for.

The audio callback copies and counts, nothing else: no allocation that grows, no codec, no file. A queue of blocks
lies between it and the loop.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import soxr

from stream.audio import Resampler
from stream.errors import DeviceError
from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm

MICROPHONE_BLOCKS = 256  # of the size the device likes, a few milliseconds each
SPEAKER_BLOCKS = 8  # of 80 ms: a device slower than the sender's drops speech here instead of adding delay for ever
NO_PORTAUDIO = "no PortAudio library; install it: apt-get install libportaudio2"


def import_sounddevice() -> Any:
    """The sounddevice module.

    Raises:
        DeviceError: it or PortAudio is missing.
    """
    try:
        import sounddevice
    except OSError:
        raise DeviceError(NO_PORTAUDIO) from None
    except ImportError:
        raise DeviceError("no sounddevice; install it: pip install sounddevice") from None
    return sounddevice


def list_devices() -> str:
    """A table of the audio devices; the defaults are marked."""
    return str(import_sounddevice().query_devices())


def find_device(kind: str, wanted: str | None) -> tuple[int, dict[str, Any]]:
    """Index and description of the device with that index or name part, or of the default one.

    kind: "input" or "output". Raises:
        DeviceError: there is none.
    """
    sounddevice = import_sounddevice()
    try:
        info = sounddevice.query_devices(int(wanted) if wanted and wanted.isdigit() else wanted, kind)
    except (ValueError, sounddevice.PortAudioError):
        asked = f"no {kind} device {wanted!r}" if wanted else f"no default {kind} device"
        raise DeviceError(f"{asked}; see --list-devices, then choose with --device") from None
    return info["index"], info


class Microphone:
    """A source of 16 kHz mono blocks from an input device."""

    def __init__(self, device: str | None):
        self.overruns = 0
        self._sounddevice = import_sounddevice()
        index, info = find_device("input", device)
        self.name = info["name"]
        self._rate_hz = float(info["default_samplerate"])
        self._blocks: queue.Queue[Pcm] = queue.Queue(MICROPHONE_BLOCKS)
        self._finished = threading.Event()
        try:
            self._stream = self._sounddevice.InputStream(
                self._rate_hz,
                device=index,
                channels=1,
                dtype="float32",
                latency="high",
                callback=self._callback,
                finished_callback=self._finished.set,
            )
            self._stream.start()
        except self._sounddevice.PortAudioError as error:
            raise DeviceError(f"cannot record from {self.name}: {error}; choose another --device") from None

    def _callback(self, samples: Any, frames: int, time: Any, status: Any) -> None:
        self.overruns += bool(status)
        try:
            self._blocks.put_nowait(samples[:, 0].copy())  # PortAudio reuses its buffer after the call
        except queue.Full:
            self.overruns += 1

    def blocks(self, stopped: Callable[[], bool]) -> Iterator[Pcm]:
        """Blocks as they come, until `stopped`.

        Raises:
            DeviceError: the device went away.
        """
        resample = Resampler(self._rate_hz)
        while not stopped():
            try:
                yield resample(self._blocks.get(timeout=0.1))
            except queue.Empty:
                if self._finished.is_set():
                    raise DeviceError(f"{self.name} stopped delivering; plug it in again or choose another --device") from None

    def close(self) -> None:
        self._stream.close()


class Speaker:
    """A sink that plays 16 kHz mono blocks on an output device."""

    def __init__(self, device: str | None):
        self.underruns = 0
        self.dropped_blocks = 0
        self._sounddevice = import_sounddevice()
        index, info = find_device("output", device)
        self.name = info["name"]
        rate_hz = float(info["default_samplerate"])
        self._rate_hz = rate_hz
        self._resample = None if rate_hz == SAMPLE_RATE_HZ else soxr.ResampleStream(SAMPLE_RATE_HZ, rate_hz, 1, dtype="float32")
        self._blocks: queue.Queue[Pcm] = queue.Queue(SPEAKER_BLOCKS)
        self._rest = np.zeros(0, np.float32)
        self._speaking = False
        try:
            self._stream = self._sounddevice.OutputStream(
                rate_hz, device=index, channels=1, dtype="float32", latency="high", callback=self._callback
            )
            self._stream.start()
        except self._sounddevice.PortAudioError as error:
            raise DeviceError(f"cannot play on {self.name}: {error}; choose another --device") from None

    def _callback(self, output: Any, frames: int, time: Any, status: Any) -> None:
        filled = 0
        while filled < frames:
            if not len(self._rest):
                try:
                    self._rest = self._blocks.get_nowait()
                except queue.Empty:
                    break
            count = min(frames - filled, len(self._rest))
            output[filled : filled + count, 0] = self._rest[:count]
            self._rest = self._rest[count:]
            filled += count
        output[filled:, 0] = 0
        # Silence between talk spurts is no underrun; running dry right after speech was played is.
        self.underruns += filled < frames and self._speaking
        self._speaking = filled == frames

    @property
    def queued_s(self) -> float:
        """Seconds of sound that the device has not taken yet."""
        return (len(self._rest) + sum(len(block) for block in [*self._blocks.queue])) / self._rate_hz

    def write(self, pcm: Pcm) -> None:
        block = pcm if self._resample is None else self._resample.resample_chunk(pcm)
        try:
            self._blocks.put_nowait(block)
        except queue.Full:
            with contextlib.suppress(queue.Empty):  # the callback may have emptied it meanwhile
                self._blocks.get_nowait()  # newest speech wins
            self._blocks.put_nowait(block)
            self.dropped_blocks += 1

    def close(self) -> None:
        """Play what is queued, then stop."""
        seconds = self._blocks.qsize() * SAMPLES_PER_FRAME / SAMPLE_RATE_HZ
        self._sounddevice.sleep(round(1000 * min(seconds, 5.0)) + 200)
        self._stream.close()
