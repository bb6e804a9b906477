"""Playing packets from a file or pipe: the time is that of their own sequence numbers."""

from __future__ import annotations

from collections.abc import Callable

from stream.content import Voice
from stream.cutting import cut, first_clean, holds_packet
from stream.diagnosis import explain, look
from stream.errors import LinkError
from stream.numbering import sequence_difference
from stream.packet import Framing
from stream.profile import PROFILES, Profile
from stream.receiver import PcmSink, Receiver

DETECTION_BYTES = 65_536  # so much damage at the beginning of a stream and its profile must be named
JUST_IN_TIME_S = 1e-3  # a packet that arrives in the moment in which its first frame is due is not late
REORDERED_PACKETS = 3  # after an end, a number further back than this begins another transmission
HUNTED_BYTES = 1000  # of a beginning without a clean packet, at each of which one that can be repaired is looked for


def detect_profile(head: bytes, framing: Framing, start: int = 0, thorough: bool = False) -> Profile | None:
    """The profile whose packets lie in `head`, or None.

    A clean packet may begin at any byte, one that has to be repaired at multiples of its size.

    start: what ends before this byte was looked at already. thorough: look at any byte for two packets that have to be repaired.
    """
    clean: list[tuple[int, str]] = []
    for profile in PROFILES.values():
        from_byte = max(0, start - framing.packet_bytes(profile) + 1)
        place = first_clean(framing, profile, head[from_byte:])
        if place is not None:
            clean.append((from_byte + place, profile.name))
    if clean:
        return PROFILES[min(clean)[1]]
    for profile in PROFILES.values():
        size = framing.packet_bytes(profile)
        for place in range(start // size * size, len(head) - size + 1, size):
            if holds_packet(framing, head[place : place + size]):
                return profile
        for place in range(min(len(head) - 2 * size + 1, HUNTED_BYTES) if thorough else 0):
            if all(holds_packet(framing, head[each : each + size]) for each in (place, place + size)):
                return profile
    return None


class Playback:
    """Hands packets to a receiver as if each had arrived when its speech was complete."""

    def __init__(self, receiver: Receiver, sink: PcmSink, profile: Profile):
        self._receiver, self._sink, self._profile = receiver, sink, profile
        receiver.ceiling_s = 0.0  # numbers have no jitter
        receiver.playout.catches_up = False
        self._stream: int | None = None
        self._newest = 0  # sequence number, extended beyond its 10 bits
        self._base_s = 0.0  # time of the stream's packet 0
        self._now_s = 0.0
        self._ended = False  # whether the last packet of the transmission was read

    def packet(self, packet: bytes) -> None:
        """Play what is due before this packet, then hand it over."""
        parsed = self._receiver.open(packet)
        if parsed is None:
            return
        if not isinstance(parsed.content, Voice):  # it takes no time of its own: it follows the packets that it repairs
            self._receiver.add(self._now_s, parsed)
            return
        voice, framing = parsed.content, self._receiver.framing
        step = sequence_difference(voice.sequence, self._newest, framing.sequence_count)
        restarted = not framing.sequence_count and step > framing.protection.sequence_count  # a sealed sender skips an epoch
        if voice.stream != self._stream or restarted or (self._ended and step < -REORDERED_PACKETS):
            self._follow(voice)
            step = 0
        self._ended = self._ended or voice.end
        sequence = self._newest + step
        self._newest = max(self._newest, sequence)
        self._now_s = max(self._now_s, self._base_s + self._newest * self._profile.packet_s)
        for pcm in self._receiver.play(self._now_s - JUST_IN_TIME_S):
            self._sink.write(pcm)
        self._receiver.add(self._now_s, parsed)

    def finish(self) -> None:
        """Play what still waits."""
        for pcm in self._receiver.rest():
            self._sink.write(pcm)

    def _follow(self, voice: Voice) -> None:
        """Another transmission begins in the same file: the former is played to its end first."""
        self.finish()
        if self._stream is not None:
            self._now_s = self._receiver.playout.next_due_s
            self._receiver.playout.forget()
        self._stream, self._newest, self._ended = voice.stream, voice.sequence, False
        self._base_s = self._now_s - voice.sequence * self._profile.packet_s


def play_packets(
    receiver: Receiver,
    read: Callable[[], bytes],
    sink: PcmSink,
    profile: Profile | None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Play a stream of packets as fast as `read` gives it; `read` returns some bytes, none at the end.

    Once `stopped`, no further packet is taken; what has arrived is played.

    Raises:
        LinkError: no packet is valid, so that there is nothing to hear.
    """
    head, seen, more = b"", 0, b""
    while profile is None and len(head) < DETECTION_BYTES and (more := read()):
        head += more
        profile = detect_profile(head, receiver.framing, seen)
        seen = len(head)
    profile = profile or detect_profile(head, receiver.framing, len(head), thorough=True)
    if profile is None:
        if stopped():
            return
        raise LinkError(explain(head, receiver.framing, bool(more)))
    receiver.tells_refusals = False
    playback = Playback(receiver, sink, profile)
    size = receiver.framing.packet_bytes(profile)
    heard = _Beginning(head, read)
    for packet in cut(receiver.framing, profile, head, heard.read):
        if stopped():
            break
        if len(packet) < size:
            receiver.stats.rejected_packets += 1  # truncated, or not found again
        else:
            playback.packet(packet)
    playback.finish()
    if receiver.stats.first_frame < 0 and not stopped():
        seen_kind = look(heard.data, receiver.framing.decoder_id) if receiver.stats.control_packets else None
        deaf = seen_kind is not None and seen_kind.protection not in (None, receiver.framing.protection)
        if deaf or not receiver.stats.control_packets:
            raise LinkError(explain(heard.data, receiver.framing, heard.more))


class _Beginning:
    """Keeps the beginning of what is read, to tell what it was if nothing could be heard."""

    def __init__(self, head: bytes, read: Callable[[], bytes]):
        self.data, self.more = head, False
        self._read = read

    def read(self) -> bytes:
        """Some more bytes; empty at the end."""
        more = self._read()
        if len(self.data) < DETECTION_BYTES:
            self.data += more
        else:
            self.more |= bool(more)
        return more
