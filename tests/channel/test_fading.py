"""Fading against theory: autocorrelation, distribution, duration of fades."""

from __future__ import annotations

import math

import numpy as np
import pytest

from channel.fading import Fading, FadingConfig

DOPPLER_HZ = 2.0


def bessel_j0(x: float) -> float:
    angles = (np.arange(400) + 0.5) * math.pi / 400
    return float(np.cos(x * np.sin(angles)).mean())


def total(config: FadingConfig, seed: int, step_s: float, count: int) -> np.ndarray:
    """[paths, count] gains."""
    return np.asarray(sum(Fading(config, np.random.default_rng(seed)).gains(0.0, step_s, count)))


@pytest.mark.parametrize("lag_s", [0.01, 0.05, 0.1, 0.19, 0.3, 0.5, 0.8])
def test_scattered_waves_have_the_autocorrelation_of_jakes(lag_s: float) -> None:
    step_s = 0.01
    gains = Fading(FadingConfig(DOPPLER_HZ), np.random.default_rng(1)).scattered(0.0, step_s, 200_000)[0]
    lag = round(lag_s / step_s)
    measured = (gains[lag:] * gains[:-lag].conj()).mean()
    assert abs(measured - bessel_j0(2 * math.pi * DOPPLER_HZ * lag_s)) < 0.03


@pytest.mark.parametrize("lag_s", [0.05, 0.1, 0.25, 0.5])
def test_the_ionosphere_has_a_gaussian_one(lag_s: float) -> None:
    step_s = 0.01
    config = FadingConfig(DOPPLER_HZ, spectrum="gaussian")
    gains = Fading(config, np.random.default_rng(2)).scattered(0.0, step_s, 200_000)[0]
    lag = round(lag_s / step_s)
    measured = (gains[lag:] * gains[:-lag].conj()).mean()
    assert abs(measured - math.exp(-2 * (math.pi * 0.5 * DOPPLER_HZ * lag_s) ** 2)) < 0.03


def test_gains_are_a_function_of_time_alone() -> None:
    fading = Fading(FadingConfig(DOPPLER_HZ, k_db=3.0, paths=2), np.random.default_rng(3))
    whole = sum(fading.gains(100.0, 0.01, 90))
    parts = np.concatenate([sum(fading.gains(100.0 + 0.01 * k, 0.01, 1)) for k in range(90)], axis=1)
    np.testing.assert_allclose(whole, parts, atol=1e-9)
    late = 86_400.0
    np.testing.assert_allclose(sum(fading.gains(late, 0.02, 5)), sum(fading.gains(late, 0.01, 9))[:, ::2], atol=1e-9)


@pytest.mark.parametrize("below", [0.01, 0.1, 0.5, 2.0])
def test_rayleigh_power_is_exponential(below: float) -> None:
    power = np.abs(total(FadingConfig(DOPPLER_HZ), 4, 1.37, 20_000)[0]) ** 2
    expected = 1 - math.exp(-below)
    assert abs((power < below).mean() - expected) < 3 * math.sqrt(expected * (1 - expected) / len(power))


@pytest.mark.parametrize("k_db", [None, 0.0, 6.0, 15.0])
@pytest.mark.parametrize("paths", [1, 3])
def test_mean_power_is_one_and_its_variance_that_of_rice(k_db: float | None, paths: int) -> None:
    gains = total(FadingConfig(DOPPLER_HZ, k_db, paths=paths), 5, 1.37, 20_000)
    power = (np.abs(gains) ** 2).sum(axis=0)
    k = 0.0 if k_db is None else 10 ** (k_db / 10)
    variance = (1 + 2 * k) / (1 + k) ** 2 / paths
    assert abs(power.mean() - 1) < 3 * math.sqrt(variance / len(power))
    assert power.var() == pytest.approx(variance, rel=0.06)


@pytest.mark.parametrize("depth", [0.25, 0.5])
def test_fades_are_as_long_and_as_frequent_as_rice_has_it(depth: float) -> None:
    step_s, count = 0.002, 400_000
    faded = np.abs(total(FadingConfig(DOPPLER_HZ), 6, step_s, count)[0]) < depth
    edges = np.flatnonzero(np.diff(faded.astype(int)))
    fades = len(edges) / 2
    duration_s = (math.exp(depth**2) - 1) / (depth * DOPPLER_HZ * math.sqrt(2 * math.pi))
    per_s = math.sqrt(2 * math.pi) * DOPPLER_HZ * depth * math.exp(-(depth**2))
    assert abs(fades / (step_s * count) - per_s) < 3 * math.sqrt(per_s / (step_s * count))
    assert abs(faded.sum() * step_s / fades - duration_s) < 3 * duration_s / math.sqrt(fades)


def test_no_doppler_means_a_gain_that_stays() -> None:
    for spectrum in ("jakes", "gaussian"):
        gains = total(FadingConfig(0.0, 3.0, spectrum), 7, 100.0, 10)[0]
        np.testing.assert_allclose(gains, gains[0])


def test_the_seed_decides() -> None:
    config = FadingConfig(DOPPLER_HZ)
    assert np.array_equal(total(config, 8, 0.1, 9), total(config, 8, 0.1, 9))
    assert not np.array_equal(total(config, 8, 0.1, 9), total(config, 9, 0.1, 9))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"doppler_hz": -1.0}, "doppler_hz is -1.0; give hertz, 0 or more"),
        ({"doppler_hz": math.nan}, "doppler_hz is nan"),
        ({"k_db": math.inf}, "k_db is inf; give decibels, or None for Rayleigh"),
        ({"spectrum": "flat"}, "spectrum is 'flat'; give one of jakes, gaussian"),
        ({"paths": 0}, "paths is 0; give 1 to 16"),
    ],
)
def test_nonsense_is_refused_with_its_cure(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FadingConfig(**{"doppler_hz": 1.0} | values)
