"""What packets carry: voice, repair, control, key epochs; and codes as bytes.

A frame is 2 bytes: dimension 0 in the highest 2 bits, each level as a Gray code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.frame import CODE_DIMENSIONS

GRAY = np.array([0, 1, 3, 2], np.uint8)  # neighbouring levels differ in one bit; the table is its own inverse
_BITS = np.array([[each >> 1, each & 1] for each in GRAY], np.uint8)  # of each level
_LEVELS = np.array([[GRAY[byte >> shift & 3] for shift in (6, 4, 2, 0)] for byte in range(256)], np.uint8)  # in each byte


@dataclass(frozen=True)
class Voice:
    """The content of a voice packet: codes uint8 [frames, 8] with values 0..3.

    On a sealed link a received `sequence` counts on through all epochs and never wraps, and `stream` is always 0.
    """

    stream: int
    sequence: int
    codes: NDArray[np.uint8]
    end: bool = False
    repeated: NDArray[np.uint8] | None = None  # with --repeat D: the codes of packet `sequence` - D, if it had any


@dataclass(frozen=True)
class Repair:
    """The content of a repair packet: parity of the codes of a block of voice packets."""

    stream: int
    last: int  # sequence number of the last voice packet in the block
    index: int  # which of the R repair packets
    end: bool  # of that last packet: its talk spurt ends
    part: bytes


@dataclass(frozen=True)
class Control:
    """The content of a control packet: an identity, or a piece of text; `stream/control.py` reads its body."""

    stream: int
    text: bool
    body: bytes


@dataclass(frozen=True)
class Epoch:
    """The content of a packet that tells the key epoch of a sealed link in the clear, for who has lost it."""

    stream: int = 0


Content = Voice | Repair | Control | Epoch


def pack_codes(codes: NDArray[np.uint8]) -> bytes:
    """Codes [frames, 8] -> 2 bytes a frame."""
    return np.packbits(_BITS[codes]).tobytes()


def unpack_codes(data: bytes) -> NDArray[np.uint8]:
    """Inverse of `pack_codes`."""
    codes: NDArray[np.uint8] = _LEVELS[np.frombuffer(data, np.uint8)].reshape(-1, CODE_DIMENSIONS)
    return codes
