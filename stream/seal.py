"""Sealed packets: AES-CCM with short tags in place of the CRC, and a receiver that hears every packet at most once.

The nonce is made of type, stream, key epoch and sequence field. A sender takes a new epoch at its start and whenever its
sequence numbers begin again, and never one that was used before; `stream/keys.py` keeps them across restarts. An epoch
is not sent: the 3 bits of the stream are its lowest, and the receiver finds the rest beside the newest one it has heard.

AES-CCM: NIST SP 800-38C and RFC 3610, with 12-byte nonces. The library is imported when a key is used, not before.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream.errors import ClariError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

KEY_BYTES = 32
TAG_BYTES = (4, 8)
RESTART_EPOCHS = 2  # one is left out, so that a restart is never taken for a wrap
STREAMS = 8  # values of the stream field
EPOCH_COUNT = 1 << 64  # values that fit into a nonce
EPOCHS_AHEAD = 64  # as many further epochs than the newest heard are tried


class ForgedError(ValueError):
    """A tag that no key epoch explains: forged, sealed with another key, or damaged."""


class ReplayedError(ValueError):
    """An authentic packet that was heard before, or is too old to tell."""


def _cipher(key: bytes, tag_bytes: int) -> AESCCM:
    if len(key) != KEY_BYTES or tag_bytes not in TAG_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes and a tag 4 or 8, not {len(key)} and {tag_bytes}")
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESCCM
    except ImportError:
        raise ClariError("--key-file needs cryptography; install: pip install 'clari[seal]'") from None
    return AESCCM(key, tag_bytes)


def _nonce(kind: int, epoch: int, number: int) -> bytes:
    return struct.pack(">BBQH", kind, epoch % STREAMS, epoch, number)


@dataclass
class Heard:
    """How far a receiver has come: the newest epoch, and the highest number of each type heard in it."""

    epoch: int = -1
    numbers: dict[int, int] = field(default_factory=dict)


class Sealer:
    """The sender's side.

    `next_epoch(step)` gives an epoch at least `step` above all it gave before, kept for good, or raises FileError.
    """

    def __init__(self, key: bytes, tag_bytes: int, next_epoch: Callable[[int], int]):
        self.tag_bytes = tag_bytes
        self._cipher = _cipher(key, tag_bytes)
        self._next_epoch = next_epoch
        self._epoch = -1
        self._numbers: dict[int, int] = {}  # newest of each type in this epoch

    def epoch_for(self, kind: int, number: int) -> int:
        """The epoch in which the next packet of this type and number is sealed; a number is used once in each.

        Raises:
            FileError: the new epoch that it takes cannot be kept.
        """
        if self._epoch < 0:
            self._epoch = self._next_epoch(RESTART_EPOCHS)
        elif number <= self._numbers.get(kind, -1):
            # Voice whose numbers begin again goes on in the next epoch. It need not be at 0: a pause, or a talk spurt that
            # begins with a later block, may use that up. A restart is another Sealer; anything else is a new beginning.
            self._epoch, self._numbers = self._next_epoch(1 if kind == 0 else RESTART_EPOCHS), {}
        self._numbers[kind] = number
        return self._epoch

    def free_number(self, kind: int) -> int:
        """A number for a packet whose sequence field means nothing."""
        return (self._numbers.get(kind, -1) + 1) % 1024

    def seal(self, kind: int, epoch: int, number: int, body: bytes, context: bytes) -> bytes:
        """Encrypted body and tag; `context` is authenticated and not encrypted."""
        return self._cipher.encrypt(_nonce(kind, epoch, number), body, context)


class Opener:
    """The receiver's side. `keep` is told after every packet how far the receiver has come."""

    def __init__(self, key: bytes, tag_bytes: int, heard: Heard | None = None, keep: Callable[[Heard], None] | None = None):
        self.tag_bytes = tag_bytes
        self._cipher = _cipher(key, tag_bytes)
        self._keep = keep
        self._heard = heard or Heard()
        # Which numbers of a type were heard, a bit each, in the newest epoch and the one before it.
        self._seen = {(kind, self._heard.epoch): (2 << number) - 1 for kind, number in self._heard.numbers.items()}
        self._oldest = self._heard.epoch  # nothing is known any more of what was heard in epochs before this

    def open(self, kind: int, stream: int, number: int, sealed: bytes, context: bytes, count: bool = True) -> tuple[bytes, int]:
        """Body and epoch of a packet. With `count` false it is not marked as heard.

        Raises:
            ForgedError, ReplayedError: see above; the receiver's state is as before.
        """
        from cryptography.exceptions import InvalidTag

        for epoch in self._candidates(stream):
            try:
                body = self._cipher.decrypt(_nonce(kind, epoch, number), sealed, context)
            except InvalidTag:
                continue
            self._admit(kind, epoch, number, count)
            return body, epoch
        raise ForgedError("wrong tag: forged, or sealed with another key")

    def learn(self, kind: int, epoch: int, number: int, tag: bytes, context: bytes, count: bool = True) -> None:
        """Take a packet that tells its epoch in the clear, as part of `context`.

        Raises:
            ForgedError, ReplayedError: as `open`.
        """
        from cryptography.exceptions import InvalidTag

        try:
            self._cipher.decrypt(_nonce(kind, epoch, number), tag, context)
        except InvalidTag:
            raise ForgedError("wrong tag: forged, or sealed with another key") from None
        self._admit(kind, epoch, number, count)

    def _admit(self, kind: int, epoch: int, number: int, count: bool) -> None:
        """Refuse an authentic packet that is not new; else note that it was heard."""
        if epoch < max(self._oldest, self._heard.epoch - 1) or self._seen.get((kind, epoch), 0) >> number & 1:
            raise ReplayedError("a packet that was heard before")
        if count:
            self._count(kind, epoch, number)

    def _candidates(self, stream: int) -> list[int]:
        """The epochs that a packet of this stream may have, the likeliest first."""
        newest = self._heard.epoch
        nearest = newest - (newest - stream) % STREAMS
        return [epoch for epoch in range(nearest, newest + EPOCHS_AHEAD + 1, STREAMS) if 0 <= epoch < EPOCH_COUNT]

    def _count(self, kind: int, epoch: int, number: int) -> None:
        self._seen[kind, epoch] = self._seen.get((kind, epoch), 0) | 1 << number
        if epoch > self._heard.epoch:
            self._heard = Heard(epoch)
            self._seen = {key: seen for key, seen in self._seen.items() if key[1] >= epoch - 1}
        if epoch == self._heard.epoch:
            self._heard.numbers[kind] = max(number, self._heard.numbers.get(kind, -1))
            if self._keep:
                self._keep(self._heard)
