"""Use and entropy of codes whose distribution is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from codec.network.health import code_health, joint_entropy_bits


def test_even_use_of_every_level_is_16_bits() -> None:
    codes = np.tile(np.arange(4)[:, None], (1000, 8))
    health = code_health(codes)
    assert health.frames == 4000
    assert health.marginal_bits == pytest.approx(16)
    assert health.use == [[0.25] * 4] * 8
    assert health.dead == []
    assert health.joint_bits == pytest.approx(2, abs=0.01)  # the dimensions all say the same


def test_unused_and_rarely_used_levels_are_dead() -> None:
    codes = np.tile(np.arange(4)[:, None], (1000, 8))
    codes[:, 2] = np.where(codes[:, 2] == 3, 0, codes[:, 2])
    codes[:, 5] = 1
    codes[:3, 5] = [0, 0, 0]
    codes[3:8, 5] = 2
    health = code_health(codes)
    assert health.dead == [(2, 3), (5, 0), (5, 3)]
    assert health.entropy_bits[2] == pytest.approx(1.5)
    assert health.entropy_bits[5] < 0.05


def test_joint_entropy_of_fewer_frames_than_codes() -> None:
    """2000 frames of 4096 equally likely codes: the plain estimate cannot exceed 11 bits."""
    drawn = np.random.default_rng(1).integers(4096, size=2000)
    found, coverage = joint_entropy_bits(np.bincount(drawn))
    assert found == pytest.approx(12, abs=0.15)
    assert coverage == pytest.approx(len(set(drawn.tolist())) / 4096, abs=0.05)


def test_joint_entropy_is_not_claimed_from_too_little() -> None:
    assert math.isnan(joint_entropy_bits(np.ones(500, int))[0])
    assert math.isnan(joint_entropy_bits(np.zeros(0, int))[0])
    assert joint_entropy_bits(np.array([500]))[0] == pytest.approx(0, abs=1e-6)
