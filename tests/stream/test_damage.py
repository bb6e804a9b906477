"""A small share of what `clari-bench files` does with a million: damaged files, no traceback, no hang, nothing that takes long."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import tx
from stream.audio import read_pipe
from stream.benches import files
from stream.benches.mutants import mutate, packet_seeds, sound_seeds
from stream.errors import ClariError
from stream.formats import HEAD_BYTES, name_of
from stream.wav_stream import WavStream, header

# Files that once raised, took long or never ended, by seed and number.
ONCE_WRONG = [(1, 3651), (2, 665)]


def test_some_hundred_damaged_files_of_every_format() -> None:
    counts = files.fuzz(300, seed=5, minutes=1e4)
    assert counts["files"] == 300


@pytest.mark.parametrize(("seed", "number"), ONCE_WRONG)
def test_files_that_once_were_wrong(seed: int, number: int) -> None:
    assert files.fuzz(1, seed, minutes=1e4, first=number)["files"] == 1


def test_a_worker_that_ends_in_our_own_code_is_an_error_and_in_the_library_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = iter([(7, files.THEIRS, "SIGPROF"), (9, files.DONE, "")])
    monkeypatch.setattr(files, "_work", lambda *args: next(ends))
    assert files.fuzz(9, 1, 1.0) == {"files": 9, "given up, SIGPROF in the library": 1}
    for how in ("SIGPROF", "ValueError: x"):
        monkeypatch.setattr(files, "_work", lambda *args, how=how: (7, files.OURS, how))
        with pytest.raises(ClariError, match=f"file 7 of seed 1: {how}"):
            files.fuzz(9, 1, 1.0)


def test_damage_is_the_same_each_time_and_touches_the_file() -> None:
    seeds = [*sound_seeds().values(), *(data for _, data in packet_seeds())]
    assert len(seeds) > 100
    for data in seeds[::9]:
        first, again, other = (mutate(np.random.default_rng(seed), data) for seed in (1, 1, 2))
        assert first == again != other and first != data


@given(st.binary(max_size=400))
def test_any_bytes_behind_the_words_of_a_wav(data: bytes) -> None:
    try:
        wav = WavStream(io.BytesIO(b"RIFF" + data[:4].ljust(4) + b"WAVE" + data[4:]), "it", "do this")
        while len(block := wav.read(100)):
            assert block.shape[1] == wav.channels and len(block) <= 100
    except ClariError as error:
        assert str(error).endswith("; do this")


@given(st.binary(max_size=200), st.integers(0, 43))
def test_any_header_with_any_bytes_in_it_on_a_pipe(data: bytes, place: int) -> None:
    whole = bytearray(header(2000) + bytes(2000))
    whole[place : place + len(data)] = data
    try:
        assert all(len(block) >= 0 for block in read_pipe(io.BytesIO(bytes(whole)), raw=False, warn=False))
    except ClariError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=HEAD_BYTES))
def test_any_beginning_has_one_name_or_none(data: bytes) -> None:
    named = name_of(data)
    assert named is None or (named[0] and isinstance(named[1], bool))


@settings(max_examples=10)
@given(st.sampled_from(sorted(sound_seeds().items())), st.integers(0, 1000))
def test_the_command_ends_with_packets_or_one_line(seed: tuple[str, bytes], number: int) -> None:
    folder = Path(files.scratch_folder() or ".")
    path, air = folder / "damaged.sound", folder / "damaged.air"
    path.write_bytes(mutate(np.random.default_rng(number), seed[1]))
    try:
        assert tx.main(["--in", str(path), "--out", str(air), "-f", "-q"]) in (0, 6)
    finally:
        path.unlink()
        air.unlink(missing_ok=True)
