"""Speech-like signals and corpora that the tests make themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings

from stream.demo import free_ports
from stream.engine import Decoder, Encoder, load_decoder, load_encoder

SAMPLE_RATE_HZ = 16_000

settings.register_profile("clari", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("clari")


def speech_like(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """A gliding voice in syllables, with noise between them: float32 [N]."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    phase = 2 * np.pi * np.cumsum(rng.uniform(90, 220) + 30 * np.sin(2 * np.pi * 0.5 * time_s)) / SAMPLE_RATE_HZ
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 4 * time_s + seed), 0, None)
    return (level * (0.5 * syllables * voice + 0.1 * rng.standard_normal(len(time_s)) * (1 - syllables))).astype(np.float32)


def free_endpoint() -> str:
    """An endpoint on this machine that nobody holds."""
    return f"tcp://127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever runs the tests may have a configuration of their own; neither it nor CLARI_* reaches a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CLARI_")]:
            patch.delenv(name)
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture
def speech() -> np.ndarray:
    return speech_like(3.0)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    soundfile.write(path, speech_like(3.0), SAMPLE_RATE_HZ)
    return path


@pytest.fixture(scope="session")
def corpus_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of twelve short recordings: eight speakers trained on, one of them set aside, one held out."""
    folder = tmp_path_factory.mktemp("manifest")
    lines = ["path\tseconds\tspeaker\tsplit\ttranscript\tlicence\tcorpus"]
    for number in range(12):
        name = f"{number}.flac"
        soundfile.write(folder / name, speech_like(2.0 + 0.25 * number, seed=number), SAMPLE_RATE_HZ)
        # crc32("s:11") % 40 == 0: that speaker is set aside for validation
        speaker, split = ("s:heldout", "heldout") if number == 11 else (("s:11" if number >= 9 else f"s:{number}"), "train")
        lines.append(
            f"{name}\t{2.0 + 0.25 * number}\t{speaker}\t{split}\tHELLO WORLD NUMBER {['ONE', 'TWO'][number % 2]}\tCC0\ttest"
        )
    path = folder / "speech.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The shipped encoder."""
    return load_encoder()


@pytest.fixture(scope="session")
def decoder() -> Decoder:
    """The shipped decoder."""
    return load_decoder()
