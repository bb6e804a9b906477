"""Transports: how whole packets leave and arrive. ZeroMQ between processes, files and pipes of packets.

A packet link never blocks the voice. A sender whose peer does not keep up drops the oldest packet that waits in the
program, because newer speech is worth more, and says how many; what the kernel holds, a few packets, is out of reach.
"""

from __future__ import annotations

import errno
import hashlib
import sys
import time
from collections import deque
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, cast

import zmq
from zmq.utils import z85

from stream.endpoint import EXAMPLE, check_endpoint
from stream.errors import FileError, LinkError

QUEUE_PACKETS = 8  # that ZeroMQ holds in each direction, and as many again before it
KERNEL_BUFFER_BYTES = 2048  # the smallest that kernels give: what waits in there ages unseen
LARGEST_PACKET_BYTES = 1024  # of a message part: nothing on these links is longer; ZeroMQ has no limit for how many parts


class PacketSink(Protocol):
    """Where a sender puts packets."""

    def send(self, packet: bytes) -> int:
        """Hand over one packet; returns how many older ones were dropped for it."""

    def drain(self, timeout_s: float) -> int:
        """Wait until everything is handed over; returns how many packets nobody took in time."""

    def close(self) -> None: ...


class ZmqLink:
    """One ZeroMQ socket: PUSH to send, PULL to receive; bound or connected."""

    def __init__(self, kind: int, endpoint: str, bind: bool, curve_key: bytes | None = None):
        """`curve_key`: 32 secret bytes that both ends share; without them nobody gets a packet in or out."""
        check_endpoint(endpoint, bind)
        self._waiting: deque[bytes] = deque()
        self._context = zmq.Context()
        self._socket = self._context.socket(kind)
        self._socket.linger = 0  # closing never waits for a peer
        self._socket.set_hwm(QUEUE_PACKETS)  # before bind and connect, or it has no effect
        self._socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_PACKET_BYTES)
        self._socket.setsockopt(zmq.SNDBUF, KERNEL_BUFFER_BYTES)
        self._socket.setsockopt(zmq.RCVBUF, KERNEL_BUFFER_BYTES)
        self._socket.setsockopt(zmq.IPV6, "[" in endpoint)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # hold packets here, where they age, until a peer is there
        if curve_key is not None:
            self._secure(curve_key, bind)
        try:
            self._socket.bind(endpoint) if bind else self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            action = "bind" if bind else "connect to"
            cure = {
                zmq.EADDRINUSE: "another program holds it; choose another port or stop that program",
                errno.ENODEV: "no such network interface; use 127.0.0.1 or an address of this machine",
            }.get(error.errno or 0, EXAMPLE)
            raise LinkError(f"cannot {action} {endpoint}: {error.strerror.lower()}; {cure}") from None

    @classmethod
    def sender(cls, endpoint: str, bind: bool = False, curve_key: bytes | None = None) -> ZmqLink:
        """A link that sends to `endpoint`."""
        return cls(zmq.PUSH, endpoint, bind, curve_key)

    @classmethod
    def receiver(cls, endpoint: str, bind: bool = True, curve_key: bytes | None = None) -> ZmqLink:
        """A link that receives at `endpoint`."""
        return cls(zmq.PULL, endpoint, bind, curve_key)

    def _secure(self, curve_key: bytes, bind: bool) -> None:
        """CURVE: the bound end proves that it has the key, and talks only to whoever knows its public half.

        That half never travels, and both follow from the shared secret: who does not have it cannot begin a handshake.
        """
        secret = z85.encode(hashlib.blake2b(curve_key, digest_size=32, person=b"clari-curve").digest())
        if bind:
            self._socket.curve_server = True
            self._socket.curve_secretkey = secret
            return
        self._socket.curve_serverkey = zmq.curve_public(secret)
        self._socket.curve_publickey, self._socket.curve_secretkey = zmq.curve_keypair()

    @property
    def queued_packets(self) -> int:
        """Packets that wait here for the peer to read."""
        return len(self._waiting)

    def send(self, packet: bytes) -> int:
        """Queue one packet; returns how many older ones had to be dropped because nobody reads."""
        self._waiting.append(packet)
        self._hand_over()
        dropped = max(0, len(self._waiting) - QUEUE_PACKETS)
        for _ in range(dropped):
            self._waiting.popleft()  # newest speech wins
        return dropped

    def drain(self, timeout_s: float) -> int:
        """Wait until the socket took every queued packet; returns how many it did not take in time."""
        deadline_s = time.monotonic() + timeout_s
        while self._waiting and self._socket.poll(max(0, round((deadline_s - time.monotonic()) * 1000)), zmq.POLLOUT):
            self._hand_over()
        if not self._waiting:
            self._socket.linger = round(timeout_s * 1000)  # what the socket took may still be on its way
        return len(self._waiting)

    def _hand_over(self) -> None:
        """Give the socket what it can take. Asking it first makes it read what its peer took: `send` alone may not do so
        within a millisecond of the last one, and the packet would wait for the next."""
        while self._waiting and self._socket.poll(0, zmq.POLLOUT):
            self._socket.send(self._waiting.popleft(), zmq.NOBLOCK)

    def receive(self, timeout_s: float) -> bytes | None:
        """The next packet, or None when none came within `timeout_s`."""
        marked = self.receive_marked(timeout_s)
        return None if marked is None else marked[0]

    def receive_marked(self, timeout_s: float) -> tuple[bytes, list[int]] | None:
        """The next packet and the places of its unsure bytes, or None when none came within `timeout_s`.

        A modem that knows which bytes are unsure sends a second message part with one bit per byte of the packet,
        the first byte in the highest bit.
        """
        if not self._socket.poll(max(0, round(timeout_s * 1000))):
            return None
        packet, bits = self._socket.recv(zmq.NOBLOCK), b""
        if self._socket.rcvmore:
            marks = self._socket.recv(zmq.NOBLOCK)
            bits = marks if len(marks) * 8 < len(packet) + 8 else b""
        while self._socket.rcvmore:  # one at a time: a stranger's thousands of parts are never copied together
            self._socket.recv(zmq.NOBLOCK)
        return packet, [place for place in range(min(len(packet), len(bits) * 8)) if bits[place // 8] >> (7 - place % 8) & 1]

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def __enter__(self) -> ZmqLink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class PacketFile:
    """Packets one after another in a file or pipe (`-`), nothing between them: its size is what was on air."""

    def __init__(self, path: str, force: bool = False):
        """Open the file for writing.

        Raises:
            FileError: it exists and `force` is not given, or it cannot be written.
        """
        self._file: BinaryIO
        self._ours = path != "-"  # stdout is closed by whoever opened it
        if not self._ours:
            if sys.stdout is None or sys.stdout.isatty():
                raise FileError("packets are bytes, not text; redirect stdout into a file or a pipe")
            self._file = sys.stdout.buffer
            return
        if Path(path).is_file() and not force:
            raise FileError(f"{path} exists; choose another --out or add --force")
        try:
            self._file = Path(path).open("wb")  # noqa: SIM115 - lives as long as this link
        except OSError as error:
            raise FileError(f"cannot write {path}: {(error.strerror or 'error').lower()}; choose another --out") from None

    def send(self, packet: bytes) -> int:
        self._file.write(packet)
        self._file.flush()  # a reader in the pipe waits for this packet, not for a full buffer
        return 0

    def drain(self, timeout_s: float) -> int:
        return 0

    def close(self) -> None:
        if self._ours:
            self._file.close()


def open_packets(path: str) -> BufferedReader:
    """Open a file or pipe (`-`) of packets for reading.

    Raises:
        FileError: the file is missing or unreadable.
    """
    if path == "-":
        if sys.stdin is None:
            raise FileError("stdin is closed; pipe packets into it, or give a file with --in")
        return cast(BufferedReader, sys.stdin.buffer)
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise FileError(f"cannot read {path}: {(error.strerror or 'error').lower()}; give what clari-tx --out wrote") from None
