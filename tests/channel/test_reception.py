"""Wrong bits against the closed forms of the textbooks: steady, Rayleigh, Rician, several paths, in and out of shadows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from channel.fading import FadingConfig
from channel.markov import DriftConfig
from channel.modulation import error_probability
from channel.reception import Reception, ReceptionConfig
from channel.shadowing import ShadowingConfig

# J. G. Proakis, Digital Communications: the error probabilities below, e the mean energy of a bit over the noise density.


def steady(modulation: str, e: float) -> float:
    return 0.5 * math.exp(-e / 2) if modulation == "fsk" else 0.5 * math.erfc(math.sqrt(e))


def rayleigh(modulation: str, e: float) -> float:
    return 1 / (2 + e) if modulation == "fsk" else 0.5 * (1 - math.sqrt(e / (1 + e)))


def rician(modulation: str, e: float, k: float) -> float:
    """FSK in closed form; the coherent ones as the integral over the moment generating function of the power."""
    if modulation == "fsk":
        return (1 + k) / (2 + 2 * k + e) * math.exp(-k * e / (2 + 2 * k + e))
    s = e / np.sin((np.arange(2000) + 0.5) * math.pi / 4000) ** 2
    return float(((1 + k) / (1 + k + s) * np.exp(-k * s / (1 + k + s))).mean()) / 2


def two_paths(e: float) -> float:
    """BPSK or QPSK with the energy of two equal Rayleigh paths added."""
    mu = math.sqrt(e / 2 / (1 + e / 2))
    return ((1 - mu) / 2) ** 2 * (2 + mu)


def symbol_db(modulation: str, bit_energy: float) -> float:
    return 10 * math.log10(bit_energy * (2 if modulation == "qpsk" else 1))


def wrong_shares(config: ReceptionConfig, packets: int, seed: int = 1, size: int = 8, apart_s: float = 97.0) -> np.ndarray:
    """[packets] share of wrong bits in packets so short and far apart that each sees one fade of its own."""
    reception = Reception(config, np.random.default_rng(seed))
    shares = np.empty(packets)
    for k in range(packets):
        assert reception.open(k * apart_s, k * apart_s + 1e-3, 8 * size)
        received = reception.damage(bytes(size))
        assert len(received) == size
        shares[k] = int.from_bytes(received).bit_count() / (8 * size)
    return shares


def check(shares: np.ndarray, expected: float) -> None:
    assert abs(shares.mean() - expected) < 3 * shares.std() / math.sqrt(len(shares))


@pytest.mark.parametrize("modulation", ["bpsk", "qpsk", "fsk"])
@pytest.mark.parametrize("e", [0.5, 2.0, 5.0])
def test_the_curve_of_a_steady_signal(modulation: str, e: float) -> None:
    snr = np.array([e * (2 if modulation == "qpsk" else 1)])
    assert error_probability(modulation, snr)[0] == pytest.approx(steady(modulation, e), rel=1e-12)
    shares = wrong_shares(ReceptionConfig(modulation, symbol_db(modulation, e)), packets=1500, size=32)
    check(shares, steady(modulation, e))


@pytest.mark.parametrize("modulation", ["bpsk", "qpsk", "fsk"])
@pytest.mark.parametrize("e", [2.0, 10.0])
def test_the_curve_of_a_rayleigh_channel(modulation: str, e: float) -> None:
    config = ReceptionConfig(modulation, symbol_db(modulation, e), fading=FadingConfig(2.3))
    check(wrong_shares(config, packets=2500), rayleigh(modulation, e))


@pytest.mark.parametrize("modulation", ["bpsk", "qpsk", "fsk"])
@pytest.mark.parametrize("k", [1.0, 4.0])
def test_the_curve_of_a_rician_channel(modulation: str, k: float) -> None:
    e = 5.0
    config = ReceptionConfig(modulation, symbol_db(modulation, e), fading=FadingConfig(2.3, k_db=10 * math.log10(k)))
    check(wrong_shares(config, packets=2500), rician(modulation, e, k))


def test_the_rician_formula_has_its_two_limits() -> None:
    for modulation in ("bpsk", "fsk"):
        assert rician(modulation, 5.0, 0.0) == pytest.approx(rayleigh(modulation, 5.0), rel=1e-3)
        assert rician(modulation, 5.0, 1e5) == pytest.approx(steady(modulation, 5.0), rel=1e-2)


def test_the_curve_of_two_paths() -> None:
    config = ReceptionConfig("qpsk", symbol_db("qpsk", 6.0), fading=FadingConfig(1.0, spectrum="gaussian", paths=2))
    check(wrong_shares(config, packets=2500), two_paths(6.0))


def test_a_shadow_leaves_a_weak_rayleigh_channel() -> None:
    """Almost always in a shadow of one depth, told relative to the direct ray."""
    shadow = ShadowingConfig(good_s=0.001, bad_s=1e4, mean_db=-6.0, deviation_db=0.0, correlation_s=1.0)
    config = ReceptionConfig("fsk", 15.0, fading=FadingConfig(2.3, k_db=3.0), shadowing=shadow)
    k = 10**0.3
    check(wrong_shares(config, packets=2500), rayleigh("fsk", 10**1.5 * k / (1 + k) * 10**-0.6))


def test_the_two_states_of_lutz_mix_their_curves() -> None:
    """Rician in the open; Rayleigh of lognormal mean power in the shadow, by quadrature over the depth."""
    e, k, mean_db, deviation_db = 10**1.2, 10**0.8, -9.0, 4.0
    shadow = ShadowingConfig(good_s=3.0, bad_s=2.0, mean_db=mean_db, deviation_db=deviation_db, correlation_s=0.5)
    config = ReceptionConfig("fsk", 12.0, fading=FadingConfig(2.3, k_db=8.0), shadowing=shadow)
    depth_db = np.linspace(-6, 6, 2001) * deviation_db
    weight = np.exp(-0.5 * (depth_db / deviation_db) ** 2)
    powers = e * k / (1 + k) * 10 ** ((mean_db + depth_db) / 10)
    shadowed = float((weight / (2 + powers)).sum() / weight.sum())
    check(wrong_shares(config, packets=2500), 0.6 * rician("fsk", e, k) + 0.4 * shadowed)


def test_drift_moves_the_curve() -> None:
    config = ReceptionConfig("fsk", 6.0, drift=DriftConfig((-3.0, 0.0, 3.0), dwell_s=1.0))
    expected = sum(steady("fsk", 10 ** (0.1 * (6.0 + level))) for level in (-3.0, 0.0, 3.0)) / 3
    check(wrong_shares(config, packets=3000, size=16), expected)


@pytest.mark.parametrize("detection_db", [-10.0, 0.0, 6.0])
def test_packets_weaker_than_the_detector_needs_are_missed(detection_db: float) -> None:
    config = ReceptionConfig("bpsk", 6.0, detection_db=detection_db, fading=FadingConfig(2.3))
    reception = Reception(config, np.random.default_rng(2))
    count = 5000
    noticed = np.array([reception.open(97.0 * k, 97.0 * k + 0.01, 8) for k in range(count)])
    expected = math.exp(-(10 ** ((detection_db - 6.0) / 10)))
    assert abs(noticed.mean() - expected) < 3 * math.sqrt(expected * (1 - expected) / count)


def test_missed_packets_come_in_runs_as_long_as_a_fade() -> None:
    doppler_hz, step_s = 0.5, 0.06
    config = ReceptionConfig("bpsk", 10.0, detection_db=4.0, fading=FadingConfig(doppler_hz))
    reception = Reception(config, np.random.default_rng(3))
    missed = ~np.array([reception.open(step_s * k, step_s * k, 8) for k in range(10_000)])
    runs = np.count_nonzero(np.diff(missed.astype(int)) == 1)
    depth = 10 ** ((4.0 - 10.0) / 20)
    duration_s = (math.exp(depth**2) - 1) / (depth * doppler_hz * math.sqrt(2 * math.pi))
    assert abs(missed.sum() * step_s / runs - duration_s) < 3 * duration_s / math.sqrt(runs)


def test_bits_of_one_packet_share_its_fade() -> None:
    """Quasi-static errors come in bursts: their number varies far more than that of independent ones."""
    shares = wrong_shares(ReceptionConfig("fsk", 10.0, fading=FadingConfig(0.01)), packets=2000, size=32)
    independent = shares.mean() * (1 - shares.mean()) / 256
    assert shares.var() > 5 * independent


@pytest.mark.parametrize("doppler_hz", [0.2, 3.0, 40.0, 300.0])
def test_interpolated_gains_are_those_of_every_symbol(doppler_hz: float) -> None:
    config = ReceptionConfig("bpsk", 0.0, fading=FadingConfig(doppler_hz, k_db=0.0))
    reception, probe = (Reception(config, np.random.default_rng(4)) for _ in range(2))
    reception.open(10.0, 11.0, 512)
    for k in (0, 100, 255, 511):
        probe.open(10.0 + k / 512, 10.0 + (k + 1) / 512, 1)
        assert reception._snr[k] == pytest.approx(probe._snr[0], abs=0.02)


def test_an_empty_packet_and_one_without_duration_pass() -> None:
    reception = Reception(ReceptionConfig("qpsk", 40.0, fading=FadingConfig(1.0, k_db=20.0)), np.random.default_rng(5))
    assert reception.open(1.0, 1.0, 0)
    assert reception.damage(b"") == b""
    assert reception.open(1.0, 1.0, 24)
    assert reception.damage(b"abc") == b"abc"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"modulation": "am"}, "modulation is 'am'; give one of bpsk, qpsk, fsk"),
        ({"snr_db": math.nan}, "snr_db is nan; give decibels between -200 and 200"),
        ({"detection_db": math.inf}, "detection_db is inf; give decibels, or None to notice every packet"),
        ({"shadowing": ShadowingConfig(1.0, 1.0, -5.0, 1.0, 1.0)}, "give fading too"),
    ],
)
def test_nonsense_is_refused_with_its_cure(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ReceptionConfig(**{"modulation": "bpsk", "snr_db": 10.0} | values)
