"""What a link did to each packet, as a CSV file that the channel simulator replays.

time_s          when the packet's speech began, from the first packet on
lost            1 if it did not arrive, or was damaged beyond repair
bit_errors      wrong bits that Reed-Solomon repaired
extra_delay_s   how much later it came than the fastest packet so far

Numbers are time. Where a packet's number and its arrival are further apart than a link explains, a sender was started anew,
and so is the record: what lies between is no loss. A disk that is full ends the record, not the speech.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TextIO

from stream.content import Voice
from stream.errors import FileError
from stream.numbering import sequence_difference
from stream.packet import Parsed
from stream.spurt import OUTAGE_S

COLUMNS = "time_s,lost,bit_errors,extra_delay_s"
REORDERED_PACKETS = 64  # a packet that comes later than this many after its turn counts as lost
LONGEST_GAP = 512  # packets missing in a row; beyond that the sender was started anew


class Trace:
    """A recorder of voice packets. Lines are written as packets can no longer come; memory stays small."""

    def __init__(self, path: str, sequence_count: int, block: int = 0, notify: Callable[[str], None] = lambda line: None):
        """Create the file.

        block: voice packets by which numbers may skip ahead of the time: those of a block of repair.
        notify: gets one line if the file cannot be written any more.

        Raises:
            FileError: it cannot be written.
        """
        try:
            self._file: TextIO = open(path, "w", encoding="ascii")  # noqa: SIM115 - lives as long as the receiver
        except OSError as error:
            raise FileError(f"cannot write {path}: {(error.strerror or 'error').lower()}; choose another file") from None
        self._file.write(COLUMNS + "\n")
        self._path, self._notify, self._failed = path, notify, False
        self._count, self._block = sequence_count, block
        self._waiting: dict[int, tuple[float, int, bool]] = {}  # arrival, bit errors and end by extended number
        self._newest = self._next = 0
        self._newest_s = 0.0  # when the newest arrived
        self._stream: int | None = None
        self._time_s = self._packet_s = 0.0  # of the next packet to be written
        self._fastest_s = math.inf
        self._ended = False  # what is missing now is silence

    def add(self, arrival_s: float, parsed: Parsed) -> None:
        """Note a packet that arrived."""
        if self._failed or not isinstance(parsed.content, Voice):
            return
        try:
            self._add(arrival_s, parsed, parsed.content)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Write what waits."""
        try:
            if not self._failed:
                self._finish()
            self._file.close()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            reason = (error.strerror or "error").lower()
            self._notify(f"the trace {self._path} ends here, speech goes on: {reason}; free space and start again")
        self._failed = True
        self._waiting.clear()

    def _add(self, arrival_s: float, parsed: Parsed, voice: Voice) -> None:
        number = self._newest + sequence_difference(voice.sequence, self._newest, self._count)
        another = voice.stream != self._stream or parsed.profile.packet_s != self._packet_s
        if another or self._restarted(arrival_s, number):
            self._finish()
            self._stream, self._next, self._newest, number = voice.stream, voice.sequence, voice.sequence, voice.sequence
            self._packet_s, self._fastest_s, self._ended = parsed.profile.packet_s, math.inf, False
            self._newest_s = arrival_s
        if number < self._next:
            return
        self._waiting.setdefault(number, (arrival_s, parsed.corrected_bits, voice.end))
        if number > self._newest:
            self._newest, self._newest_s = number, arrival_s
        while self._next <= self._newest - REORDERED_PACKETS:
            self._write()

    def _restarted(self, arrival_s: float, number: int) -> bool:
        """Whether a sender that was started anew explains a number at that time better than any delay does."""
        step = number - self._newest
        off_s = arrival_s - self._newest_s - step * self._packet_s
        return abs(step) > LONGEST_GAP or abs(off_s) > OUTAGE_S + self._block * self._packet_s

    def _finish(self) -> None:
        while self._waiting:
            self._write()

    def _write(self) -> None:
        """Write the line of the packet whose turn it is."""
        packet = self._waiting.pop(self._next, None)
        if packet is not None:
            arrival_s, bit_errors, self._ended = packet
            offset_s = arrival_s - self._next * self._packet_s
            self._fastest_s = min(self._fastest_s, offset_s)
            self._file.write(f"{self._time_s:.3f},0,{bit_errors},{offset_s - self._fastest_s:.4f}\n")
        elif not self._ended:
            self._file.write(f"{self._time_s:.3f},1,0,0\n")
        self._next += 1
        self._time_s += self._packet_s
