"""The presets, and that PRESETS.md says exactly what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import channel.presets
from channel.named import acoustic_delay_s, doppler_hz, values
from channel.presets import PRESETS, Preset, describe, preset, preset_table
from channel.satellite import CAR_M_S, CLEAR_PERCENT, clear_m, land_mobile
from channel.simulator import ChannelConfig

DOCUMENT = (Path(channel.presets.__file__).parent / "PRESETS.md").read_text(encoding="utf-8")
NARROW = (32, 0.96)  # bytes and seconds of the slowest profile's packets, 266.7 bps
TOO_SLOW = {"acoustic-100", "acoustic-200"}


def in_words(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(in_words(one) for one in value)
    return f"{value:g}" if isinstance(value, int | float) else "-" if value is None else str(value)


def rows(text: str) -> list[list[str]]:
    """Cells of the Markdown table rows that begin with a code word, without headers."""
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in re.findall(r"^\| `.*\|$", text, re.MULTILINE)]


def section(title: str) -> str:
    return re.split(r"^#+ ", DOCUMENT.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_named_links_exist() -> None:
    assert {"clean", "satellite-geo", "satellite-leo", "satellite-maritime", "acoustic", "hf"} <= set(PRESETS)
    assert preset("clean").config == ChannelConfig()


def test_the_document_lists_every_preset() -> None:
    expected = [
        [one.name, in_words(one.config.bit_rate_bps), in_words(one.config.delay_s), one.summary, describe(one.config)]
        for one in PRESETS.values()
    ]
    assert rows(section("The presets")) == expected


@pytest.mark.parametrize("one", [one for one in PRESETS.values() if one.sources], ids=lambda one: one.name)
def test_the_document_gives_the_source_of_every_number(one: Preset) -> None:
    numbers = values(one.config)
    assert rows(section(one.name)) == [[name, in_words(numbers[name]), source] for name, source in one.sources.items()]


@pytest.mark.parametrize("one", PRESETS.values(), ids=PRESETS)
def test_every_number_has_a_source_or_is_called_illustrative(one: Preset) -> None:
    assert set(one.sources) == set(values(one.config))
    assert all(one.sources.values())


@pytest.mark.parametrize("one", PRESETS.values(), ids=PRESETS)
def test_every_preset_carries_the_slowest_profile_or_says_that_it_does_not(one: Preset) -> None:
    packet_bytes, packet_s = NARROW
    assert (one.config.air_s(packet_bytes) > packet_s) == (one.name in TOO_SLOW) == ("too slow" in one.summary)


def test_the_document_has_a_measured_line_for_every_preset() -> None:
    assert [cells[0] for cells in rows(section("What they do, measured"))] == list(PRESETS)


def test_a_higher_satellite_is_seen_from_more_places() -> None:
    for environment, percents in CLEAR_PERCENT.items():
        for elevation_deg, percent in zip(range(10, 100, 10), percents, strict=True):
            shadowing = land_mobile(environment, clear_m(environment, elevation_deg), CAR_M_S).shadowing
            assert shadowing is not None
            assert 1 - shadowing.bad_share == pytest.approx(percent / 100, abs=1e-3)


def test_a_car_twice_as_fast_spends_half_the_time_in_a_shadow_of_twice_the_doppler() -> None:
    slow, fast = (land_mobile("urban", 16.0, speed_m_s) for speed_m_s in (10.0, 20.0))
    assert slow.shadowing and fast.shadowing and slow.fading and fast.fading
    assert fast.shadowing.bad_s == slow.shadowing.bad_s / 2 == 1.2
    assert fast.fading.doppler_hz == pytest.approx(2 * slow.fading.doppler_hz, rel=0.01)


def test_waves_travel_at_their_speeds() -> None:
    assert acoustic_delay_s(1500.0) == 1.0
    assert doppler_hz(CAR_M_S, 1.54e9) == 71.3
    assert doppler_hz(0.5, 10e3, waves_m_s=1500.0) == 3.33


def test_unknown_ground_is_answered_with_the_known() -> None:
    with pytest.raises(ValueError, match="environment is 'moon'; give one of urban, suburban, rural"):
        land_mobile("moon", 1.0, 1.0)
    with pytest.raises(ValueError, match=r"no table for 'urban' at 45 degrees; give one of urban.*10 to 90"):
        clear_m("urban", 45)


def test_an_unknown_preset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown preset 'moon'.*clean.*satellite-geo.*acoustic.*hf"):
        preset("moon")


def test_the_table_has_a_line_for_every_preset() -> None:
    lines = preset_table().splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(PRESETS)
    acoustic = next(line for line in lines if line.startswith("acoustic "))
    assert acoustic.split()[1:4] == ["400", "1", "0.02"]
    assert acoustic.endswith("loss 0.044 in bursts of 2 s, ber 0.001")
