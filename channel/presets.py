"""Named links. Every number names its source; one that has none says `illustrative`. PRESETS.md is the long form.

config = preset("satellite-geo").config
"""

from __future__ import annotations

from channel.acoustic import ACOUSTIC
from channel.named import Preset
from channel.satellite import SATELLITE
from channel.shortwave import SHORTWAVE
from channel.simulator import ChannelConfig

__all__ = ["PRESETS", "Preset", "describe", "preset", "preset_table"]

_CLEAN = Preset("clean", "a perfect link: no limit, no delay, no loss", ChannelConfig(), {})
PRESETS: dict[str, Preset] = {one.name: one for one in (_CLEAN, *SATELLITE, *ACOUSTIC, *SHORTWAVE)}


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise ValueError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}") from None


def describe(config: ChannelConfig) -> str:
    """What makes a link lose and damage packets, in one line."""
    parts = []
    if config.loss_rate:
        parts.append(f"loss {config.loss_rate:g} in bursts of {config.mean_burst_s:g} s")
    if config.ber:
        parts.append(f"ber {config.ber:g}")
    if reception := config.reception:
        parts.append(f"{reception.modulation} at {reception.snr_db:g} dB")
        if fading := reception.fading:
            kind = "Rayleigh" if fading.k_db is None else f"Rician {fading.k_db:g} dB"
            parts.append(f"{kind} {fading.doppler_hz:g} Hz")
        if shadow := reception.shadowing:
            parts.append(f"{shadow.good_s:g} s clear, {shadow.bad_s:g} s shadow")
        if drift := reception.drift:
            parts.append(f"drift {min(drift.levels_db):g} to {max(drift.levels_db):g} dB")
    if config.outage:
        parts.append(f"outages of {config.outage.mean_s:g} s every {config.outage.every_s:g} s")
    if config.frame_bytes > 1:
        parts.append(f"frames of {config.frame_bytes} bytes")
    if config.turn_round_s is not None:
        parts.append("half duplex")
    return ", ".join(parts) or "-"


def preset_table() -> str:
    """All presets as lines of text with a header, for a terminal."""
    lines = [f"{'preset':<22}{'bps':>6}{'delay s':>9}{'jitter s':>10}  link; what it does"]
    for one in PRESETS.values():
        config = one.config
        rate = "-" if config.bit_rate_bps is None else f"{config.bit_rate_bps:g}"
        lines.append(f"{one.name:<22}{rate:>6}{config.delay_s:>9g}{config.jitter_s:>10g}  {one.summary}; {describe(config)}")
    return "\n".join(lines)
