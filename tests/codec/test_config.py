"""Configurations: wrong ones name the key, published ones describe one codec."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from codec.config import Config, ConfigError, ModelConfig, load_config
from tests.codec.tiny import CONFIGS


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.stepps=3", "unknown key 'stepps'"),
        ("trane.steps=3", r"unknown section \[trane\]"),
        ("train.steps=1.5", "must be a int"),
        ("model.encoder_widths=3", "must be a list"),
        ("train.task=vocoder", "strings need quotes"),
    ],
)
def test_wrong_configurations_name_the_key(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(CONFIGS / "vocoder.toml", [override])


def test_keys_of_former_versions_are_understood() -> None:
    """What was recorded beside weights must stay readable."""
    assert load_config(CONFIGS / "rl.toml", ['rl.vocoder="old.safetensors"']).train.vocoder == "old.safetensors"
    assert load_config(CONFIGS / "rl.toml", ['rl.vocoder="old"', 'train.vocoder="new"']).train.vocoder == "new"
    assert load_config(CONFIGS / "rl.toml", ['rl.vocoder=""']).train.vocoder == ""


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_published_configurations_load(path: Path) -> None:
    config = load_config(path)
    if path.stem.startswith("gpu-"):
        large = load_config(path.with_name("gpu-codec.toml"))
        assert config.train.task == "recognizer" or config.model == large.model
        assert config.recognizer == large.recognizer or config.train.task == "vocoder"
    else:
        shipped, model = ModelConfig(), config.model
        pairs = zip(shipped.encoder_blocks + shipped.decoder_blocks, model.encoder_blocks + model.decoder_blocks, strict=True)
        assert all(count <= larger for larger, count in pairs)
        blocks = {"encoder_blocks": shipped.encoder_blocks, "decoder_blocks": shipped.decoder_blocks}
        assert dataclasses.replace(model, **blocks) == shipped  # every part fits the shipped codec, or grows to it
    assert config.train.task in ("recognizer", "codec", "vocoder", "rl")


def test_defaults_describe_one_codec() -> None:
    config = Config()
    assert config.model.encoder_widths[::-1] == config.model.decoder_widths
    assert os.fspath(config.data.noise)
