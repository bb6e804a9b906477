"""What measures delay is itself measured: markers are found where they were put."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stream import bench
from stream.benches.markers import coarse_lag, decode, encode, locate, marker_signal, sender_offset
from stream.engine import load_decoder, load_encoder
from stream.frame import SAMPLES_PER_FRAME


def test_what_is_played_late_is_found_to_the_sample() -> None:
    samples, starts = marker_signal(3, 0.5)
    wanted = samples[starts[1] : starts[1] + 3200]
    heard = 0.3 * np.concatenate([np.zeros(1234, np.float32), samples])
    assert locate(heard, wanted, int(starts[1]) + 1000) == starts[1] + 1234
    assert coarse_lag(heard, samples) == 1234


def test_what_was_not_played_is_not_found() -> None:
    samples, starts = marker_signal(3, 0.5)
    other, _ = marker_signal(3, 0.5, seed=9)
    assert locate(other, samples[starts[1] : starts[1] + 3200], int(starts[1])) is None
    assert locate(np.zeros(20_000, np.float32), samples[starts[1] : starts[1] + 3200], int(starts[1])) is None


@pytest.mark.parametrize("offset", [0, 700])
def test_codes_tell_where_the_senders_frames_began(offset: int) -> None:
    samples, _ = marker_signal(6, 0.5)
    codes = encode(load_encoder("base"), samples[offset:], 4)
    found = sender_offset(load_encoder("base"), samples, codes, 4, offset - SAMPLES_PER_FRAME, offset + SAMPLES_PER_FRAME)
    assert abs(found - offset) <= 40  # 2.5 ms


def test_markers_survive_the_codec_apart() -> None:
    samples, starts = marker_signal(4, 0.5)
    heard = decode(load_decoder("base"), encode(load_encoder("base"), samples, 8))
    wanted = heard[starts[2] : starts[2] + 3200]
    assert locate(heard, wanted, int(starts[2])) == starts[2]
    assert locate(np.concatenate([heard[: starts[2]], np.zeros(3200, np.float32)]), wanted, int(starts[2])) != starts[2]


def test_chirps_over_pipes_are_heard(tmp_path: Path) -> None:
    report = tmp_path / "latency.json"
    assert bench.main(["latency", "--chirps", "5", "--profile", "fast", "--json", str(report)]) == 0
    (result,) = json.loads(report.read_text(encoding="utf-8"))["results"]
    assert result["found"] >= 4  # of a busy machine no more is asked
    assert result["mouth_to_ear_ms"]["p50"] > result["implied_ms"]
