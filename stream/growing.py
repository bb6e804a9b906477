"""Sound files that grow and can be read at every moment, whatever ends the program: header and samples always agree.

Samples come first and the header after them, so that it never promises what is not there. The file appears with header and first
samples in one write.
"""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, cast

import soundfile

from stream.frame import SAMPLE_RATE_HZ
from stream.wav_stream import header

HEADER_EVERY_SAMPLES = SAMPLE_RATE_HZ  # a second; more often in the first one
LARGEST_DATA_BYTES = 0xFFFFFFFF - 36  # more does not fit into a header: to its readers the file then lasts to its end
TOTAL_SAMPLES_AT, TOTAL_SAMPLES_BITS = 18, 36  # in FLAC: after "fLaC", the header of STREAMINFO and what comes before it there
BLOCK_SIZE_AT = 8
STREAM_HEADER_BYTES = 42


class GrowingWav:
    """A WAV of 16 kHz mono 16-bit samples. A pipe with a name gets one of unknown length."""

    def __init__(self, path: Path, new: bool = False):
        """Remember the file; it is opened with its first samples. new: it must not exist then."""
        self._path, self._new = path, new
        self._file: BinaryIO | None = None
        self._seekable = True
        self.written_samples = self._promised_samples = 0

    def write(self, data: bytes) -> None:
        """Append 16-bit samples.

        Raises:
            OSError: they cannot be written.
        """
        if self._file is None:
            self._seekable = not self._path.exists() or self._path.is_file()
            begin = header(len(data) if self._seekable else LARGEST_DATA_BYTES)
            self._file = appear(self._path, begin + data, self._new)
            self.written_samples = self._promised_samples = len(data) // 2
            return
        write_all(self._file, data)
        self.written_samples += len(data) // 2
        since = self.written_samples - self._promised_samples
        if since >= HEADER_EVERY_SAMPLES or self.written_samples <= HEADER_EVERY_SAMPLES:
            self._promise()

    def close(self) -> None:
        """Renew the header and close the file.

        Raises:
            OSError: it cannot be written.
        """
        if self._file is None:
            return
        try:
            self._promise()
        finally:
            self._file.close()
            self._file = None

    def _promise(self) -> None:
        if self._file is not None and self._seekable and self._promised_samples != self.written_samples:
            self._file.seek(0)
            write_all(self._file, header(min(2 * self.written_samples, LARGEST_DATA_BYTES)))
            self._file.seek(0, os.SEEK_END)
            self._promised_samples = self.written_samples


class GrowingFlac:
    """A FLAC of 16 kHz mono 16-bit samples. Its last quarter of a second, which FLAC packs together, comes with the next."""

    def __init__(self, path: Path):
        self._path = path
        self._bytes = _Spill()
        self._encoder = soundfile.SoundFile(self._bytes, "w", SAMPLE_RATE_HZ, 1, "PCM_16", format="FLAC")
        self._file: BinaryIO | None = None
        self._samples = self._promised_samples = 0

    def write(self, data: bytes) -> None:
        """Append 16-bit samples.

        Raises:
            OSError: they cannot be written.
        """
        self._encoder.buffer_write(data, "int16")
        self._samples += len(data) // 2
        start = self._bytes.start
        block = int.from_bytes(start[BLOCK_SIZE_AT : BLOCK_SIZE_AT + 2], "big")
        whole = (self._samples - 1) // block * block if block else 0  # one sample more, and the encoder gives a block out
        if not whole:
            return
        first = self._file is None
        due = first or whole - self._promised_samples >= HEADER_EVERY_SAMPLES or whole <= HEADER_EVERY_SAMPLES
        promised = whole if due else self._promised_samples
        kept = start[:STREAM_HEADER_BYTES]
        fields = int.from_bytes(kept[TOTAL_SAMPLES_AT : TOTAL_SAMPLES_AT + 8], "big")  # rate, channels and bits lie before it
        fields = fields >> TOTAL_SAMPLES_BITS << TOTAL_SAMPLES_BITS | promised
        kept = kept[:TOTAL_SAMPLES_AT] + fields.to_bytes(8, "big") + kept[TOTAL_SAMPLES_AT + 8 :]
        more = self._bytes.take()
        if self._file is None:
            self._file = appear(self._path, kept + more[STREAM_HEADER_BYTES:])
        else:
            write_all(self._file, more)
            if promised != self._promised_samples:
                self._begin_with(kept)
        self._promised_samples = promised

    def close(self) -> None:
        """Write what the encoder still holds, and its own header.

        Raises:
            OSError: it cannot be written.
        """
        self._encoder.close()
        try:
            more = self._bytes.take()
            if self._file is None:
                self._file = appear(self._path, more)
            else:
                write_all(self._file, more)
            self._begin_with(self._bytes.start)
        finally:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _begin_with(self, data: bytes) -> None:
        assert self._file is not None
        if stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            self._file.seek(0)
            write_all(self._file, data)
            self._file.seek(0, os.SEEK_END)


class _Spill(io.RawIOBase):
    """What an encoder writes, in memory until it is taken; the beginning, which it rewrites in the end, stays."""

    def __init__(self) -> None:
        self._start = bytearray()  # at most STREAM_HEADER_BYTES
        self._more = bytearray()  # after what was taken
        self._taken = 0  # bytes from the beginning of the file
        self._place = 0

    @property
    def start(self) -> bytes:
        return bytes(self._start)

    def take(self) -> bytes:
        """What was written since the last time."""
        data = bytes(self._more)
        self._taken += len(data)
        self._more.clear()
        return data

    def write(self, data: Any) -> int:
        piece = bytes(data)
        for place, byte in enumerate(piece[: max(0, STREAM_HEADER_BYTES - self._place)], self._place):
            self._start[place : place + 1] = bytes([byte])
        skipped = max(0, self._taken - self._place)  # of what is on disk only the beginning may change
        offset = max(0, self._place - self._taken)
        self._more[offset : offset + len(piece[skipped:])] = piece[skipped:]
        self._place += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._taken + len(self._more)}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        return 0

    def read(self, count: int = -1) -> bytes:
        return b""

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True


def appear(path: Path, data: bytes, new: bool = False) -> BinaryIO:
    """Open a file for writing that has its first bytes when it appears under its name: nobody finds it empty.

    new: it must not exist.

    Raises:
        OSError: it cannot be written; FileExistsError.
    """
    path = Path(os.path.realpath(path))  # a link stays, and what it names is written
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    direct = path.exists() and (not path.is_file() or not os.access(path.parent, os.W_OK))  # a pipe; or only the file is ours
    file = cast(BinaryIO, (path if direct else beside).open("wb", buffering=0))
    try:
        write_all(file, data)
        if new and not direct:
            os.link(beside, path)
        elif not direct:
            beside.replace(path)
    except BaseException:
        file.close()
        raise
    finally:
        if not direct:
            beside.unlink(missing_ok=True)
    return file


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write every byte to a file without a buffer, which may take fewer at a time.

    Raises:
        OSError: it cannot be written.
    """
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
