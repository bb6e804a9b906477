"""An encoder that rests in silence, which is what a sender hears most of the time.

Pure but for the processor time that it counts.

A packet is encoded once, when it is complete; one that is not sent is not encoded at all. What the encoder hears is therefore
the speech with its silence cut out, but for the LEAD_FRAMES before speech begins again, in packets as they came: they tell it
how the room sounds. Between two talk spurts it knows the speech before the pause until more was left out than it remembers;
then it begins anew (`EncoderStream.skip`). Codes so depend on the samples and on which packets were sent, and on no clock.

The lead is encoded as soon as a frame of the packet goes on air, while the rest of it is still being spoken, so that no more
than one packet is left to encode at its end.
"""

from __future__ import annotations

import time
from collections import deque

import numpy as np

from stream.engine import EncoderStream
from stream.frame import SAMPLES_PER_FRAME, Codes, Pcm

LEAD_FRAMES = 8  # 640 ms


class RestingEncoder:
    """Encodes the packets of a stream, of which silent ones may be left out."""

    def __init__(self, stream: EncoderStream, packet_frames: int):
        """`packet_frames`: frames in every packet."""
        self._stream = stream
        self._packet: list[Pcm] = []  # its frames so far
        self._lead: deque[Pcm] = deque()  # packets left out since the last one that was encoded
        self._lead_packets = -(-LEAD_FRAMES // packet_frames)
        self.encoded_frames = 0
        self.encode_s = 0.0  # processor time

    def push(self, frame: Pcm, on_air: bool) -> None:
        """Take the next 80 ms [1280] of the packet."""
        self._packet.append(frame)
        if on_air:
            self._wake()

    def take(self) -> Codes:
        """The codes [n, 8] of the packet, which is complete and sent."""
        self._wake()
        packet, self._packet = np.concatenate(self._packet), []
        return self._encode(packet)

    def leave_out(self) -> None:
        """The packet is complete and not sent."""
        self._lead.append(np.concatenate(self._packet))
        self._packet = []
        if len(self._lead) > self._lead_packets:
            self._stream.skip(len(self._lead.popleft()) // SAMPLES_PER_FRAME)

    def _wake(self) -> None:
        while self._lead:
            self._encode(self._lead.popleft())

    def _encode(self, packet: Pcm) -> Codes:
        began = time.perf_counter()
        codes = self._stream.encode(packet)
        self.encode_s += time.perf_counter() - began
        self.encoded_frames += len(codes)
        return codes
