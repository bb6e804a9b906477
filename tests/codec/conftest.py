"""Packed speech and a tiny codec that several modules train on."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec import stage1 as train
from codec import weights as weights_command
from codec.data.corpus import pack
from tests.codec.tiny import arguments


@pytest.fixture(scope="session")
def corpus(corpus_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "speech"
    pack([corpus_manifest], folder, workers=1)
    return folder


@pytest.fixture(scope="session")
def base(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights of a tiny codec, vocoder and recogniser."""
    folder = tmp_path_factory.mktemp("base")
    for task in ("recognizer", "codec", "vocoder"):
        assert train.main(arguments(task, corpus, folder / task, 2)) == 0
    sources = ["--codec", str(folder / "codec"), "--vocoder", str(folder / "vocoder")]
    assert weights_command.main([*sources, "--out", str(folder / "base.safetensors")]) == 0
    return folder
