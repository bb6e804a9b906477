"""An encoder that rests in long silence, which is what a sender hears most of the time.

Pure but for the processor time that it counts.

Frames that are not on air are kept; they are encoded only if the packet that holds them is sent after all, after the
frames before them that the encoder remembers, so that it means what one means that never rests; only what rounding did long
before is forgotten. All of them at once take a fifth of a second, while the packet is still being spoken.
"""

from __future__ import annotations

import math
import time

from stream.engine import EncoderStream
from stream.frame import FRAME_S, Codes, Pcm


class RestingEncoder:
    """Encodes the frames of packets, of which silent ones may be left out."""

    def __init__(self, stream: EncoderStream, memory_frames: int, rest_after_s: float = math.inf):
        """`memory_frames`: how many frames before one can change its codes. `rest_after_s`: silence in seconds after which
        frames are no longer encoded as they come."""
        self._stream = stream
        self._memory_frames = memory_frames
        self._awake_frames = rest_after_s / FRAME_S
        self._silent_frames = 0
        self._waiting: list[Pcm] = []  # of the packet, after as many of the lead
        self._lead = 0
        self._codes: list[Codes] = []
        self.encoded_frames = 0
        self.encode_s = 0.0  # processor time

    def push(self, frame: Pcm, on_air: bool) -> None:
        """Take the next 80 ms [1280] of the packet."""
        self._silent_frames = 0 if on_air else self._silent_frames + 1
        self._waiting.append(frame)
        if self._silent_frames <= self._awake_frames:
            self._catch_up()

    def take(self) -> list[Codes]:
        """The codes of all frames of the packet, which is complete."""
        self._catch_up()
        codes, self._codes = self._codes, []
        return codes

    def leave_out(self) -> None:
        """The packet is complete and not sent."""
        self._codes = []
        self._waiting = self._waiting[max(0, len(self._waiting) - self._memory_frames) :]
        self._lead = len(self._waiting)

    def _catch_up(self) -> None:
        began = time.perf_counter()
        codes = [self._stream.encode(frame) for frame in self._waiting]
        self.encode_s += time.perf_counter() - began
        self.encoded_frames += len(codes)
        self._codes += codes[self._lead :]
        self._waiting, self._lead = [], 0
