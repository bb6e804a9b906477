"""Sound files of every format that the library reads, every container that it does not, and how a damaged one ends."""

from __future__ import annotations

import io
import signal
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream import foreign, tx
from stream.audio import read_file, read_pipe
from stream.benches.files import InThisProcess
from stream.errors import FileError
from stream.foreign import ForeignFile
from stream.formats import name_of
from stream.wav_stream import WavStream, header
from tests.conftest import SAMPLE_RATE_HZ, speech_like
from tests.stream.test_bad_input import wav_bytes

NARROW = ("GSM610", "G721_32", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32", "G723_24", "G723_40")
FORMATS = sorted(set(soundfile.available_formats()) - {"RAW"})  # raw samples are no format
NOT_WRITTEN = {("AIFF", "DWVW_12"), ("MP3", "MPEG_LAYER_I"), ("MP3", "MPEG_LAYER_II"), ("WAV", "MPEG_LAYER_III")}
HEADERLESS_NAMES = ("HTK", "SD2")  # known by their size or a second file: a pipe cannot tell them from samples


def whole(blocks) -> np.ndarray:
    return np.concatenate(list(blocks))


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_that_the_library_reads_is_played_whole(tmp_path: Path, form: str) -> None:
    sound = speech_like(1.0)
    subtypes = [each for each in soundfile.available_subtypes(form) if (form, each) not in NOT_WRITTEN]
    for subtype in subtypes:
        rate_hz = 8000 if subtype in NARROW or form == "WVE" else SAMPLE_RATE_HZ
        path = tmp_path / f"{form}-{subtype}.bin"  # no suffix tells the format
        soundfile.write(path, sound, rate_hz, subtype, format=form)
        # One of each is read as users have it, by another process.
        heard = whole(read_file(str(path), library=ForeignFile if subtype == subtypes[0] else InThisProcess))
        stored_hz = 44_100 if form == "XI" else rate_hz  # an instrument has a pitch, and no rate
        assert len(heard) == pytest.approx(SAMPLE_RATE_HZ**2 / stored_hz, rel=0.09), subtype
        assert 0.01 < np.abs(heard).max() < 1.0, subtype
        if subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE") and stored_hz == SAMPLE_RATE_HZ:
            whole_blocks = len(sound) - (60 if form == "SDS" else 0)  # libsndfile loses the end of its last block in writing
            assert np.allclose(heard[:whole_blocks], sound[:whole_blocks], atol=1e-3), subtype
        # On stdin the same bytes give the same samples, or their name.
        try:
            piped = whole(read_pipe(io.BytesIO(path.read_bytes()), raw=False))
        except FileError as error:
            named = name_of(path.read_bytes()[:64])
            assert named == ("WAV", True) or named is None or f"stdin is {named[0]}" in str(error)
            assert named is not None or (form in HEADERLESS_NAMES and "--raw" in str(error))
        else:
            assert form in ("WAV", "WAVEX") and np.array_equal(piped, heard)


def test_reading_in_this_process_leaves_no_timer_that_would_end_it(tmp_path: Path) -> None:
    path = tmp_path / "voice.aiff"
    soundfile.write(path, speech_like(0.5), SAMPLE_RATE_HZ)
    assert len(InThisProcess(str(path), "cure")._data) > 4000
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


FOREIGN = {
    "m4a": (struct.pack(">I", 28) + b"ftypM4A " + bytes(60), "MPEG-4"),
    "mov": (struct.pack(">I", 1000) + b"moov" + bytes(60), "MPEG-4"),
    "webm": (b"\x1a\x45\xdf\xa3" + bytes(60), "WebM"),
    "amr": (b"#!AMR\n" + bytes(60), "AMR"),
    "wma": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(60), "WMA"),
    "aac": (b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(60), "AAC"),
    "avi": (b"RIFF" + bytes(4) + b"AVI " + bytes(60), "AVI"),
    "ape": (b"MAC \x96\x0f" + bytes(60), "Monkey"),
    "wv": (b"wvpk" + bytes(60), "WavPack"),
    "html": (b"<!DOCTYPE html>\n<html><body>not found</body></html>", "HTML"),
    "html-mark": (b"\xef\xbb\xbf  <HTML><head>\n" + bytes(60), "HTML"),
    "json": (b'{"error": "no such recording", "code": 404}', "text"),
    "text": (b"Dear all,\r\nhere is the recording of today.\r\n", "text"),
    "zip": (b"PK\x03\x04" + bytes(60), "ZIP"),
    "gzip": (b"\x1f\x8b\x08" + bytes(60), "gzip"),
    "pdf": (b"%PDF-1.7" + bytes(60), "PDF"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_sound_that_can_be_read_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    data, name = FOREIGN[kind]
    with pytest.raises(FileError, match=name):
        list(read_pipe(io.BytesIO(data), raw=False))
    path = tmp_path / f"recording.{kind}"
    path.write_bytes(data)
    assert tx.main(["--in", str(path), "--out", str(tmp_path / "air")]) == 6
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and name in lines[0] and "ffmpeg" in lines[0] and not (tmp_path / "air").exists()


@pytest.mark.parametrize("head", [b".snd", b"caff", b"riff\x2e\x91\xcf\x11", b"fLaC", b"OggS", b"ID3\x04", b"\xff\xfb\x90\x00"])
def test_formats_for_files_are_named_on_a_pipe(head: bytes) -> None:
    with pytest.raises(FileError, match=r"cannot be read from a pipe; give it with --in FILE"):
        list(read_pipe(io.BytesIO(head + bytes(100)), raw=False))


def test_samples_without_a_header_need_to_be_called_so(tmp_path: Path) -> None:
    samples = (speech_like(1.0) * 32767).astype("<i2").tobytes()
    with pytest.raises(FileError, match="add --raw"):
        list(read_pipe(io.BytesIO(samples), raw=False))
    assert len(whole(read_pipe(io.BytesIO(samples), raw=True))) == SAMPLE_RATE_HZ
    for name in ("voice.raw", "voice.pcm"):
        (tmp_path / name).write_bytes(samples)
        with pytest.raises(FileError, match="add --raw"):
            list(read_file(str(tmp_path / name)))
        assert len(whole(read_file(str(tmp_path / name), raw=True))) == SAMPLE_RATE_HZ
    soundfile.write(tmp_path / "flac.raw", speech_like(1.0), SAMPLE_RATE_HZ, format="FLAC")  # a wrong suffix is no matter
    assert len(whole(read_file(str(tmp_path / "flac.raw")))) == SAMPLE_RATE_HZ


def test_silence_and_speech_as_samples_look_like_no_format() -> None:
    rng = np.random.default_rng(1)
    for pcm in (np.zeros(32), *(speech_like(0.5, seed=k)[100:132] for k in range(40)), *(rng.standard_normal((400, 32)) * 0.05)):
        assert name_of((np.clip(pcm, -1, 1) * 32767).astype("<i2").tobytes()) is None


def test_a_flac_of_unknown_length_is_played_whole(tmp_path: Path) -> None:
    sound = speech_like(2.03)
    path = tmp_path / "pipe.flac"
    soundfile.write(path, sound, SAMPLE_RATE_HZ)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the number of samples: 36 bits
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert np.allclose(whole(read_file(str(path))), sound, atol=1e-4)


@pytest.mark.parametrize(("riff_bytes", "data_bytes"), [(0, 0), (36, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0, 0xFFFFFFFF - 36)])
def test_a_wav_of_unknown_length_is_one_thing_to_files_and_pipes(tmp_path: Path, riff_bytes: int, data_bytes: int) -> None:
    sound = speech_like(1.0)
    data = bytearray(header(0) + (sound * 32767).astype("<i2").tobytes())
    data[4:8], data[40:44] = struct.pack("<I", riff_bytes), struct.pack("<I", data_bytes)
    (tmp_path / "killed.wav").write_bytes(data)
    heard = whole(read_file(str(tmp_path / "killed.wav")))
    assert np.allclose(heard, sound, atol=1e-4)
    assert np.array_equal(whole(read_pipe(io.BytesIO(bytes(data)), raw=False)), heard)


def test_an_empty_wav_with_a_chunk_behind_it_is_not_played(tmp_path: Path) -> None:
    data = header(0) + b"LIST" + struct.pack("<I", 400) + bytes(400)
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    with pytest.raises(FileError, match="holds no samples"):
        list(read_pipe(io.BytesIO(data), raw=False))


@pytest.mark.parametrize("name", [b"PEAK", b"INFO", b"bext", b"id3 ", b"JUNK", b"\0\0\0\0"])
@pytest.mark.parametrize("size", [0, 1, 32, 100_001])
def test_chunks_that_nobody_knows_are_passed_over(name: bytes, size: int) -> None:
    sound = (speech_like(0.5) * 32767).astype("<i2").tobytes()
    plain = wav_bytes(sound)
    place = plain.index(b"fmt ")
    data = plain[:place] + name + struct.pack("<I", size) + bytes(size + size % 2) + plain[place:]
    assert len(whole(read_pipe(io.BytesIO(data), raw=False))) == SAMPLE_RATE_HZ // 2


def test_a_length_that_no_header_has_is_refused() -> None:
    data = b"RIFF" + bytes(4) + b"WAVELIST" + b"\xf8\xff\xff\xff" + bytes(100)
    with pytest.raises(FileError, match="damaged"):
        WavStream(io.BytesIO(data), "it", "cure")


def spinning_header() -> bytes:
    """A header of the kind in which the library once turned round for ever; compressed, so that it is left to the library."""
    form = struct.pack("<HHIIHHHHHH", 0x31, 1, 8000, 1625, 65, 0, 2, 320, 0, 0)[:20]
    chunks = b"fmt " + struct.pack("<I", 20) + form + b"INFO" + struct.pack("<I", 32)
    chunks += b"LIST\xf8\xff\xff\xff" + bytes(8) + b"ltxt\xff\xff\xff\xff" + bytes(8) + b"data" + struct.pack("<I", 65) + bytes(65)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


@pytest.mark.parametrize("step", ["while True: pass", "import os; os.abort()", "raise MemoryError"])
def test_a_library_that_spins_or_crashes_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    child = foreign.CHILD.read_text()
    child = child.replace("PROCESSOR_S = 3.0", "PROCESSOR_S = 0.1").replace(
        "    import soundfile\n", f"    {step}\n    import soundfile\n"
    )
    assert step in child
    (tmp_path / "child.py").write_text(child)
    monkeypatch.setattr(foreign, "CHILD", tmp_path / "child.py")
    soundfile.write(tmp_path / "voice.aiff", speech_like(1.0), SAMPLE_RATE_HZ)
    assert tx.main(["--in", str(tmp_path / "voice.aiff"), "--out", str(tmp_path / "air")]) == 6
    assert len(capsys.readouterr().err.splitlines()) == 1 and not (tmp_path / "air").exists()


def test_a_header_of_which_the_library_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "spin.wav").write_bytes(spinning_header())
    with pytest.raises(FileError, match="can be read, or is damaged"):
        ForeignFile(str(tmp_path / "spin.wav"), "cure")


def test_what_comes_before_the_damage_is_played_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.flac"
    soundfile.write(path, speech_like(4.0), SAMPLE_RATE_HZ)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    heard = whole(read_file(str(path)))
    assert 1.0 < len(heard) / SAMPLE_RATE_HZ <= 4.0
    assert len(capsys.readouterr().err.splitlines()) <= 1


def test_libraries_talk_to_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The MP3 library complains on stderr, and others print on stdout, where samples or packets go."""
    path = tmp_path / "voice.mp3"
    soundfile.write(path, speech_like(3.0), SAMPLE_RATE_HZ, format="MP3")
    data = bytearray(path.read_bytes())
    data[600:1200] = bytes(600)
    path.write_bytes(data)
    list(read_file(str(path)))
    said = capfd.readouterr()
    assert "mpg123" not in said.err and said.out == ""
