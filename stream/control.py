"""Control packets: who speaks, for which decoder, and short text messages. Pure: bodies of packets in and out.

A body is as long as the frames of a voice packet of the same profile. A station's name is eight characters of six bits
(ASCII 32 to 95: capitals, digits, punctuation), so that it fits into the smallest packet beside the decoder id.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

from stream.errors import UsageError
from stream.protection import Protection

STATION_CHARACTERS = 8
IDENTITY_BYTES = 8
LONGEST_TEXT_BYTES = 120  # 18 packets of `fast`, 6 of `narrow`
MESSAGES = 4  # numbers that tell messages apart
COPY_S = 300.0  # the same message with the same number within this time is a copy
KEPT_TEXTS = 100


def check_station(station: str) -> str:
    """A station's name in capitals.

    Raises:
        UsageError: empty, too long, or with characters that cannot be sent.
    """
    name = station.strip().upper()
    if not 1 <= len(name) <= STATION_CHARACTERS or any(not 32 <= ord(character) <= 95 for character in name):
        raise UsageError(
            f"--station {station!r} is not possible; give 1 to {STATION_CHARACTERS} letters, digits or punctuation marks"
        )
    return name


def identity_body(station: str, decoder_id: int, protection: Protection, size: int) -> bytes:
    """Name, decoder id and, where there is room, the protection; filled with zeros to `size` bytes."""
    packed = 0
    for character in station.ljust(STATION_CHARACTERS):
        packed = packed << 6 | ord(character) - 32
    body = packed.to_bytes(6, "big") + struct.pack(">H", decoder_id)
    body += struct.pack(">BBB", protection.block, protection.repairs, protection.repeat)
    return body[:size].ljust(size, b"\0")


def text_bodies(text: str, message: int, size: int) -> list[bytes]:
    """The pieces of a text message: one byte (last piece 1 bit, message number 2, piece number 5), then UTF-8.

    Raises:
        UsageError: no text, or too long.
    """
    data = text.encode("utf-8", errors="replace").replace(b"\0", b" ")
    if not data.strip() or len(data) > LONGEST_TEXT_BYTES:
        raise UsageError(f"--text has {len(data)} bytes; give 1 to {LONGEST_TEXT_BYTES}")
    pieces = [data[start : start + size - 1] for start in range(0, len(data), size - 1)]
    return [
        bytes([(number == len(pieces) - 1) << 7 | message % MESSAGES << 5 | number]) + piece.ljust(size - 1, b"\0")
        for number, piece in enumerate(pieces)
    ]


def printable(data: bytes) -> str:
    """Text of strangers for a terminal: nothing in it moves a cursor or hides a word."""
    text = data.decode("utf-8", errors="replace")
    return "".join("?" if unicodedata.category(character)[0] == "C" else character for character in text)


@dataclass
class _Message:
    pieces: dict[int, bytes] = field(default_factory=dict)
    count: int = 0  # once the last piece came
    changed_s: float = 0.0
    shown: bool = False


class Mailbox:
    """What a receiver learns from control packets. `notify` gets one line for every news."""

    def __init__(self, decoder_id: int, notify: Callable[[str], None]):
        self.station = ""
        self.texts: list[str] = []  # the newest
        self._decoder_id = decoder_id
        self._notify = notify
        self._messages: dict[tuple[int, int], _Message] = {}  # by stream and number: never more than 32
        self._said: tuple[str, int] | None = None

    def identity(self, body: bytes) -> None:
        """Take the body of an identity packet."""
        packed = int.from_bytes(body[:6], "big")
        name = "".join(chr((packed >> 6 * (STATION_CHARACTERS - 1 - k) & 63) + 32) for k in range(STATION_CHARACTERS))
        (decoder_id,) = struct.unpack(">H", body[6:IDENTITY_BYTES])
        self.station = name.strip()
        if self._said == (self.station, decoder_id):
            return
        self._said = (self.station, decoder_id)
        if decoder_id == self._decoder_id:
            self._notify(f"station {self.station}")
        else:
            self._notify(
                f"station {self.station} sends for decoder {decoder_id:04x}, and this model has {self._decoder_id:04x}; "
                "nothing of it can be heard: give the sender's --model"
            )

    def text(self, now_s: float, stream: int, body: bytes) -> None:
        """Take a piece of a text message."""
        last, number, piece = bool(body[0] >> 7), body[0] >> 5 & 3, body[0] & 31
        # Messages come one after the other: what is left of the one before the last must not be mixed with the next of its number.
        for older in (number + 1, number + 2):
            self._messages.pop((stream, older % MESSAGES), None)
        message = self._messages.get((stream, number))
        if message is None or not self._fits(now_s, message, last, piece, body[1:]):
            message = self._messages[stream, number] = _Message()
        message.pieces[piece], message.changed_s = body[1:], now_s
        if last:
            message.count = piece + 1
        if not message.shown and len(message.pieces) == message.count:
            data = b"".join(message.pieces[place] for place in range(message.count))
            message.shown, text = True, printable(data.rstrip(b"\0"))
            self.texts = [*self.texts, text][-KEPT_TEXTS:]
            self._notify(f"text{' from ' + self.station if self.station else ''}: {text}")

    def _fits(self, now_s: float, message: _Message, last: bool, piece: int, data: bytes) -> bool:
        """Whether a piece can belong to that message, and not to another one with the same number."""
        if now_s - message.changed_s > COPY_S:
            return False
        if message.count and (piece >= message.count or last != (piece == message.count - 1)):
            return False
        if last and message.pieces and piece < max(message.pieces):
            return False
        return message.pieces.get(piece, data) == data
