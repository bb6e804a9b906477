"""The link in training loses what the channel simulator loses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from channel.impairments import BurstLoss
from codec.config import ConfigError
from codec.link import frames_per_packet, lost_packets, received, untouched
from codec.network.quantizer import damage


def bursts(lost: np.ndarray) -> np.ndarray:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int), [0]])))
    return edges[1::2] - edges[::2]


@pytest.mark.parametrize(("loss_rate", "burst"), [(0.1, 2.0), (0.05, 4.0), (0.2, 1.25), (0.3, 1.0)])
def test_rate_and_bursts_are_those_asked_for(loss_rate: float, burst: float) -> None:
    lost = lost_packets(np.random.default_rng(0), 200_000, loss_rate, burst)
    assert lost.mean() == pytest.approx(loss_rate, rel=0.05)
    assert bursts(lost).mean() == pytest.approx(max(burst, 1 / (1 - loss_rate)), rel=0.03)


def test_it_is_the_chain_of_the_channel_simulator() -> None:
    loss_rate, burst, packet_s = 0.1, 2.0, 0.64
    # The simulator runs in time: this is how long its bad state lasts when two packets in a row are lost on average.
    kept = 1 - 1 / (burst * (1 - loss_rate))
    mean_burst_s = -packet_s / math.log(kept) / (1 - loss_rate)
    link = BurstLoss(loss_rate, mean_burst_s, np.random.default_rng(5))
    simulated = [link.is_lost(packet_s * packet) for packet in range(5000)]
    assert lost_packets(np.random.default_rng(5), 5000, loss_rate, burst).tolist() == simulated


def test_whole_packets_are_lost_and_bits_flip_at_their_rate() -> None:
    rng = np.random.default_rng(1)
    links = [received(rng, 60, 8, 0.3, 2.0, 0.02) for _ in range(400)]
    lost = np.stack([link.lost for link in links])
    assert lost.shape == (400, 60) and lost.mean() == pytest.approx(0.3, abs=0.03)
    changes = [np.flatnonzero(np.diff(row.astype(int))) for row in lost]
    assert all((np.diff(each) % 8 == 0).all() for each in changes)  # whole packets
    assert {int(each[0]) % 8 for each in changes if len(each)} == set(range(8))  # that begin at any frame of the utterance
    flips = np.stack([link.flips for link in links])
    assert flips.min() == 0 and flips.max() == 3
    assert ((flips & 1) + (flips >> 1)).mean() / 2 == pytest.approx(0.02, rel=0.05)


def test_a_perfect_link_changes_nothing() -> None:
    link = untouched(5)
    codes = torch.randint(0, 4, (5, 8), generator=torch.Generator().manual_seed(0))
    assert not link.lost.any() and torch.equal(damage(codes, torch.from_numpy(link.flips)), codes)
    assert not received(np.random.default_rng(0), 30, 8, 0.0, 2.0, 0.0).lost.any()


def test_packets_are_those_of_the_profile() -> None:
    assert [frames_per_packet(name) for name in ("fast", "standard", "narrow")] == [4, 8, 12]
    with pytest.raises(ConfigError, match="unknown profile"):
        frames_per_packet("wide")
