"""The presets, and that PRESETS.md says exactly what the code does."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import channel.presets
from channel.presets import PRESETS, Preset, preset, preset_table
from channel.simulator import ChannelConfig

DOCUMENT = (Path(channel.presets.__file__).parent / "PRESETS.md").read_text(encoding="utf-8")
COLUMNS = ("bit_rate_bps", "delay_s", "jitter_s", "loss_rate", "mean_burst_s", "ber")
NARROW_BPS = 275  # the whole on-air rate of the narrowest profile


def in_words(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def rows(text: str) -> list[list[str]]:
    """Cells of the Markdown table rows that begin with a code word, without headers."""
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in re.findall(r"^\| `.*\|$", text, re.MULTILINE)]


def section(title: str) -> str:
    return re.split(r"^#+ ", DOCUMENT.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_named_links_exist() -> None:
    assert {"clean", "satellite-geo", "satellite-leo", "satellite-maritime", "acoustic", "hf"} <= set(PRESETS)
    assert preset("clean").config == ChannelConfig()


def test_the_document_lists_every_preset_with_its_numbers() -> None:
    expected = [[one.name, *(in_words(getattr(one.config, name)) for name in COLUMNS), one.summary] for one in PRESETS.values()]
    assert rows(section("The presets")) == expected


@pytest.mark.parametrize("one", [one for one in PRESETS.values() if one.sources], ids=lambda one: one.name)
def test_the_document_gives_the_source_of_every_number(one: Preset) -> None:
    expected = [[name, in_words(getattr(one.config, name)), source] for name, source in one.sources.items()]
    assert rows(section(one.name)) == expected


@pytest.mark.parametrize("one", PRESETS.values(), ids=PRESETS)
def test_every_number_has_a_source_or_is_called_illustrative(one: Preset) -> None:
    changed = {field.name for field in fields(ChannelConfig) if getattr(one.config, field.name) != field.default}
    assert set(one.sources) == changed
    assert all(one.sources.values())


@pytest.mark.parametrize("one", PRESETS.values(), ids=PRESETS)
def test_every_preset_carries_the_narrowest_profile(one: Preset) -> None:
    assert one.config.bit_rate_bps is None or one.config.bit_rate_bps >= NARROW_BPS


def test_an_unknown_preset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown preset 'moon'.*clean.*satellite-geo.*acoustic.*hf"):
        preset("moon")


def test_the_table_has_a_line_for_every_preset() -> None:
    lines = preset_table().splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(PRESETS)
    assert next(line for line in lines if line.startswith("acoustic")).split()[1:7] == ["400", "1", "0.02", "0.044", "2", "0.001"]
