"""Named satellite links: geostationary and low orbit, on a ship, on land."""

from __future__ import annotations

from channel.fading import FadingConfig
from channel.markov import OutageConfig
from channel.named import ILLUSTRATIVE, Preset, doppler_hz, reception_sources
from channel.reception import ReceptionConfig
from channel.shadowing import ShadowingConfig
from channel.simulator import ChannelConfig

GEO = {"bit_rate_bps": ILLUSTRATIVE, "delay_s": "geostationary hop, 240-270 ms one way", "jitter_s": ILLUSTRATIVE}
NS3 = "ns-3 THz-NTN"
LUTZ = "documented example of the Lutz model"
LUTZ_FADES = {"spectrum": "Jakes, as in the Lutz model", "paths": "one, as in the Lutz model"}
TR_38811 = "3GPP TR 38.811, table 6.6.1-1, line-of-sight probability"
CAR_M_S = 50 / 3.6
L_BAND_HZ = 1.54e9

# (Rician factor, mean and deviation of the shadow) in dB by environment: ns-3 THz-NTN, chosen there to follow ITU-R P.681.
ENVIRONMENTS = {"urban": (5.0, -12.0, 4.0), "suburban": (10.0, -8.0, 3.0), "rural": (14.0, -5.0, 2.5)}
# Metres of one shadow there; none is given for the country.
SHADOW_M = {"urban": 24.0, "suburban": 10.0, "rural": 10.0}
# Share of places in clear view of a satellite by elevation in degrees: 3GPP TR 38.811, table 6.6.1-1, in percent.
ELEVATIONS_DEG = (10, 20, 30, 40, 50, 60, 70, 80, 90)
CLEAR_PERCENT = {
    "urban": (24.6, 38.6, 49.3, 61.3, 72.6, 80.5, 91.9, 96.8, 99.2),
    "suburban": (78.2, 86.9, 91.9, 92.9, 93.5, 94.0, 94.9, 95.2, 99.8),
    "rural": (78.2, 86.9, 91.9, 92.9, 93.5, 94.0, 94.9, 95.2, 99.8),
}


def land_mobile(environment: str, clear_m: float, speed_m_s: float, carrier_hz: float = L_BAND_HZ) -> ReceptionConfig:
    """Lutz's two states for a car: clear stretches of `clear_m` metres on average, shadows as long as the environment's.

    Raises:
        ValueError: no such environment; the message lists those there are.
    """
    if environment not in ENVIRONMENTS:
        raise ValueError(f"environment is {environment!r}; give one of {', '.join(ENVIRONMENTS)}")
    k_db, mean_db, deviation_db = ENVIRONMENTS[environment]
    return ReceptionConfig(
        modulation="bpsk",
        snr_db=12.0,
        detection_db=0.0,
        fading=FadingConfig(doppler_hz=doppler_hz(speed_m_s, carrier_hz), k_db=k_db),
        shadowing=ShadowingConfig(
            good_s=round(clear_m / speed_m_s, 3),
            bad_s=round(SHADOW_M[environment] / speed_m_s, 3),
            mean_db=mean_db,
            deviation_db=deviation_db,
            correlation_s=round(2.0 / speed_m_s, 3),
        ),
    )


def clear_m(environment: str, elevation_deg: int) -> float:
    """Mean length of a clear stretch, so that the share of clear places is that of TR 38.811 at that elevation.

    Raises:
        ValueError: no such environment or elevation; the message lists those there are.
    """
    if environment not in CLEAR_PERCENT or elevation_deg not in ELEVATIONS_DEG:
        raise ValueError(
            f"no table for {environment!r} at {elevation_deg} degrees; "
            f"give one of {', '.join(CLEAR_PERCENT)} and 10 to 90 degrees in tens"
        )
    clear = CLEAR_PERCENT[environment][ELEVATIONS_DEG.index(elevation_deg)] / 100.0
    return SHADOW_M[environment] * clear / (1.0 - clear)


def _car(name: str, summary: str, environment: str, metres: float, good: str, bad: str) -> Preset:
    return Preset(
        name,
        summary,
        ChannelConfig(bit_rate_bps=1200, delay_s=0.25, jitter_s=0.02, reception=land_mobile(environment, metres, CAR_M_S)),
        GEO
        | reception_sources(
            {"doppler_hz": "50 km/h at 1.54 GHz: speed / wavelength", "k_db": f"{NS3} {environment}"} | LUTZ_FADES,
            shadowing={
                "good_s": good,
                "bad_s": bad,
                "mean_db": f"{NS3} {environment}",
                "deviation_db": f"{NS3} {environment}",
                "correlation_s": "illustrative: 2 m at 13.9 m/s",
            },
        ),
    )


SATELLITE = (
    Preset(
        "satellite-geo",
        "geostationary satellite, fixed terminal in clear view, short fades",
        ChannelConfig(bit_rate_bps=1200, delay_s=0.25, jitter_s=0.02, loss_rate=0.03, mean_burst_s=0.5, ber=1e-4),
        GEO | dict.fromkeys(("loss_rate", "mean_burst_s", "ber"), ILLUSTRATIVE),
    ),
    Preset(
        "satellite-leo",
        "low orbit constellation such as Iridium, handheld terminal, handover jitter",
        ChannelConfig(bit_rate_bps=2400, delay_s=0.16, jitter_s=0.04, loss_rate=0.05, mean_burst_s=0.8, ber=1e-4),
        {
            "bit_rate_bps": "Iridium voice channel, 2.4 kbps",
            "delay_s": "Iridium voice path, about 160 ms in total",
            "jitter_s": ILLUSTRATIVE,
            "loss_rate": ILLUSTRATIVE,
            "mean_burst_s": ILLUSTRATIVE,
            "ber": ILLUSTRATIVE,
        },
    ),
    Preset(
        "satellite-maritime",
        "geostationary satellite from a rolling ship: waves off the sea, seconds behind the mast",
        ChannelConfig(
            bit_rate_bps=600,
            delay_s=0.25,
            jitter_s=0.05,
            outage=OutageConfig(every_s=60.0, mean_s=3.0),
            reception=ReceptionConfig("qpsk", 11.0, detection_db=2.0, fading=FadingConfig(doppler_hz=0.5, k_db=8.0)),
        ),
        GEO
        | dict.fromkeys(("outage.every_s", "outage.mean_s"), ILLUSTRATIVE)
        | reception_sources({"k_db": "illustrative; Rician, as sea reflections are described"}),
    ),
    _car(
        "satellite-suburban",
        "geostationary satellite from a car at 50 km/h among houses and trees",
        "suburban",
        30.0,
        f"{NS3} suburban, 30 m good at 13.9 m/s",
        f"{NS3} suburban, 10 m bad at 13.9 m/s",
    ),
    _car(
        "satellite-urban",
        "geostationary satellite from a car at 50 km/h in a city: in the shadow most of the time",
        "urban",
        16.0,
        f"{NS3} urban, 16 m good at 13.9 m/s",
        f"{NS3} urban, 24 m bad at 13.9 m/s",
    ),
    *(
        _car(
            f"satellite-{environment}-{elevation}",
            f"satellite {elevation} degrees above the horizon from a car at 50 km/h, {place}",
            environment,
            clear_m(environment, elevation),
            f"{TR_38811}, {environment}, {elevation} degrees",
            "illustrative: 10 m bad at 13.9 m/s"
            if environment == "rural"
            else f"{NS3} {environment}, {SHADOW_M[environment]:g} m bad at 13.9 m/s",
        )
        for environment, elevation, place in (
            ("urban", 30, "in a city"),
            ("urban", 60, "in a city"),
            ("suburban", 20, "among houses and trees"),
            ("rural", 40, "in the country"),
        )
    ),
    Preset(
        "satellite-highway",
        "the documented example of the Lutz model: shadows of 24.5 s on average, for outages and not for talking",
        ChannelConfig(
            bit_rate_bps=1200,
            delay_s=0.25,
            jitter_s=0.02,
            reception=ReceptionConfig(
                "bpsk",
                12.0,
                detection_db=0.0,
                fading=FadingConfig(doppler_hz=2.85, k_db=5.5),
                shadowing=ShadowingConfig(good_s=21.0, bad_s=24.5, mean_db=-13.6, deviation_db=3.8, correlation_s=2.0),
            ),
        ),
        GEO
        | reception_sources(
            {"doppler_hz": LUTZ, "k_db": LUTZ} | LUTZ_FADES,
            shadowing=dict.fromkeys(("good_s", "bad_s", "mean_db", "deviation_db"), LUTZ) | {"correlation_s": ILLUSTRATIVE},
        ),
    ),
)
