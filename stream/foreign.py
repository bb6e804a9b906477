"""Sound files in all the formats of a library, read by a process that can be given up: `stream/foreign_child.py`."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stream.errors import FileError
from stream.frame import Pcm

CHILD = Path(__file__).with_name("foreign_child.py")
THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # of libraries that reserve memory for each


class ForeignFile:
    """A file that another process reads: its rate and channels, then its samples. Closing it ends that process at once."""

    def __init__(self, path: str, cure: str):
        """Open it. cure: what a message tells the user to do.

        Raises:
            FileError: it is no sound file, or is damaged.
        """
        self._path, self._cure = path, cure
        absolute = os.path.abspath(path)  # a name that begins with a dash is none of its options
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(CHILD), absolute],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libraries talk: users get one line from us
            env=os.environ | THREADS,
        )
        assert self._process.stdout is not None
        self._pipe: BinaryIO = self._process.stdout  # type: ignore[assignment]
        try:
            words = self._pipe.readline(64).split()
            if len(words) != 2:
                raise FileError(f"{path} is no audio file that can be read, or is damaged; {cure}")
            self.rate_hz, self.channels = int(words[0]), int(words[1])
        except BaseException:
            self.close()
            raise

    def blocks(self) -> Iterator[Pcm]:
        """Its samples [N, channels].

        Raises:
            FileError: it is damaged, and nothing of it could be read. What comes before the damage is played.
        """
        read = False
        while True:
            count = self._pipe.read(4)
            if len(count) < 4:
                break
            (frames,) = struct.unpack("<I", count)
            if not frames:
                return
            size = 4 * frames * self.channels
            data = self._pipe.read(size)
            if len(data) < size:
                break
            read = True
            yield np.frombuffer(data, "<f4").reshape(frames, self.channels)
        if not read:
            raise FileError(f"{self._path} is damaged: nothing of it could be read; {self._cure}")
        print(f"{self._path} is damaged; what comes before the damage was sent", file=sys.stderr)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._pipe.close()
