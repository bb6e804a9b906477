"""kill -9 of sender, channel and receiver in every order: speech resumes, and nothing is lost from then on."""

from __future__ import annotations

import itertools

import pytest

from channel.faults import PARTS, Fault, faults
from stream.profile import PROFILES

RESUMES_S = 2.0
STALL_S = 0.25  # a machine that holds processes up for longer, or lets new ones wait, says nothing about the link
ATTEMPTS = 3
ONE_BY_ONE = [(part,) for part in PARTS]
ALL = list(itertools.permutations(PARTS))


@pytest.mark.parametrize("orders", [ONE_BY_ONE, ALL[:3], ALL[3:]], ids=["one by one", "all three", "all three, other orders"])
def test_speech_resumes_after_every_order_of_deaths(orders: list[tuple[str, ...]]) -> None:
    left = list(orders)
    for _ in range(ATTEMPTS):
        found = list(faults(PROFILES["fast"], left, pause_s=0.05, calm_s=1.0))
        assert [fault.order for fault in found] == left  # whatever the machine does, speech comes back and nobody hangs
        for fault in found:
            check(fault)
        left = [fault.order for fault in found if held_up(fault)]
        if not left:
            return
    pytest.skip(f"the machine holds processes up for more than {STALL_S} s: {len(orders) - len(left)} of {len(orders)} measured")


def held_up(fault: Fault) -> bool:
    return max(fault.stalled_s, fault.waited_s) > STALL_S


def check(fault: Fault) -> None:
    assert fault.heard_frames > 0
    if not held_up(fault):
        assert fault.resumed_s < RESUMES_S, fault
        assert fault.lost_frames == 0, fault
