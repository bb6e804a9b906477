"""Other people's codecs: Codec2 through the programs that Debian ships, Opus through the libopus inside the package av."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import soxr

from stream.errors import ClariError
from stream.frame import SAMPLE_RATE_HZ
from stream.wav_stream import to_int16


class UnavailableError(Exception):
    """A system that this machine does not offer; the text names the cure."""


def padded(samples: np.ndarray, delay_samples: int, block_samples: int) -> np.ndarray:
    """Samples [N] with zeros after them: whole blocks, and enough that N samples come out `delay_samples` later."""
    after = delay_samples + -(len(samples) + delay_samples) % block_samples
    return np.pad(samples.astype(np.float32), (0, after))


def realigned(decoded: np.ndarray, delay_samples: int, samples: int) -> np.ndarray:
    """The `samples` samples of `decoded` [M] that belong to the original, which they follow by `delay_samples`.

    Raises:
        ValueError: the end of the utterance has not come out.
    """
    if len(decoded) < delay_samples + samples:
        raise ValueError(f"{len(decoded)} samples decoded, {delay_samples + samples} needed; pad the input")
    found: np.ndarray = decoded[delay_samples : delay_samples + samples].astype(np.float32)
    return found


def _run(command: Sequence[str], data: bytes) -> bytes:
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise ClariError(f"{command[0]} failed: {said[0]}; reinstall the Debian package codec2")
    return done.stdout


@dataclass(frozen=True)
class Codec2Mode:
    """One bit rate of Codec2 (Rowe, https://github.com/drowe67/codec2) at 8 kHz."""

    mode: str
    frame_samples: int
    bits_per_frame: int
    delay_samples: int
    """At 8 kHz. Where STOI against the original peaks, the same within 5 ms for every voice tried (a test repeats it)."""


CODEC2_RATE_HZ = 8_000
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
        self.bits_per_s: float | None = mode.bits_per_frame * CODEC2_RATE_HZ / mode.frame_samples

    def encode(self, narrow: np.ndarray) -> bytes:
        """Samples [N] at 8 kHz, N whole frames -> frames, each filled up to whole bytes, as the program writes them."""
        return _run(("c2enc", self.mode.mode, "-", "-"), to_int16(narrow))

    def process(self, samples: np.ndarray, transcript: str) -> np.ndarray:
        mode = self.mode
        narrow = soxr.resample(samples.astype(np.float32), SAMPLE_RATE_HZ, CODEC2_RATE_HZ)
        # One frame more than the delay needs: resampling rounds, and the utterance must come out whole.
        coded = self.encode(padded(narrow, mode.delay_samples + mode.frame_samples, mode.frame_samples))
        decoded = np.frombuffer(_run(("c2dec", mode.mode, "-", "-"), coded), "<i2").astype(np.float32) / 32768
        whole = soxr.resample(decoded, CODEC2_RATE_HZ, SAMPLE_RATE_HZ)
        return realigned(whole, mode.delay_samples * SAMPLE_RATE_HZ // CODEC2_RATE_HZ, len(samples))


class OpusSystem:
    """Opus (RFC 6716) at its lowest rate, 6 kbit/s, by libopus at 16 kHz.

    Packets of 60 ms, the longest that libopus codes as one: fewer headers leave more bits for the speech. The rate is
    constant, as a link of fixed rate needs it and as it is for every other system; libopus would otherwise save
    bits in pauses.
    """

    name = "opus-6k"
    bits_per_s: float | None = 6_000.0
    packet_samples = 960
    decoded_rate_hz = 48_000  # whatever the encoder's
    options = {"vbr": "off", "application": "voip", "frame_duration": "60"}  # noqa: RUF012 - never changed

    def __init__(self) -> None:
        """Find the package.

        Raises:
            UnavailableError: av is not installed, or has no libopus.
        """
        try:
            import av
        except ImportError:
            raise UnavailableError("package av not found; install: pip install 'clari[eval]'") from None
        if "libopus" not in av.codecs_available:
            raise UnavailableError("this av has no libopus; install its wheel: pip install --force-reinstall av")

    def encode(self, heard: np.ndarray) -> tuple[list[bytes], bytes]:
        """Samples [N] at 16 kHz, N whole packets -> packets, and the header (RFC 7845) that tells the decoder how many
        samples of theirs come before the first."""
        import av

        encoder = av.CodecContext.create("libopus", "w")
        encoder.sample_rate, encoder.layout, encoder.format = SAMPLE_RATE_HZ, "mono", "s16"
        encoder.bit_rate, encoder.time_base, encoder.options = int(self.bits_per_s or 0), Fraction(1, SAMPLE_RATE_HZ), self.options
        encoder.open()
        packets = []
        for block in np.frombuffer(to_int16(heard), "<i2").reshape(-1, self.packet_samples):
            frame = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE_HZ
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
        return [bytes(packet) for packet in packets], bytes(encoder.extradata or b"")

    def process(self, samples: np.ndarray, transcript: str) -> np.ndarray:
        import av

        # One packet more: what the encoder looked ahead must come out.
        packets, header = self.encode(padded(samples, self.packet_samples, self.packet_samples))
        decoder = av.CodecContext.create("libopus", "r")
        decoder.sample_rate, decoder.layout, decoder.extradata = self.decoded_rate_hz, "mono", header
        frames = [frame.to_ndarray()[0] for packet in packets for frame in decoder.decode(av.Packet(packet))]
        whole = np.concatenate(frames).astype(np.float32) / 32768
        return realigned(soxr.resample(whole, self.decoded_rate_hz, SAMPLE_RATE_HZ), 0, len(samples))
