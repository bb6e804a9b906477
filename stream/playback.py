"""Playing packets from a file or pipe: the time is that of their own sequence numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stream.content import Voice
from stream.errors import LinkError
from stream.numbering import sequence_difference
from stream.packet import Framing, PacketError
from stream.profile import PROFILES, Profile
from stream.receiver import PcmSink, Receiver

DETECTION_BYTES = 65_536  # so much damage at the beginning of a stream and its profile must be named
JUST_IN_TIME_S = 1e-3  # a packet that arrives in the moment in which its first frame is due is not late
REORDERED_PACKETS = 3  # after an end, a number further back than this begins another transmission
NO_PACKETS = (
    "no valid packet for this model; check --model, and --repair or --repeat as the sender has it, or name the --profile if the "
    "link damaged the beginning"
)


def detect_profile(head: bytes, framing: Framing, start: int = 0) -> Profile | None:
    """The profile whose packet size cuts a valid packet out of `head` at or after byte `start`, or None."""
    for profile in PROFILES.values():
        size = framing.packet_bytes(profile)
        for place in range(start // size * size, len(head) - size + 1, size):
            try:
                framing.parse(head[place : place + size], heard=False)
                return profile
            except PacketError:
                continue
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
    head, seen = b"", 0
    while profile is None and len(head) < DETECTION_BYTES and (more := read()):
        head += more
        profile = detect_profile(head, receiver.framing, seen)
        seen = len(head) - len(more)
    if profile is None:
        if stopped():
            return
        raise LinkError(NO_PACKETS)
    playback = Playback(receiver, sink, profile)
    size = receiver.framing.packet_bytes(profile)
    for packet in whole_packets(head, read, size):
        if stopped():
            break
        if len(packet) < size:
            receiver.stats.rejected_packets += 1  # truncated at the end
        else:
            playback.packet(packet)
    playback.finish()
    if receiver.stats.first_frame < 0 and not receiver.stats.control_packets and not stopped():
        raise LinkError(NO_PACKETS)


def whole_packets(head: bytes, read: Callable[[], bytes], size: int) -> Iterator[bytes]:
    """Cut `head` and what `read` gives into packets; the last may be shorter."""
    more = b"-"
    while more:
        while len(head) >= size:
            yield head[:size]
            head = head[size:]
        more = read()
        head += more
    if head:
        yield head
