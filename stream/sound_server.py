"""A private PulseAudio with a virtual microphone and a virtual loudspeaker, for tests and measurements without a sound card.

Both are channels of one null sink: what enters the microphone is the left channel, what leaves the loudspeaker the right
one, and a recording of the sink holds both on one clock. Debian: apt-get install pulseaudio libportaudio2
libasound2-plugins
"""

from __future__ import annotations

import ctypes.util
import shutil
import subprocess
import time
from pathlib import Path

from stream.config import without_settings
from stream.errors import DeviceError
from stream.frame import SAMPLE_RATE_HZ

PROGRAMS = ("pulseaudio", "pactl", "pacat", "parec")
PACKAGES = "pulseaudio libportaudio2 libasound2-plugins"
PLUGIN = "libasound_module_pcm_pulse.so"
START_S = 30.0


def missing() -> list[str]:
    """What this machine lacks for a sound server that PortAudio can use."""
    lacks = [name for name in PROGRAMS if shutil.which(name) is None]
    lacks += [] if ctypes.util.find_library("portaudio") else ["libportaudio2"]
    return lacks + ([] if any(Path("/usr/lib").glob(f"**/alsa-lib/{PLUGIN}")) else ["libasound2-plugins"])


class SoundServer:
    """The server; `environment` leads a program's devices `pulse` to the virtual ones."""

    def __init__(self, folder: Path, rate_hz: int = SAMPLE_RATE_HZ):
        """Start it; its files lie in `folder`.

        rate_hz: of the sink, for 16 kHz sound. A tenth of that makes everything ten times as slow, for busy machines.

        Raises:
            DeviceError: what it needs is not installed, or it does not start.
        """
        if lacks := missing():
            raise DeviceError(f"needs {', '.join(lacks)}; install: apt-get install {PACKAGES}")
        self.rate_hz = rate_hz
        self._folder = folder
        socket = folder / "native"
        self.environment = {
            **without_settings(),
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder / "pulse"),
            "PULSE_SERVER": f"unix:{socket}",
            "PULSE_SINK": "loudspeaker",
            "PULSE_SOURCE": "microphone",
        }
        self._sink = f"module-null-sink sink_name=card rate={rate_hz} channels=2 channel_map=front-left,front-right"
        modules = [f"module-native-protocol-unix socket={socket} auth-anonymous=1", self._sink]
        modules += [
            f"module-remap-sink sink_name={name} master=card channels=1 channel_map=mono master_channel_map={side} remix=no"
            for name, side in (("mouth", "front-left"), ("loudspeaker", "front-right"))
        ]
        self._microphone = (
            "module-remap-source source_name=microphone master=card.monitor channels=1 channel_map=mono "
            "master_channel_map=front-left remix=no"
        )
        modules.append(self._microphone)
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]
        command += [f"--log-target=file:{folder / 'log'}", *(f"--load={module}" for module in modules)]
        self._process = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + START_S
        while "microphone" not in self.control("list", "short", "sources"):
            if time.monotonic() > deadline_s or self._process.poll() is not None:
                self.close()
                raise DeviceError(f"PulseAudio did not start; {folder / 'log'} says why")
            time.sleep(0.1)

    def control(self, *words: str) -> str:
        """What `pactl` answers."""
        done = subprocess.run(["pactl", *words], env=self.environment, capture_output=True, text=True, timeout=START_S)
        return done.stdout

    def speak(self) -> subprocess.Popen[bytes]:
        """A process that plays the raw 16-bit mono samples of its stdin into the microphone."""
        return subprocess.Popen(
            [
                "pacat",
                "--playback",
                "--device=mouth",
                "--format=s16le",
                "--channels=1",
                f"--rate={self.rate_hz}",
                "--latency-msec=200",
            ],
            env=self.environment,
            stdin=subprocess.PIPE,
        )

    def listen(self) -> subprocess.Popen[bytes]:
        """A process that writes raw 16-bit samples to its stdout: left what the microphone gets, right what is heard."""
        return subprocess.Popen(
            [
                *("parec", "--device=card.monitor", "--format=s16le", "--channels=2", "--channel-map=front-left,front-right"),
                *(f"--rate={self.rate_hz}", "--latency-msec=100"),
            ],
            env=self.environment,
            stdout=subprocess.PIPE,
        )

    def kill(self) -> None:
        """Take the server away without a word, as a pulled plug does."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()
