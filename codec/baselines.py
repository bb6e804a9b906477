"""Other people's codecs, run through the programs that Debian ships: Codec2 and Opus."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from codec.systems import Decoded, UnavailableError, padded, realigned
from stream.benches.others import OPUS, OPUS_PACKET_MS, WAVE
from stream.errors import ClariError
from stream.frame import SAMPLE_RATE_HZ
from stream.wav_stream import to_int16


def _run(command: Sequence[str], data: bytes, package: str) -> bytes:
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise ClariError(f"{command[0]} failed: {said[0]}; reinstall the Debian package {package}")
    return done.stdout


def _to_samples(data: bytes) -> np.ndarray:
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768


@dataclass(frozen=True)
class Codec2Mode:
    """One bit rate of Codec2 (Rowe, https://github.com/drowe67/codec2) at 8 kHz."""

    mode: str
    frame_samples: int
    bits_per_frame: int
    delay_samples: int
    """At 8 kHz. Where STOI against the original peaks, the same within 5 ms for every voice tried (a test repeats it)."""


CODEC2_MODES = (
    Codec2Mode("700C", frame_samples=320, bits_per_frame=28, delay_samples=240),
    Codec2Mode("1300", frame_samples=320, bits_per_frame=52, delay_samples=170),
    Codec2Mode("3200", frame_samples=160, bits_per_frame=64, delay_samples=160),
)


class Codec2System:
    """Debian's Codec2 through its command line programs."""

    def __init__(self, mode: Codec2Mode):
        """Find the programs.

        Raises:
            UnavailableError: they are not installed.
        """
        missing = [program for program in ("c2enc", "c2dec") if shutil.which(program) is None]
        if missing:
            raise UnavailableError(f"{missing[0]} not found; install the Debian package codec2")
        self.mode = mode
        self.name = f"codec2-{mode.mode.lower()}"

    def decode(self, samples: np.ndarray) -> Decoded:
        mode, rate_hz = self.mode, 8_000
        narrow = soxr.resample(samples.astype(np.float32), SAMPLE_RATE_HZ, rate_hz)
        # One frame more than the delay needs: resampling rounds, and the utterance must come out whole.
        heard = padded(narrow, mode.delay_samples + mode.frame_samples, mode.frame_samples)
        coded = _run(("c2enc", mode.mode, "-", "-"), to_int16(heard), "codec2")
        decoded = _to_samples(_run(("c2dec", mode.mode, "-", "-"), coded, "codec2"))
        whole = soxr.resample(decoded, rate_hz, SAMPLE_RATE_HZ)
        # The file fills each frame up to whole bytes; a link would not send the filling, so it is not counted.
        frames = len(coded) // -(-mode.bits_per_frame // 8)
        delay_samples = mode.delay_samples * SAMPLE_RATE_HZ // rate_hz
        return Decoded(realigned(whole, delay_samples, len(samples)), frames * mode.bits_per_frame, len(heard) / rate_hz)


def ogg_packets(data: bytes) -> list[int]:
    """Sizes in bytes of the packets of a single Ogg stream, its two headers included (RFC 3533).

    Raises:
        ValueError: a page is damaged or cut off.
    """
    sizes, size, at = [], 0, 0
    while at < len(data):
        segments = data[at + 26] if len(data) >= at + 27 and data[at : at + 4] == b"OggS" else 0
        lacing = data[at + 27 : at + 27 + segments]
        end = at + 27 + segments + sum(lacing)
        if not segments or len(lacing) < segments or end > len(data):
            raise ValueError(f"damaged Ogg page at byte {at}")
        for length in lacing:
            size += length
            if length < 255:  # a segment of 255 bytes continues in the next one, also across pages
                sizes.append(size)
                size = 0
        at = end
    return sizes


class OpusSystem:
    """Opus (RFC 6716) at its lowest rate, 6 kbit/s, through ffmpeg's libopus at 16 kHz.

    Packets of 60 ms, the longest that libopus codes as one: fewer headers leave more bits for the speech. The rate is
    constant, as a link of fixed rate needs it and as it is for every other system; libopus would otherwise save
    bits in pauses. Counted are the packets, not the Ogg pages around them.
    """

    name = "opus-6k"
    packet_ms = OPUS_PACKET_MS
    delay_samples = 0
    """At 16 kHz, beside the delay that the stream's header states and ffmpeg removes. Found like Codec2's."""

    def __init__(self) -> None:
        """Find the program.

        Raises:
            UnavailableError: ffmpeg is not installed or has no libopus.
        """
        if shutil.which("ffmpeg") is None:
            raise UnavailableError("ffmpeg not found; install the Debian package ffmpeg")
        listed = subprocess.run(("ffmpeg", "-hide_banner", "-encoders"), capture_output=True, check=False)
        if b"libopus" not in listed.stdout:
            raise UnavailableError("this ffmpeg has no libopus; install the Debian package ffmpeg")

    def decode(self, samples: np.ndarray) -> Decoded:
        packet_samples = SAMPLE_RATE_HZ * self.packet_ms // 1000
        # One packet more than the delay needs: the program may cut what it looked ahead.
        heard = padded(samples, self.delay_samples + packet_samples, packet_samples)
        quiet = ("ffmpeg", "-hide_banner", "-loglevel", "error")
        coded = _run((*quiet, *WAVE, "-i", "-", *OPUS, "-f", "ogg", "-"), to_int16(heard), "ffmpeg")
        decoded = _to_samples(_run((*quiet, "-c:a", "libopus", "-i", "-", *WAVE, "-"), coded, "ffmpeg"))
        packets = ogg_packets(coded)[2:]
        return Decoded(realigned(decoded, self.delay_samples, len(samples)), 8 * sum(packets), len(packets) * self.packet_ms / 1000)
