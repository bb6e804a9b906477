"""Rows of the tables that are ours: packets, losses, delays, names."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from codec.evaluate import systems
from codec.evaluate.systems import (
    LOST,
    ClariSystem,
    Unchanged,
    build_systems,
    clari_rows,
    is_clari,
    lost_packets,
    weights_sha256,
)
from stream.engine import MODELS
from stream.errors import ModelError, UsageError

SHIFT_SAMPLES = 1600


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, samples).astype(np.float32)


class Line:
    """Encoder and decoder of one stream at once: what goes in comes out SHIFT_SAMPLES later, and silence for what is lost.

    The codes carry nothing but the number of their frame.
    """

    heard: list[np.ndarray]  # frames of the stream that was begun last

    def __init__(self) -> None:
        Line.heard = []
        self.held = np.zeros(SHIFT_SAMPLES, np.float32)
        self.played = 0

    def encode(self, pcm: np.ndarray) -> np.ndarray:
        assert len(pcm) % 1280 == 0 and pcm.dtype == np.float32
        first = len(Line.heard) + 1
        Line.heard += list(pcm.reshape(-1, 1280).copy())
        return np.repeat(np.arange(first, len(Line.heard) + 1)[:, None] % 4, 8, axis=1).astype(np.uint8)

    def decode(self, codes: np.ndarray | None) -> np.ndarray:
        frame = Line.heard[self.played]
        self.played += 1
        assert codes is None or np.all(codes == self.played % 4)
        self.held = np.concatenate([self.held, np.zeros(1280, np.float32) if codes is None else frame])
        played, self.held = self.held[:1280], self.held[1280:]
        return played


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = SimpleNamespace(stream=Line, meta=SimpleNamespace(shift_samples=SHIFT_SAMPLES))
    monkeypatch.setattr(systems, "load_encoder", lambda name: loaded)
    monkeypatch.setattr(systems, "load_decoder", lambda name: loaded)
    monkeypatch.setattr(systems, "weights_sha256", lambda name: "0")


@pytest.mark.parametrize(("profile", "frames"), [("fast", 4), ("standard", 8), ("narrow", 12)])
def test_clari_runs_fresh_streams_in_whole_packets_and_removes_their_delay(line: None, profile: str, frames: int) -> None:
    system = ClariSystem("base", profile=profile)
    for original in (noise(20_000, 1), noise(7_000, 2)):
        np.testing.assert_array_equal(system.process(original, "words"), original)
    assert system.bits_per_s == 200 and len(system.sent) == 2
    for codes, samples in zip(system.sent, (20_000, 7_000), strict=True):
        assert codes.shape[1] == 8 and len(codes) % frames == 0
        assert 0 <= 1280 * len(codes) - samples - SHIFT_SAMPLES < 1280 * frames


def test_every_tenth_packet_is_lost_two_in_a_row() -> None:
    assert lost_packets(45, 0).nonzero()[0].tolist() == [0, 1, 20, 21, 40, 41]
    assert np.mean([lost_packets(7, phase) for phase in range(20)]) == pytest.approx(0.1)


def test_lost_packets_are_concealed_and_always_the_same(line: None) -> None:
    whole = ClariSystem("base", name="clari-x")
    damaged = whole.with_losses()
    assert (damaged.name, whole.lossy) == (f"clari-x-{LOST}", False)
    shares, packet = [], 8 * 1280
    for seed in range(40):
        original = noise(20 * packet, seed)
        heard = damaged.process(original, "")
        kept = (heard == original).reshape(20, packet).mean(axis=1)
        lost = (heard == 0).reshape(20, packet).mean(axis=1)
        assert np.all((kept > 0.999) | (lost == 1))  # whole packets
        shares.append(lost.mean())
        np.testing.assert_array_equal(heard, damaged.process(original, ""))
    assert shares == pytest.approx([0.1] * 40)
    assert not whole.sent and len(damaged.sent) == 80


def test_the_shipped_model_speaks_and_its_weights_are_named() -> None:
    built, skipped = build_systems(("clari",), ["base"])
    original, clari = built
    assert isinstance(clari, ClariSystem) and not skipped and isinstance(original, Unchanged)
    heard = clari.process(noise(9_000), "")
    assert heard.shape == (9_000,) and heard.dtype == np.float32 and np.any(heard)
    graphs = b"".join((MODELS / "base" / f"{role}.onnx").read_bytes() for role in ("encoder", "decoder"))
    assert clari.sha256 == weights_sha256("base") == hashlib.sha256(graphs).hexdigest()
    with pytest.raises(ModelError, match="no model 'nowhere'"):
        build_systems(("clari",), ["nowhere"])


def test_rows_of_several_models() -> None:
    assert clari_rows(["runs/mine"]) == {"clari": "runs/mine"}
    assert clari_rows(["base", "runs/rl/"]) == {"clari-base": "base", "clari-rl": "runs/rl/"}
    assert all(map(is_clari, ("clari", "clari-rl"))) and not is_clari("codec2-700c")
    with pytest.raises(UsageError, match="both be clari-rl; rename"):
        clari_rows(["a/rl", "b/rl"])


def test_an_unchanged_row_is_what_was_recorded() -> None:
    samples = noise(100)
    assert Unchanged("noisy").process(samples, "") is samples and Unchanged("noisy").bits_per_s == 16 * 16_000


def test_names_of_models_are_their_folders(line: None, tmp_path: Path) -> None:
    assert [each.name for each in build_systems(("clari",), ["base", str(tmp_path / "mine")])[0]] == [
        "original",
        "clari-base",
        "clari-mine",
    ]
