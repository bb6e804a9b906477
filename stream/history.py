"""What became of the newest packets, and the quality of the link that follows from it. Pure: no clock.

A receiver reports every packet and every slot of playout. Numbered marks stand in the order of their numbers, whatever
arrived first; a packet that is refused has no number that could be trusted and stands where it came.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum

from stream.content import Voice
from stream.numbering import sequence_difference
from stream.packet import Framing, Parsed
from stream.profile import Profile
from stream.slot import Arrival, Slot

KEPT_MARKS = 192  # fewer than the sequence numbers of any protection: no two marks have one number
LONGEST_GAP = 32  # packets missing in a row that are shown one by one; beyond that the sender was silent or started anew
WINDOW_PACKETS = 128  # that error rates rest on


class Fate(Enum):
    """What became of a packet; the letter stands for it in a strip."""

    EXPECTED = "."  # a later one is here already
    RECEIVED = "r"  # in time and undamaged
    REPAIRED = "c"  # corrected: some bytes were wrong
    RESTORED = "s"  # lost, and restored from other packets
    CONCEALED = "x"  # not there when its time came
    LATE = "l"  # came after its time, or was too old when its time would have come
    DAMAGED = "d"  # beyond repair
    FORGED = "f"  # sealed with another key
    REPLAYED = "y"  # heard before


HEARD_UNAIDED = (Fate.RECEIVED,)
AIDED = (Fate.REPAIRED, Fate.RESTORED)
NOT_HEARD = (Fate.CONCEALED, Fate.LATE)


@dataclass
class _Mark:
    key: tuple[int, int] | None  # stream and number, if it is known
    fate: Fate


class PacketHistory:
    """The newest packets of a receiver."""

    def __init__(self, framing: Framing):
        self.profile: Profile | None = None  # of the newest voice packet
        self.marked = 0  # marks made so far
        self._framing = framing
        self._marks: deque[_Mark] = deque()
        self._known: dict[tuple[int, int], _Mark] = {}
        self._stream: int | None = None
        self._newest = 0
        self._ended = False  # what is missing after the newest packet is silence
        self._bits: deque[tuple[int, int]] = deque(maxlen=WINDOW_PACKETS)  # wrong ones and all, of a packet

    def arrived(self, parsed: Parsed, arrival: Arrival) -> None:
        """Note a voice packet that came and what playout made of it."""
        voice, size = parsed.content, self._framing.packet_bytes(parsed.profile)
        self._bits.append((parsed.corrected_bits, size * 8))
        if not isinstance(voice, Voice) or arrival in (Arrival.DUPLICATE, Arrival.OTHER):
            return
        self.profile = parsed.profile
        self._expect(voice)
        whole = Fate.REPAIRED if parsed.corrected_bytes else Fate.RECEIVED
        key = self._key(voice.sequence)
        mark = self._known.get(key)
        if mark is not None and mark.fate in (*HEARD_UNAIDED, *AIDED):  # the number of another transmission
            mark = None
        # Where a part of it was concealed before it came, it was late, even if the rest is heard.
        gone = arrival is Arrival.LATE or (mark is not None and mark.fate in NOT_HEARD)
        self._set(key, mark, Fate.LATE if gone else whole)

    def refused(self, fate: Fate, packet: bytes) -> None:
        """Note a packet that could not be read, or must not be."""
        profile = self._framing.profile_of(len(packet))
        if fate is Fate.DAMAGED and profile is not None:  # at least one bit in one byte more than could be repaired
            self._bits.append((profile.parity_bytes // 2 + 1, len(packet) * 8))
        self._append(_Mark(None, fate))

    def restored(self, voice: Voice) -> None:
        """Note a packet that others restored in time."""
        key = self._key(voice.sequence)
        self._set(key, self._known.get(key), Fate.RESTORED)

    def slot(self, slot: Slot) -> None:
        """Note what was played."""
        if self.profile is None:
            return
        for number in {frame // self.profile.frames for frame in slot.skipped}:
            if self._key(number) in self._known:
                self._known[self._key(number)].fate = Fate.LATE
        key = self._key(slot.number // self.profile.frames)
        mark = self._known.get(key)
        if slot.codes is None and not slot.pause and (mark is None or mark.fate is Fate.EXPECTED):
            self._set(key, mark, Fate.CONCEALED)

    @property
    def strip(self) -> str:
        """The newest packets, oldest first, a letter of `Fate` each."""
        return "".join(mark.fate.value for mark in tuple(self._marks))

    def loss(self) -> tuple[float, float, int]:
        """Shares of the newest packets that would not be heard without repair and that were not heard with it; of how many.

        Without repair neither a packet with a wrong byte nor one that others restored would be heard.
        """
        fates = Counter(mark.fate for mark in tuple(self._marks)[-WINDOW_PACKETS:])
        unaided, aided, lost = (sum(fates[each] for each in group) for group in (HEARD_UNAIDED, AIDED, NOT_HEARD))
        count = unaided + aided + lost
        return ((aided + lost) / count, lost / count, count) if count else (0.0, 0.0, 0)

    def lost_share(self) -> float:
        """Share of the newest packets that did not come in time, or were damaged beyond repair, whatever became of their speech."""
        fates = Counter(mark.fate for mark in tuple(self._marks)[-WINDOW_PACKETS:])
        lost = fates[Fate.RESTORED] + sum(fates[each] for each in NOT_HEARD)
        return lost / (lost + fates[Fate.RECEIVED] + fates[Fate.REPAIRED]) if lost else 0.0

    def bit_error_rate(self) -> float:
        """Wrong bits among those of the newest packets. What is damaged beyond repair counts with the fewest errors it can have."""
        wrong, total = (sum(column) for column in zip(*tuple(self._bits), strict=True)) if self._bits else (0, 0)
        return wrong / total if total else 0.0

    def _expect(self, voice: Voice) -> None:
        """Make room for the packets between the newest and this one."""
        step = sequence_difference(voice.sequence, self._newest, self._framing.sequence_count)
        if voice.stream != self._stream or abs(step) > LONGEST_GAP:
            self._stream, self._newest = voice.stream, voice.sequence
        else:
            for number in range(self._newest + 1, self._newest + step):
                key = self._key(number)
                if not self._ended and key not in self._known:
                    self._set(key, None, Fate.EXPECTED)
            if step < 0:
                return
            self._newest += step
        self._ended = voice.end

    def _key(self, number: int) -> tuple[int, int]:
        count = self._framing.sequence_count
        return self._stream or 0, number % count if count else number

    def _set(self, key: tuple[int, int], mark: _Mark | None, fate: Fate) -> _Mark:
        if mark is None:
            mark = self._known[key] = _Mark(key, fate)
            self._append(mark)
        mark.fate = fate
        return mark

    def _append(self, mark: _Mark) -> None:
        self._marks.append(mark)
        self.marked += 1
        if len(self._marks) > KEPT_MARKS:
            oldest = self._marks.popleft()
            if oldest.key is not None and self._known.get(oldest.key) is oldest:
                del self._known[oldest.key]
