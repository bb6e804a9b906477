"""Minutes of what `python -m channel.soak` does for a day."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from channel.soak import main, soak, speaks
from channel.wall import best_delay
from stream.profile import PROFILES
from stream.protection import Protection
from tests.conftest import SAMPLE_RATE_HZ, speech_like


@pytest.mark.parametrize(
    ("ppm", "protection"),
    [(300.0, Protection()), (-300.0, Protection()), (300.0, Protection(8, 2)), (-300.0, Protection(repeat=1))],
    ids=lambda value: str(value),
)
def test_half_an_hour_of_loss_and_drift_leaves_delay_and_memory_flat(ppm: float, protection: Protection) -> None:
    """300 ppm are 0.54 s in half an hour."""
    rows = list(soak(0.5, ppm, PROFILES["narrow"], protection, seed=1, row_s=300.0))
    assert len(rows) == 6
    assert all(row.heard_frames > 2500 for row in rows)
    delays_s = [row.delay_s for row in rows[1:]]
    assert max(delays_s) - min(delays_s) < 0.15
    objects = [row.objects for row in rows[1:]]
    assert max(objects) - min(objects) < 500


def test_a_clock_that_is_not_followed_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: if neither steps nor cuts follow the clock, a fast sender's frames wait ever longer."""
    monkeypatch.setattr("stream.playout.Playout._adaptive", property(lambda playout: False))
    rows = list(soak(0.5, 300.0, PROFILES["narrow"], Protection(), seed=1, row_s=300.0))
    delays_s = [row.delay_s for row in rows[1:]]
    assert max(delays_s) - min(delays_s) > 0.15


def test_it_talks_mostly_without_a_pause_and_then_in_spurts() -> None:
    assert all(speaks(now_s) for now_s in np.arange(0, 3000, 7.0))
    spurts = [speaks(now_s) for now_s in np.arange(3000, 3600, 0.5)]
    assert 0.4 < np.mean(spurts) < 0.75


def test_the_command_prints_and_writes_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rows.json"
    assert main(["--hours", "0.04", "--row-s", "60", "--json", str(out)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert [row["until_s"] for row in json.loads(out.read_text())["rows"]] == [60.0, 120.0]
    assert main(["--hours", "-1"]) == 2


def test_the_delay_of_speech_is_found_by_its_loudness() -> None:
    clip = speech_like(9.0, seed=3)
    clip[: 2 * SAMPLE_RATE_HZ] *= 0.1
    heard = np.roll(np.concatenate([clip] * 4), round(1.3 * SAMPLE_RATE_HZ)) * 0.5
    noisy = (heard + np.random.default_rng(0).normal(0, 0.01, len(heard))).astype(np.float32)
    start = 5 * SAMPLE_RATE_HZ
    delay_s, likeness = best_delay(noisy[start:], 5.0, clip, 1.0)
    assert delay_s == pytest.approx(1.3, abs=0.03) and likeness > 0.8
