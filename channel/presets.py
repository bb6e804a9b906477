"""Named links. Every number names its source; one that has none says `illustrative`. PRESETS.md is the long form.

config = preset("satellite-geo").config
"""

from __future__ import annotations

from dataclasses import dataclass

from channel.simulator import ChannelConfig

ILLUSTRATIVE = "illustrative"
GEO_DELAY = "geostationary hop, 240-270 ms one way"


@dataclass(frozen=True)
class Preset:
    """A named link; `sources` says for every field of `config` that differs from a perfect link where its value is from."""

    name: str
    summary: str
    config: ChannelConfig
    sources: dict[str, str]


_PRESETS = (
    Preset("clean", "a perfect link: no limit, no delay, no loss", ChannelConfig(), {}),
    Preset(
        "satellite-geo",
        "geostationary satellite, fixed terminal in clear view, short fades",
        ChannelConfig(bit_rate_bps=1200, delay_s=0.25, jitter_s=0.02, loss_rate=0.03, mean_burst_s=0.5, ber=1e-4),
        {
            "bit_rate_bps": ILLUSTRATIVE,
            "delay_s": GEO_DELAY,
            "jitter_s": ILLUSTRATIVE,
            "loss_rate": ILLUSTRATIVE,
            "mean_burst_s": ILLUSTRATIVE,
            "ber": ILLUSTRATIVE,
        },
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
        "geostationary satellite from a rolling ship, long shadowing by mast and swell",
        ChannelConfig(bit_rate_bps=600, delay_s=0.25, jitter_s=0.05, loss_rate=0.08, mean_burst_s=1.5, ber=5e-4),
        {
            "bit_rate_bps": ILLUSTRATIVE,
            "delay_s": GEO_DELAY,
            "jitter_s": ILLUSTRATIVE,
            "loss_rate": ILLUSTRATIVE,
            "mean_burst_s": ILLUSTRATIVE,
            "ber": ILLUSTRATIVE,
        },
    ),
    Preset(
        "satellite-suburban",
        "geostationary satellite from a car at 50 km/h among houses and trees",
        ChannelConfig(bit_rate_bps=1200, delay_s=0.25, jitter_s=0.02, loss_rate=0.25, mean_burst_s=0.72, ber=1e-4),
        {
            "bit_rate_bps": ILLUSTRATIVE,
            "delay_s": GEO_DELAY,
            "jitter_s": ILLUSTRATIVE,
            "loss_rate": "ns-3 THz-NTN suburban, 30 m good and 10 m bad: 10 / (30 + 10)",
            "mean_burst_s": "ns-3 THz-NTN suburban, 10 m bad at 13.9 m/s",
            "ber": ILLUSTRATIVE,
        },
    ),
    Preset(
        "acoustic",
        "underwater acoustic modem over 1.5 km",
        ChannelConfig(bit_rate_bps=400, delay_s=1.0, jitter_s=0.02, loss_rate=0.044, mean_burst_s=2.0, ber=1e-3),
        {
            "bit_rate_bps": "Sonardyne Modem 6, TS2",
            "delay_s": "1.5 km at 1500 m/s",
            "jitter_s": ILLUSTRATIVE,
            "loss_rate": "block error floor of the JANUS waveform on a 3-tap Rician channel",
            "mean_burst_s": ILLUSTRATIVE,
            "ber": ILLUSTRATIVE,
        },
    ),
    Preset(
        "hf",
        "short-wave radio, robust data mode, slow fading",
        ChannelConfig(bit_rate_bps=700, delay_s=0.16, jitter_s=0.0, loss_rate=0.1, mean_burst_s=1.0, ber=2e-3),
        {
            "bit_rate_bps": "FreeDV 700D",
            "delay_s": "FreeDV 700D modem frame, 160 ms",
            "loss_rate": ILLUSTRATIVE,
            "mean_burst_s": ILLUSTRATIVE,
            "ber": ILLUSTRATIVE,
        },
    ),
)

PRESETS: dict[str, Preset] = {one.name: one for one in _PRESETS}


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise ValueError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}") from None


def preset_table() -> str:
    """All presets as lines of text with a header, for a terminal."""
    lines = [f"{'preset':<20}{'bps':>6}{'delay s':>9}{'jitter s':>10}{'loss':>7}{'burst s':>9}{'ber':>8}  link"]
    for one in PRESETS.values():
        config = one.config
        rate = "-" if config.bit_rate_bps is None else f"{config.bit_rate_bps:g}"
        lines.append(
            f"{one.name:<20}{rate:>6}{config.delay_s:>9g}{config.jitter_s:>10g}"
            f"{config.loss_rate:>7g}{config.mean_burst_s:>9g}{config.ber:>8g}  {one.summary}"
        )
    return "\n".join(lines)
