"""Codec2 and Opus through their programs: bits, lengths, and where the decoded speech lies."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.baselines import CODEC2_MODES, Codec2System, OpusSystem, ogg_packets
from codec.lineup import build_systems, clari_rows, is_clari
from codec.metrics import intelligibility
from codec.systems import System, UnavailableError
from stream.errors import ClariError, UsageError

CLIP = Path(__file__).parents[2] / "stream" / "clips" / "pirates.flac"
NAMES = ("codec2-700c", "codec2-1300", "codec2-3200", "opus-6k")
BITS_PER_S = {"codec2-700c": 700, "codec2-1300": 1300, "codec2-3200": 3200, "opus-6k": 6000}


@pytest.fixture(params=NAMES)
def baseline(request: pytest.FixtureRequest) -> System:
    systems, skipped = build_systems((request.param,), ["base"], Path("nowhere"))
    if skipped:
        pytest.skip(skipped[request.param])
    return systems[1]


def page(lacing: bytes) -> bytes:
    return b"OggS" + bytes(22) + bytes([len(lacing)]) + lacing + bytes(sum(lacing))


@pytest.mark.parametrize("samples", [1, 8_000, 16_123])
def test_bits_and_length(baseline: System, samples: int) -> None:
    decoded = baseline.decode(np.random.default_rng(0).uniform(-0.3, 0.3, samples).astype(np.float32))
    assert decoded.samples.shape == (samples,) and decoded.samples.dtype == np.float32
    assert decoded.bits == pytest.approx(BITS_PER_S[baseline.name] * decoded.coded_s)
    assert decoded.coded_s < samples / 16_000 + 0.3
    assert decoded.codes is None


def test_decoded_speech_lies_on_the_original(baseline: System) -> None:
    """The delays in the table of modes: STOI is highest within 5 ms of where the decoded speech was put."""
    original = soundfile.read(CLIP, dtype="float32")[0][16_000:64_000]
    decoded = baseline.decode(np.pad(original, 800)).samples
    shifts_ms = (-15, -10, -5, 0, 5, 10, 15)
    stoi = [intelligibility(original, decoded[800 + 16 * ms : 800 + 16 * ms + len(original)]) for ms in shifts_ms]
    assert abs(shifts_ms[int(np.argmax(stoi))]) <= 5
    assert stoi[3] > max(stoi) - 0.01


def test_missing_programs_are_left_out_with_their_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    systems, skipped = build_systems(("vocoder", "unrounded", *NAMES), ["base"], Path("nowhere"))
    assert [system.name for system in systems] == ["original"]
    assert "--vocoder" in skipped["vocoder"] and "--vocoder" in skipped["unrounded"]
    assert all("Debian package codec2" in skipped[name] for name in NAMES[:3])
    assert "Debian package ffmpeg" in skipped["opus-6k"]


def test_an_ffmpeg_without_opus_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: program)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: SimpleNamespace(stdout=b" A..X.. opus  Opus\n"))
    with pytest.raises(UnavailableError, match="no libopus"):
        OpusSystem()


def test_a_failing_program_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: program)
    failed = SimpleNamespace(returncode=1, stdout=b"", stderr=b"first\nno such mode\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(ClariError, match="c2enc failed: no such mode; reinstall the Debian package codec2"):
        Codec2System(CODEC2_MODES[0]).decode(np.zeros(100, np.float32))


def test_packets_span_segments_and_pages() -> None:
    assert ogg_packets(page(bytes([19])) + page(bytes([255, 255])) + page(bytes([10, 45, 0]))) == [19, 520, 45, 0]


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, 90))
def test_damaged_pages_are_refused(tail: bytes, cut: int) -> None:
    whole = page(bytes([20, 30]))
    with pytest.raises(ValueError, match="damaged Ogg page"):
        ogg_packets(whole + b"X" + tail)
    if 0 < cut < len(whole):
        with pytest.raises(ValueError, match="damaged Ogg page"):
            ogg_packets(whole[:cut])


def test_rows_of_several_models() -> None:
    assert clari_rows(["runs/mine"]) == {"clari": "runs/mine"}
    assert clari_rows(["base", "runs/rl/"]) == {"clari-base": "base", "clari-rl": "runs/rl/"}
    assert all(map(is_clari, ("clari", "clari-rl"))) and not is_clari("codec2-700c")
    with pytest.raises(UsageError, match="both be clari-rl; rename"):
        clari_rows(["a/rl", "b/rl"])


def test_noise_adds_the_row_that_everyone_heard() -> None:
    systems, _ = build_systems((), ["base"], Path("nowhere"), noisy=True)
    assert [system.name for system in systems] == ["original", "noisy"]
