"""Sound cards by PortAudio: found by index or name, kept open, opened again when they were unplugged.

sounddevice is imported here and only when a device is asked for. The audio callback is its owner's; it may only copy.
A thread watches the stream: when it has ended or stands still, it is closed, and the device with the same name is tried
again and again until it is there. Whoever records or plays goes on meanwhile, with silence.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from stream.errors import DeviceError
from stream.frame import SAMPLE_RATE_HZ

WATCH_S = 0.1
STANDSTILL_S = 3.0  # without a callback, and the device is gone, even if PortAudio has not noticed
BACK_OFF_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)  # between attempts; the last one for ever
COMPLAINT_S = 5.0  # between two lines about missing samples
LATENCY_MS = 30.0
PERIODS = 2  # of a device's buffer: as many as it takes, since each wakes two threads; four double the cost of silence
NO_PORTAUDIO = """there is no PortAudio library, which microphone and speaker need
  install it: apt-get install libportaudio2 libasound2-plugins"""


def silence_libraries() -> None:
    """Keep stderr for our own lines: PortAudio and ALSA print their inner errors, several for each unplugged device."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stderr.fileno() == 2:
            sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)


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
    """A table of the audio devices; the defaults are marked.

    Raises:
        DeviceError: there are none, or no library that knows.
    """
    found = str(import_sounddevice().query_devices())
    if not found:
        raise DeviceError("no audio device; plug one in, or start the sound server")
    return found


def find_device(kind: str, wanted: str | None) -> tuple[int, dict[str, Any]]:
    """Index and description of the device with that index or name part, or of the default one.

    kind: "input" or "output". Raises:
        DeviceError: there is none, or there are several.
    """
    sounddevice = import_sounddevice()
    try:
        info = sounddevice.query_devices(int(wanted) if wanted and wanted.isdigit() else wanted, kind)
    except (ValueError, sounddevice.PortAudioError) as error:
        several = str(error).startswith("Multiple")
        asked = (
            f"{'several' if several else 'no'} {kind} device{'s' * several} {wanted!r}" if wanted else f"no default {kind} device"
        )
        raise DeviceError(f"{asked}; see --list-devices, then choose with --device") from None
    return info["index"], info


class Device:
    """An input or output stream that stays open for as long as there is a device of its name."""

    def __init__(
        self,
        kind: str,
        wanted: str | None,
        latency_s: float,
        callback: Callable[[Any, int], None],
        cure: str,
        notify: Callable[[str], None],
        open_hz: float | None = None,
    ):
        """Open the device.

        kind: "input" or "output". callback: gets PortAudio's samples [frames] of one channel, to be copied from or into,
        and their number. cure: what helps against xruns. notify: gets a line when something happens.
        open_hz: the rate to open at while it passes for 16 kHz, as a card with a wrong clock does; for measurements.

        Raises:
            DeviceError: no such device, or it cannot be opened.
        """
        self.name = ""
        self.rate_hz = 0.0
        self.xruns = 0  # blocks that came late for the device: samples were lost or doubled
        self.opened = 0  # times
        self.present = False
        self._kind, self._wanted, self._latency_s, self._open_hz = kind, wanted, latency_s, open_hz
        self._callback, self._cure, self._notify = callback, cure, notify
        self._calls = 0
        self._library = import_sounddevice()
        silence_libraries()
        self._stream: Any = None
        self._open(wanted)
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name=f"{kind} device", daemon=True)
        self._keeper.start()

    def close(self) -> None:
        """Stop, and stop watching."""
        self._closing.set()
        self._keeper.join(timeout=2.0)
        self._shut()

    def _open(self, wanted: str | None) -> None:
        index, info = find_device(self._kind, wanted)
        kind = self._library.InputStream if self._kind == "input" else self._library.OutputStream
        channels = min(2, info[f"max_{self._kind}_channels"])
        # Speech at 16 kHz spares a resampler and its delay; one channel spares the other. Not every card can do it.
        ways = [(SAMPLE_RATE_HZ, 1), (info["default_samplerate"], 1), (info["default_samplerate"], channels)]
        if self._open_hz:
            ways = [(self._open_hz, 1)]
        reason: Exception | None = None
        for rate_hz, count in ways:
            try:
                stream = kind(
                    rate_hz,
                    blocksize=max(1, round(self._latency_s * rate_hz / PERIODS)),
                    device=index,
                    channels=count,
                    dtype="float32",
                    latency=self._latency_s,
                    callback=self._called,
                )
                stream.start()
            except self._library.PortAudioError as error:
                reason = reason or error
                continue
            self._stream, self.name = stream, info["name"]
            self.rate_hz = float(SAMPLE_RATE_HZ if self._open_hz else rate_hz)
            self.opened += 1
            self.present = True
            return
        action = "record from" if self._kind == "input" else "play on"
        raise DeviceError(f"cannot {action} {info['name']}: {reason}; choose another --device, see --list-devices")

    def _called(self, samples: Any, frames: int, time: Any, status: Any) -> None:
        self._calls += 1
        if status:
            self.xruns += 1
        self._callback(samples[:, 0], frames)
        for channel in range(1, samples.shape[1] if self._kind == "output" else 0):
            samples[:, channel] = samples[:, 0]

    def _shut(self) -> None:
        self.present = False
        with contextlib.suppress(self._library.PortAudioError):
            self._stream.close()

    def _keep(self) -> None:
        calls, moved_s, told, told_s = -1, 0.0, 0, -COMPLAINT_S
        while not self._closing.wait(WATCH_S):
            now_s = time.monotonic()
            if self._calls != calls:
                calls, moved_s = self._calls, now_s
            if self.xruns > told and now_s - told_s > COMPLAINT_S:
                told, told_s = self.xruns, now_s
                self._notify(f"{told} xruns so far on {self.name}: {self._cure}")
            if not self._stream.active or now_s - moved_s > STANDSTILL_S:
                self._wait_for_return()
                moved_s = time.monotonic()

    def _wait_for_return(self) -> None:
        """Close the stream and open it again, which fails until the device is back."""
        name, attempt = self.name, 0
        self._shut()
        self._notify(f"{name} went away; waiting for it")
        while not self._closing.wait(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)]):
            attempt += 1
            try:
                self._library._terminate()  # the list of devices is made once, when the library begins
                self._library._initialize()
                self._reopen(name)
            except (DeviceError, self._library.PortAudioError):
                continue
            self._notify(f"{name} is back" if self.name == name else f"{self.name} takes the place of {name}")
            return

    def _reopen(self, name: str) -> None:
        try:
            self._open(name)
        except DeviceError:
            if self._wanted is not None:
                raise
            self._open(None)  # nobody asked for that device: the default may be another by now
