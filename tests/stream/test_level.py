"""The level meter."""

from __future__ import annotations

import numpy as np
import pytest

from stream.frame import SAMPLE_RATE_HZ
from stream.level import CLIP_HOLD_S, PEAK_FALL_DB_S, QUIETEST_DB, LevelMeter


def tone(level_db: float, seconds: float = 3.0) -> np.ndarray:
    """A sine whose root of the mean square is at `level_db`."""
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (10 ** (level_db / 20) * np.sqrt(2) * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)


@pytest.mark.parametrize("level_db", [-60.0, -23.0, -6.0])
@pytest.mark.parametrize("block", [160, 1280, 48_000])
def test_a_sine_reads_its_level_whatever_the_blocks(level_db: float, block: int) -> None:
    meter, pcm = LevelMeter(), tone(level_db)
    for start in range(0, len(pcm), block):
        meter.add(pcm[start : start + block])
    assert meter.level_db == pytest.approx(level_db, abs=0.2)
    assert meter.peak_db == pytest.approx(level_db + 3.01, abs=0.1)
    assert not meter.clipping


def test_silence_and_nothing_at_all() -> None:
    meter = LevelMeter()
    meter.add(np.zeros(0, np.float32))
    meter.add(np.zeros(1280, np.float32))
    assert (meter.level_db, meter.peak_db, meter.clipped_samples) == (QUIETEST_DB, QUIETEST_DB, 0)


def test_clipping_is_counted_held_and_forgotten() -> None:
    meter, pcm = LevelMeter(), tone(-20, 0.1)
    pcm[[10, 20]] = (1.0, -1.0)
    meter.add(pcm)
    assert meter.clipping and meter.clipped_samples == 2
    meter.add(tone(-20, CLIP_HOLD_S - 0.1))
    assert meter.clipping
    meter.add(tone(-20, 0.2))
    assert not meter.clipping and meter.clipped_samples == 2


def test_the_peak_falls_at_its_rate() -> None:
    meter = LevelMeter()
    meter.add(tone(-6, 0.1))
    peak_db = meter.peak_db
    meter.add(np.zeros(SAMPLE_RATE_HZ, np.float32))
    assert meter.peak_db == pytest.approx(peak_db - PEAK_FALL_DB_S)


def test_watching_changes_no_sample() -> None:
    meter, blocks = LevelMeter(), [tone(-20, 0.08), tone(-10, 0.08)]
    assert all(seen is block for seen, block in zip(meter.watch(blocks), blocks, strict=True))
    assert meter.level_db > QUIETEST_DB
