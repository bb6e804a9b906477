"""Codec2 and Opus through their programs: bits, lengths, and where the decoded speech lies."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from codec.evaluate.baselines import CODEC2_MODES, Codec2System, OpusSystem, UnavailableError, padded, realigned
from codec.evaluate.distances import intelligibility
from codec.evaluate.systems import System, build_systems
from stream.errors import ClariError

CLIP = Path(__file__).parents[3] / "stream" / "clips" / "pirates.flac"
NAMES = ("codec2-700c", "codec2-1300", "codec2-3200", "opus-6k")
BITS_PER_S = {"codec2-700c": 700, "codec2-1300": 1300, "codec2-3200": 3200, "opus-6k": 6000}


@pytest.fixture(params=NAMES)
def baseline(request: pytest.FixtureRequest) -> System:
    systems, skipped = build_systems((request.param,), [])
    if skipped:
        pytest.skip(skipped[request.param])
    return systems[1]


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.3, 0.3, samples).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 8_000, 16_123])
def test_length(baseline: System, samples: int) -> None:
    decoded = baseline.process(noise(samples), "words")
    assert decoded.shape == (samples,) and decoded.dtype == np.float32
    assert baseline.bits_per_s == BITS_PER_S[baseline.name]


def test_the_bits_that_are_sent_are_those_of_the_name(baseline: System) -> None:
    """Codec2's programs fill each frame up to whole bytes; a link would not send the filling, so it is not counted."""
    if isinstance(baseline, Codec2System):
        coded = baseline.encode(noise(16_000))
        mode = baseline.mode
        frames = len(coded) // -(-mode.bits_per_frame // 8)
        assert frames * mode.frame_samples == 16_000
        sent_bits, sent_s = frames * mode.bits_per_frame, 2.0
    else:
        assert isinstance(baseline, OpusSystem)
        packets, header = baseline.encode(noise(19_200))
        assert header.startswith(b"OpusHead") and {len(packet) for packet in packets} == {45}
        sent_bits, sent_s = 8 * sum(map(len, packets)), 0.06 * len(packets)
        assert sent_s == pytest.approx(1.2, abs=0.07)  # the last packet brings out what was looked ahead
    assert sent_bits / sent_s == pytest.approx(BITS_PER_S[baseline.name])


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


def test_decoded_speech_lies_on_the_original(baseline: System) -> None:
    """The delays in the table of modes: STOI is highest within 5 ms of where the decoded speech was put."""
    original = soundfile.read(CLIP, dtype="float32")[0][16_000:64_000]
    decoded = baseline.process(np.pad(original, 800), "")
    shifts_ms = (-15, -10, -5, 0, 5, 10, 15)
    stoi = [intelligibility(original, decoded[800 + 16 * ms : 800 + 16 * ms + len(original)]) for ms in shifts_ms]
    assert abs(shifts_ms[int(np.argmax(stoi))]) <= 5
    assert stoi[3] > max(stoi) - 0.01


def test_missing_programs_are_left_out_with_their_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    monkeypatch.setitem(sys.modules, "av", None)
    systems, skipped = build_systems(NAMES, [])
    assert [system.name for system in systems] == ["original"]
    assert all("Debian package codec2" in skipped[name] for name in NAMES[:3])
    assert "package av not found; install: pip install 'clari[eval]'" in skipped["opus-6k"]


def test_an_av_without_opus_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", SimpleNamespace(codecs_available={"flac"}))
    with pytest.raises(UnavailableError, match="no libopus"):
        OpusSystem()


def test_a_failing_program_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: program)
    failed = SimpleNamespace(returncode=1, stdout=b"", stderr=b"first\nno such mode\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(ClariError, match="c2enc failed: no such mode; reinstall the Debian package codec2"):
        Codec2System(CODEC2_MODES[0]).process(np.zeros(100, np.float32), "")
