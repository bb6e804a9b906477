"""Rooms and speed: what they change of speech, and what they leave."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codec.data.effects import change_speed, in_room, room_response
from tests.conftest import SAMPLE_RATE_HZ, speech_like


def test_speed_changes_length_and_pitch() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ).astype(np.float32)
    for speed in (0.8, 1.0, 1.25):
        changed = change_speed(tone, speed)
        assert len(changed) == pytest.approx(SAMPLE_RATE_HZ / speed, abs=1)
        assert np.abs(np.fft.rfft(changed)).argmax() * SAMPLE_RATE_HZ / len(changed) == pytest.approx(500 * speed, abs=1)


def test_a_room_keeps_the_power_and_smears_the_sound() -> None:
    rng = np.random.default_rng(0)
    response = room_response(rng, decay_s=0.3, direct_db=3.0)
    assert response[0] == 1 and 10 * np.log10(1 / np.sum(response[1:] ** 2)) == pytest.approx(3.0, abs=0.01)
    early, late = (np.sum(part**2) for part in (response[1:1600], response[3200:]))
    assert early > 50 * late  # 100 ms at a decay of 60 dB in 300 ms are 20 dB
    dry = speech_like(1.0)
    wet = in_room(dry, response)
    assert wet.shape == dry.shape and np.mean(wet**2) == pytest.approx(np.mean(dry**2), rel=1e-4)
    assert np.array_equal(in_room(dry, np.ones(1, np.float32)).round(4), dry.round(4))


def test_who_adds_noise_to_speech_needs_no_torch() -> None:
    code = "import sys, codec.data.effects, codec.data.noises, codec.evaluate.trials; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
