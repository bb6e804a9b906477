"""Other people's codecs beside ours: what Debian's programs for Codec2 and Opus take on one core."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr

from stream.errors import ClariError
from stream.frame import SAMPLE_RATE_HZ, Pcm
from stream.process import resident_mb
from stream.wav_stream import to_int16

CODEC2_RATE_HZ = 8_000
OPUS_PACKET_MS = 60
POLL_S = 0.002
FFMPEG = ("ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y")
WAVE = ("-f", "s16le", "-ar", str(SAMPLE_RATE_HZ), "-ac", "1")
# A constant rate, as a link needs it; packets of 60 ms are the longest that libopus codes as one.
OPUS = ("-c:a", "libopus", "-b:a", "6k", "-vbr", "off", "-application", "voip", "-frame_duration", str(OPUS_PACKET_MS))
NAMES = ("codec2-700c", "opus-6k")
PROGRAMS = {"codec2-700c": (("c2enc", "c2dec"), "codec2"), "opus-6k": (("ffmpeg",), "ffmpeg")}


def lacks(name: str) -> str:
    """What is missing for this codec, in words; empty: nothing."""
    programs, package = PROGRAMS[name]
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        return f"no {missing[0]}; install: apt-get install {package}"
    if name == "opus-6k":
        listed = subprocess.run(("ffmpeg", "-hide_banner", "-encoders"), capture_output=True, check=False)
        return "" if b"libopus" in listed.stdout else "this ffmpeg has no libopus; install: apt-get install ffmpeg"
    return ""


def commands(name: str, folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The command that encodes `folder`/in to `folder`/coded, and the one that decodes that to `folder`/out."""
    sound, coded, out = (str(folder / each) for each in ("in", "coded", "out"))
    if name == "codec2-700c":
        return ("c2enc", "700C", sound, coded), ("c2dec", "700C", coded, out)
    encode = (*FFMPEG, *WAVE, "-i", sound, "-threads", "1", *OPUS, "-f", "ogg", coded)
    return encode, (*FFMPEG, "-threads", "1", "-c:a", "libopus", "-i", coded, *WAVE, out)


def spent(command: Sequence[str]) -> tuple[float, float]:
    """Processor seconds that a command takes, and its peak resident megabytes (0 without /proc), on one core.

    Raises:
        ClariError: it fails.
    """
    core = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    peak_mb, ended = 0.0, 0
    while not ended:  # the peak that wait4 knows is that of this process, from before the program was loaded
        peak_mb = max(peak_mb, resident_mb(process.pid))
        time.sleep(POLL_S)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ClariError(f"{command[0]} failed; try it by hand: {' '.join(command)}")
    return usage.ru_utime + usage.ru_stime, peak_mb


def measure(name: str, speech: Pcm) -> dict[str, dict[str, float]]:
    """Real-time factor, start to end, and memory of encoder and decoder for samples [N] at 16 kHz.

    Raises:
        ClariError: a program fails.
    """
    rate_hz = CODEC2_RATE_HZ if name == "codec2-700c" else SAMPLE_RATE_HZ
    sound = speech if rate_hz == SAMPLE_RATE_HZ else np.asarray(soxr.resample(speech, SAMPLE_RATE_HZ, rate_hz), np.float32)
    seconds = len(speech) / SAMPLE_RATE_HZ
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "in").write_bytes(to_int16(sound))
        figures = {}
        for part, command in zip(("encoder", "decoder"), commands(name, folder), strict=True):
            processor_s, resident_mb = spent(command)
            figures[part] = {"real_time_factor": processor_s / seconds, "resident_mb": resident_mb}
        decoded_s = (folder / "out").stat().st_size / 2 / rate_hz
    if decoded_s < 0.9 * seconds:
        raise ClariError(f"{name} gave back {decoded_s:.1f} s of {seconds:.1f} s; reinstall its program")
    return figures
