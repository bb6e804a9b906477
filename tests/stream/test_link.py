"""ZeroMQ hops: who gets in, what is handed over, where they are bound."""

from __future__ import annotations

import tracemalloc

import pytest

from stream import rx
from stream.link import ZmqLink
from tests.conftest import free_endpoint

KEY, OTHER_KEY = bytes(range(32)), bytes(32)


@pytest.mark.parametrize("client_key", [None, OTHER_KEY], ids=["no key", "another key"])
def test_curve_lets_nobody_in_or_listen_without_the_key(client_key: bytes | None) -> None:
    """A stranger's packets do not reach a bound receiver, and nothing reaches a stranger from a bound sender."""
    endpoint = free_endpoint()
    with (
        ZmqLink.receiver(endpoint, curve_key=KEY) as receiver,
        ZmqLink.sender(endpoint, curve_key=client_key) as stranger,
        ZmqLink.sender(endpoint, curve_key=KEY) as friend,
    ):
        stranger.send(b"forged")
        friend.send(b"genuine")
        assert friend.drain(20.0) == 0 and receiver.receive(20.0) == b"genuine"
        assert stranger.drain(0.3) == 1 and receiver.receive(0.3) is None
    endpoint = free_endpoint()
    with (
        ZmqLink.sender(endpoint, bind=True, curve_key=KEY) as sender,
        ZmqLink.receiver(endpoint, bind=False, curve_key=client_key) as stranger,
        ZmqLink.receiver(endpoint, bind=False, curve_key=KEY) as friend,
    ):
        for k in range(4):  # PUSH hands them out in turn to whoever it lets in
            sender.send(bytes([k]))
        assert sender.drain(20.0) == 0
        assert [friend.receive(20.0) for _ in range(4)] == [bytes([k]) for k in range(4)]
        assert stranger.receive(0.3) is None


def test_packets_that_were_taken_make_room_at_once() -> None:
    """A sender that nobody holds up keeps no packet back, however soon after the last one it sends the next."""
    endpoint = free_endpoint()
    with ZmqLink.receiver(endpoint) as receiver, ZmqLink.sender(endpoint) as sender:
        sender.send(b"first")
        assert sender.drain(20.0) == 0 and receiver.receive(20.0) == b"first"
        for number in range(200):
            packet = bytes([number])
            assert sender.send(packet) == 0 and sender.queued_packets == 0
            assert receiver.receive(20.0) == packet


def test_marks_of_unsure_bytes_come_with_the_packet() -> None:
    import zmq

    endpoint = free_endpoint()
    with ZmqLink.receiver(endpoint) as receiver, zmq.Context() as context, context.socket(zmq.PUSH) as modem:
        modem.linger = 0
        modem.connect(endpoint)
        for parts in ([b"abcdefghij", b"\x81\x40"], [b"abc"], [b"abc", bytes(99)], [b"abc", b""]):
            modem.send_multipart(parts)
        marked = [receiver.receive_marked(20.0) for _ in range(4)]
    assert marked == [(b"abcdefghij", [0, 7, 9]), (b"abc", []), (b"abc", []), (b"abc", [])]


def test_parts_beyond_the_marks_are_dropped_one_by_one() -> None:
    import zmq

    endpoint = free_endpoint()
    with ZmqLink.receiver(endpoint) as receiver, zmq.Context() as context, context.socket(zmq.PUSH) as stranger:
        stranger.linger = 0
        stranger.connect(endpoint)
        stranger.send_multipart([b"abc", b"\x80", *[bytes(1000)] * 5000])
        stranger.send(b"next")
        assert receiver._socket.poll(20_000)
        tracemalloc.start()
        try:
            assert receiver.receive_marked(20.0) == (b"abc", [0])
            assert tracemalloc.get_traced_memory()[1] < 500_000
        finally:
            tracemalloc.stop()
        assert receiver.receive(20.0) == b"next"


def test_a_receiver_binds_to_this_machine_unless_told_otherwise() -> None:
    args = rx.build_parser().parse_args(["--bind", "--null"])
    assert args.bind == "tcp://127.0.0.1:5555"
    assert rx.reachable("tcp://0.0.0.0:5555") and rx.reachable("tcp://*:1") and not rx.reachable(args.bind)
