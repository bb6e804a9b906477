"""The loops of `clari-channel`: packets from sockets on the wall clock, or from a stream in virtual time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import BinaryIO

from channel.transit import Transit
from stream.clock import Clock
from stream.errors import FileError, LinkError
from stream.link import ZmqLink
from stream.signals import check

LONGEST_POLL_S = 1.0
TURN_POLL_S = 0.005  # between two directions, neither of which must wait for the other


def relay_sockets(lanes: Sequence[tuple[Transit, ZmqLink]], clock: Clock, idle_exit_s: float) -> None:
    """Relay one or two directions until `idle_exit_s` seconds of the clock pass without a packet, once one came; for ever if 0."""
    active_s = math.inf
    longest_s = LONGEST_POLL_S if len(lanes) == 1 else TURN_POLL_S
    while True:
        for transit, source in lanes:
            check()
            now_s = clock.now_s()
            if sum(lane.forward(now_s) for lane, _ in lanes):
                active_s = now_s
            in_flight = any(lane.in_flight for lane, _ in lanes)
            until_s = min(lane.next_s for lane, _ in lanes) if in_flight else active_s + (idle_exit_s or math.inf)
            packet = source.receive(min((until_s - now_s) / clock.speed, longest_s))
            now_s = clock.now_s()
            if packet is not None:
                active_s = now_s
                transit.accept(now_s, packet)
            elif idle_exit_s > 0 and not in_flight and now_s - active_s >= idle_exit_s:
                return


def relay_stream(transit: Transit, source: BinaryIO, packet_bytes: int, packet_s: float) -> None:
    """Relay packets that stand back to back in `source`; packet k is offered at k * `packet_s`.

    Raises:
        FileError: there is no packet at all.
        LinkError: the last packet is incomplete; those before it have been relayed.
    """
    count = 0
    while len(packet := source.read(packet_bytes)) == packet_bytes:
        transit.accept(count * packet_s, packet)
        count += 1
        transit.forward(count * packet_s)  # no later packet can arrive before that
    transit.forward(math.inf)
    if packet:
        raise LinkError(
            f"the input ends after {len(packet)} of {packet_bytes} bytes; give --packet-bytes as the sender's profile has it"
        )
    if not count:
        raise FileError("the input holds no packets; give what clari-tx --out wrote")
