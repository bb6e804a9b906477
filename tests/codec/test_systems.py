"""Delays, lengths and bits of the project's own systems."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from codec.config import Config, ModelConfig
from codec.metrics import log_mel
from codec.model import Codec
from codec.systems import ClariSystem, UnavailableError, UnroundedSystem, VocoderSystem, padded, realigned
from codec.vocoder import Vocoder
from codec.weights import save_weights
from stream.errors import FileError, ModelError
from tests.codec.test_layers import SMALL

SHIFT_SAMPLES = 1600


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, samples).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 1279, 1280, 1281, 5000])
@pytest.mark.parametrize("delay_samples", [0, 320, 1600])
def test_padding_and_realignment_undo_a_delay(samples: int, delay_samples: int) -> None:
    original = noise(samples)
    heard = padded(original, delay_samples, 1280)
    assert len(heard) % 1280 == 0
    assert len(heard) < samples + delay_samples + 1280
    delayed = np.concatenate([np.zeros(delay_samples, np.float32), heard])[: len(heard)]
    np.testing.assert_array_equal(realigned(delayed, delay_samples, samples), original)


def test_realignment_refuses_a_cut_off_end() -> None:
    with pytest.raises(ValueError, match="pad the input"):
        realigned(np.zeros(100), 10, 91)


def test_clari_runs_fresh_streams_and_removes_their_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake engine whose codes carry nothing: its decoder plays what its encoder heard, SHIFT_SAMPLES late."""

    class Line:
        def __init__(self) -> None:
            self.held = np.zeros(SHIFT_SAMPLES, np.float32)

        def encode(self, pcm: np.ndarray) -> np.ndarray:
            assert pcm.shape == (8 * 1280,) and pcm.dtype == np.float32
            current.append(np.array(pcm))
            return np.full((8, 8), len(current) % 4, np.uint8)

        def decode_many(self, codes: np.ndarray) -> np.ndarray:
            assert codes.shape == (8 * len(current), 8)
            heard = np.concatenate([self.held, *current])[: len(codes) * 1280]
            current.clear()
            return heard

    current: list[np.ndarray] = []
    engine = ModuleType("stream.engine")
    loaded = SimpleNamespace(stream=Line, meta=SimpleNamespace(shift_samples=SHIFT_SAMPLES))
    engine.load_encoder = engine.load_decoder = lambda name: loaded  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stream.engine", engine)
    system = ClariSystem("base")
    for original in (noise(20_000, 1), noise(7_000, 2)):
        decoded = system.decode(original)
        np.testing.assert_array_equal(decoded.samples, original)
        assert decoded.bits == pytest.approx(200 * decoded.coded_s)
        assert decoded.codes is not None and decoded.codes.shape == (decoded.bits // 16, 8)


def test_vocoder_loads_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "vocoder.safetensors"
    save_weights(weights, Vocoder(ModelConfig()).state_dict(), Config(), "a test")
    decoded = VocoderSystem(weights).decode(noise(3000))
    assert decoded.samples.shape == (3000,)
    assert decoded.bits is None
    save_weights(weights, {"other": torch.zeros(1)}, Config(), "a test")
    with pytest.raises(ModelError, match="another configuration"):
        VocoderSystem(weights)
    weights.write_bytes(b"text")
    with pytest.raises(ModelError, match="no clari weights"):
        VocoderSystem(weights)
    with pytest.raises(FileError, match="no such file"):
        VocoderSystem(tmp_path / "missing")


def test_numbers_that_are_not_rounded_are_no_bits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = Config(model=dataclasses.replace(SMALL, mels=80))
    codec = Codec(small.model).eval()
    weights, voice = tmp_path / "codec.safetensors", tmp_path / "voice.safetensors"
    save_weights(weights, codec.state_dict(), small, "a test")
    heard = noise(9000)
    system = UnroundedSystem(weights)
    decoded = system.decode(heard)
    assert decoded.bits is None and decoded.codes is None and decoded.samples.shape == heard.shape
    with torch.no_grad():
        mel = log_mel(padded(heard, system.delay_samples, 1280))
        both = [codec.mel_codec(mel, torch.zeros(1, 9))[0], codec.mel_codec.without_rounding(mel, torch.zeros(1, 9))]
        rounded, unrounded = (
            codec.vocoder(each, codec.vocoder.initial_state(1))[0][0, system.delay_samples :][:9000] for each in both
        )
    assert np.abs(decoded.samples - unrounded.numpy()).max() < np.abs(decoded.samples - rounded.numpy()).max() / 10
    save_weights(voice, Vocoder(small.model).state_dict(), small, "a test")
    with pytest.raises(UnavailableError, match=r"another configuration.*; a weights file of a whole codec has it"):
        UnroundedSystem(voice)
