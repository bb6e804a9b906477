"""A sound card whose clock differs: neither does its queue grow nor does it run dry."""

from __future__ import annotations

import numpy as np
import pytest

from stream.pace import DEAD_ZONE_S, WINDOW_BLOCKS, Pace, Paced

BLOCK_S = 0.08


class SimulatedCard:
    """A card that takes samples in gulps on a clock of its own, in virtual time."""

    def __init__(self, ppm: float, cushion_s: float = 0.04, gulp_s: float = 0.0107):
        self._rate = 1 + ppm * 1e-6
        self._cushion_s, self._gulp_s = cushion_s, gulp_s
        self._gulp_due_s = 0.0
        self.queued_s = 0.0
        self.dry_s = 0.0  # of sound that was not there when the card wanted it
        self.played_s = 0.0
        self.largest_step = 0

    def pass_until(self, now_s: float) -> None:
        while self._gulp_due_s <= now_s:
            taken_s = min(self._gulp_s, self.queued_s)
            self.dry_s += self._gulp_s - taken_s if self.played_s else 0.0
            self.queued_s -= taken_s
            self.played_s += taken_s
            self._gulp_due_s += self._gulp_s / self._rate

    def write(self, pcm: np.ndarray) -> None:
        if self.queued_s <= 0.0:
            self.queued_s = self._cushion_s
        self.queued_s += len(pcm) / 16_000
        self.largest_step = max(self.largest_step, abs(len(pcm) - 1280))


def play(card: SimulatedCard, sink: SimulatedCard | Paced, blocks: int) -> list[float]:
    """Write a block every 80 ms, some a little late; what waited before each."""
    rng, pcm, waited = np.random.default_rng(0), np.zeros(1280, np.float32), []
    for late_s, k in zip(rng.exponential(0.002, blocks), range(blocks), strict=True):
        card.pass_until(k * BLOCK_S + min(late_s, 0.015))
        waited.append(card.queued_s)
        sink.write(pcm)
    return waited


@pytest.mark.parametrize("ppm", [-300, 0, 300])
def test_an_hour_of_a_card_with_another_clock_does_not_change_the_delay(ppm: int) -> None:
    """300 ppm are 1.08 s in an hour: 27 times what waits."""
    card = SimulatedCard(ppm)
    waited = play(card, Paced(card), 45_000)
    assert card.dry_s == 0.0
    assert card.largest_step <= 4
    settled = waited[2 * WINDOW_BLOCKS :]
    assert max(settled) - min(settled) < 0.06
    assert abs(np.mean(settled[:2000]) - np.mean(settled[-2000:])) < 2 * DEAD_ZONE_S


@pytest.mark.parametrize("ppm", [-300, 300])
def test_without_it_the_queue_grows_or_runs_dry(ppm: int) -> None:
    """The test above can fail: the same card, written to as it is."""
    card = SimulatedCard(ppm)
    waited = play(card, card, 45_000)
    assert waited[-1] > 0.9 if ppm < 0 else card.dry_s > 0.0


def test_a_new_talk_spurt_begins_with_what_waits_then() -> None:
    pace = Pace()
    for waiting_s in [0.0, *[0.05] * 40]:
        assert pace.block_samples(waiting_s, 1280) == 1280
    assert {pace.block_samples(0.2, 1280) for _ in range(40)} == {1276}  # the first moves the mean by 9 ms
    assert pace.block_samples(0.0, 1280) == 1280
    assert {pace.block_samples(0.2, 1280) for _ in range(40)} == {1280}
