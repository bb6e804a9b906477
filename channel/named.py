"""What a named link is: a configuration, and for each of its values the place it is from."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from channel.simulator import ChannelConfig

ILLUSTRATIVE = "illustrative"
LIGHT_M_S = 299_792_458.0
SOUND_M_S = 1500.0  # in the sea, about: 0.67 s/km


@dataclass(frozen=True)
class Preset:
    """A named link; `sources` says for every value that differs from a perfect link's where it is from, keyed as `values` is."""

    name: str
    summary: str
    config: ChannelConfig
    sources: dict[str, str]


def reception_sources(fading: dict[str, str], **others: dict[str, str]) -> dict[str, str]:
    """Sources of a modem's ear: what no document gives is illustrative, of `fading` what is not named there too.

    `others` are the parts that this ear has besides, like `shadowing`, with the source of each of their values.
    """
    ear = {f"reception.{name}": ILLUSTRATIVE for name in ("modulation", "snr_db", "detection_db")}
    fades = dict.fromkeys(("doppler_hz", "k_db", "spectrum", "paths"), ILLUSTRATIVE) | fading
    parts = {"fading": fades, **others}
    return ear | {f"reception.{part}.{name}": source for part, sources in parts.items() for name, source in sources.items()}


def values(config: ChannelConfig) -> dict[str, object]:
    """Every value that differs from a perfect link's, by name: `delay_s`, `reception.fading.k_db`, ..."""
    return {name: value for name, value in _flat(config, "") if (name, value) not in _PERFECT}


def acoustic_delay_s(range_m: float) -> float:
    """How long sound travels through that many metres of sea."""
    return range_m / SOUND_M_S


def doppler_hz(speed_m_s: float, carrier_hz: float, waves_m_s: float = LIGHT_M_S) -> float:
    """The largest shift of a carrier by that speed, rounded to three digits."""
    return float(f"{speed_m_s * carrier_hz / waves_m_s:.3g}")


def _flat(node: Any, prefix: str) -> list[tuple[str, object]]:
    flat: list[tuple[str, object]] = []
    for field in fields(node):
        value = getattr(node, field.name)
        name = f"{prefix}{field.name}"
        if is_dataclass(value):
            flat += _flat(value, f"{name}.")
        elif value is not None or "Config" not in str(field.type):  # a part that is not there has no value
            flat.append((name, value))
    return flat


_PERFECT = _flat(ChannelConfig(), "")
