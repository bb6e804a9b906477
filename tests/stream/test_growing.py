"""WAV and FLAC files that grow: readable after every write, and never promising what is not there."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream import growing
from stream.audio import read_file
from stream.benches.files import InThisProcess
from stream.growing import GrowingWav
from stream.sinks import FileSink
from stream.wav_stream import header
from tests.conftest import SAMPLE_RATE_HZ, speech_like

BEHIND = {"wav": 0, "flac": 4096 + 1280}  # samples of the first second that may be missing: FLAC packs 4096 together


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("block", [1, 777, 1280, 20_000])
def test_what_was_written_is_readable_after_every_write(tmp_path: Path, suffix: str, block: int) -> None:
    path, pcm = tmp_path / f"heard.{suffix}", speech_like(5.0 if block > 1 else 0.6)
    sink = FileSink(str(path))
    assert not path.exists()
    for start in range(0, len(pcm), block):
        sink.write(pcm[start : start + block])
        if start % (1 if block > 1 else 500):
            continue
        written = min(len(pcm), start + block)
        if path.exists():
            kept, rate_hz = soundfile.read(path, dtype="float32")
            assert rate_hz == SAMPLE_RATE_HZ and np.allclose(kept, pcm[: len(kept)], atol=1e-4)
            assert len(kept) >= written - BEHIND[suffix] - (SAMPLE_RATE_HZ + block if written > SAMPLE_RATE_HZ else 0)
            assert len(np.concatenate(list(read_file(str(path), library=InThisProcess)))) >= len(kept)
        else:
            assert suffix == "flac" and written <= BEHIND[suffix] + block
    sink.close()
    assert np.allclose(soundfile.read(path, dtype="float32")[0], pcm, atol=1e-4)
    sink.close()  # once more changes nothing


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_is_readable_whenever_somebody_looks(tmp_path: Path, suffix: str) -> None:
    path, ended, seen = tmp_path / f"heard.{suffix}", threading.Event(), []

    def look() -> None:
        while not ended.is_set():
            if path.exists():
                seen.append(len(soundfile.read(path)[0]))

    looking = threading.Thread(target=look)
    looking.start()
    sink = FileSink(str(path))
    pcm = speech_like(0.08)
    while len(seen) < 20 and looking.is_alive():  # it ends early where a look failed
        sink.write(pcm)
        time.sleep(0)
    sink.close()
    ended.set()
    looking.join()
    assert len(seen) >= 20 and seen == sorted(seen)


def test_what_is_overwritten_is_whole_as_well(tmp_path: Path) -> None:
    path = tmp_path / "heard.flac"
    soundfile.write(path, speech_like(30.0), SAMPLE_RATE_HZ)
    sink = FileSink(str(path))
    for _ in range(10):
        sink.write(speech_like(0.08))
    assert len(soundfile.read(path)[0]) <= 12_800
    sink.close()
    assert len(soundfile.read(path)[0]) == 12_800


def test_a_wav_into_a_pipe_with_a_name_has_no_length(tmp_path: Path) -> None:
    path, got = tmp_path / "pipe.wav", []
    os.mkfifo(path)
    reading = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reading.start()
    sink = FileSink(str(path))
    sink.write(speech_like(0.5))
    sink.write(speech_like(2.0))
    sink.close()
    reading.join()
    assert got[0][:44] == header(growing.LARGEST_DATA_BYTES) and len(got[0]) == 44 + 2 * round(2.5 * SAMPLE_RATE_HZ)


def test_more_than_a_header_can_tell_lasts_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "day.wav"
    wav = GrowingWav(path)
    wav.write(bytes(3200))
    wav.written_samples += 1 << 31  # a day and a half later
    wav.write(bytes(3200))
    wav.close()
    assert path.read_bytes()[:44] == header(growing.LARGEST_DATA_BYTES)
    assert len(np.concatenate(list(read_file(str(path))))) == 3200


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_nothing_written_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    FileSink(str(tmp_path / f"heard.{suffix}")).close()
    assert not list(tmp_path.iterdir())
