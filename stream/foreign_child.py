"""A process of its own that reads one sound file: `foreign_child.py FILE`. What it prints, `stream/foreign.py` reads.

    "rate channels\\n", then blocks: number of frames (4 bytes, little-endian), float32 samples; a block of 0 frames is the end

Libraries of many formats crash, spin or ask for all memory when a header is damaged, and cannot be interrupted. Here that
costs a process, and its time and memory are limited. It imports nothing of clari, so that it is there at once.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from typing import BinaryIO

PROCESSOR_S = 3.0  # for one block of 80 ms, or the header: libraries that take longer have lost their way
LARGEST_MEMORY_BYTES = 4 << 30
LARGEST_CHANNELS = 64
BLOCK_S = 0.08
# Frames that a byte can stand for: more are made up, by a length in a damaged header. FLAC packs 65535 of silence in a dozen.
PACKING_FORMATS, PACKED_FRAMES, PLAIN_FRAMES = ("FLAC", "OGG", "MP3", "CAF"), 8192, 64
FAILED = 1  # exit code: it is no file that can be read
LIMITED = hasattr(signal, "setitimer")  # not on Windows


def limit() -> None:
    """Give the next step its time: when it is over, the signal ends the process, whatever library code is running."""
    if LIMITED:
        signal.setitimer(signal.ITIMER_PROF, PROCESSOR_S)


def unlimit() -> None:
    """No step is under way: the process may take what time it likes."""
    if LIMITED:
        signal.setitimer(signal.ITIMER_PROF, 0)


def read(path: str, out: BinaryIO) -> None:
    """Write the samples of a file to `out`.

    Raises:
        soundfile.LibsndfileError, TypeError: it cannot be read.
    """
    import soundfile

    class Forward(soundfile.SoundFile):  # type: ignore[misc]
        """Never seeks: formats that cannot, and those whose length is not known, are read like all others."""

        def seekable(self) -> bool:
            return False

    # By its name the library knows some that have no header; .raw it takes for a question.
    with Forward(os.open(path, os.O_RDONLY) if path.lower().endswith(".raw") else path) as audio:
        rate_hz, channels = int(audio.samplerate), int(audio.channels)
        out.write(f"{rate_hz} {channels}\n".encode())
        if not 1 <= channels <= LARGEST_CHANNELS:
            return
        frames = max(1, int(min(rate_hz, 768_000) * BLOCK_S))
        buffer = bytearray(4 * channels * frames)
        packed = audio.format in PACKING_FORMATS or "MPEG" in audio.subtype
        left = os.path.getsize(path) * (PACKED_FRAMES if packed else PLAIN_FRAMES)
        while left > 0:
            limit()
            count = audio.buffer_read_into(buffer, "float32")
            out.write(struct.pack("<I", max(0, count)))
            if count <= 0:
                break
            left -= count
            out.write(memoryview(buffer)[: 4 * channels * count])
            out.flush()
    out.flush()


def be_limited() -> None:
    """Let the kernel end this process when a step takes too long, and refuse it memory without end."""
    if LIMITED:
        import resource

        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (LARGEST_MEMORY_BYTES, LARGEST_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def private_stdout() -> BinaryIO:
    """Where stdout leads, for us alone: libraries print there as well, and what they print gets lost."""
    out = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return out


def main() -> int:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # they reach the whole group: who reads this answers, and ends it
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    be_limited()
    limit()
    try:
        read(sys.argv[1], private_stdout())
    except Exception:  # whatever a library makes of a damaged file
        return FAILED
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
