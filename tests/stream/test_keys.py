"""Key files, the epochs beside them, and what was heard: on disk, and refused with a reason."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from stream import keygen, rx, tx
from stream.errors import FileError
from stream.keys import EpochFile, HeardFile, read_key, write_key
from stream.packet import Framing, ReplayedPacketError
from stream.protection import Protection
from stream.seal import Opener
from tests.conftest import free_endpoint
from tests.stream.test_seal import AIR, KEY
from tests.stream.test_wrong_use import fails


def test_a_receiver_that_is_started_again_hears_no_replay(tmp_path: Path) -> None:
    write_key(str(tmp_path / "key"))
    for start in (0, 1, 1200):
        keep = HeardFile(str(tmp_path / "key"))
        receiver = Framing(7, Protection(), Opener(KEY, 4, keep.load(), keep.save))
        for packet in AIR[: min(start, 701)]:
            with pytest.raises(ReplayedPacketError):
                receiver.parse(packet)
        for packet in AIR[start : start + 700]:
            try:
                receiver.parse(packet)
            except ReplayedPacketError:
                assert start == 1  # 1 to 699 were heard before
    assert stat.S_IMODE((tmp_path / "key.heard").stat().st_mode) == 0o600


def test_a_key_is_for_its_owner_and_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key"
    assert keygen.main([str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "key.epoch").stat().st_mode) == 0o600
    assert len(read_key(str(path))) == 32
    capsys.readouterr()
    before = path.read_bytes()
    fails(capsys, keygen, [str(path)], 6, "exists")
    assert path.read_bytes() == before
    fails(capsys, keygen, [str(tmp_path / "no" / "key")], 6, "cannot write")


def test_a_key_that_cannot_be_made_whole_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    for old in (tmp_path / "key.epoch", tmp_path / "key.heard"):
        old.write_text("7\n")
        fails(capsys, keygen, [str(path)], 6, f"{old.name} exists")
        assert not path.exists() and old.read_text() == "7\n"
        old.unlink()
    forced: list[int] = []

    def full(file: int) -> None:
        forced.append(file)
        if len(forced) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    fails(capsys, keygen, [str(path)], 6, "no space left")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (b"00" * 32, 0o644, "chmod 600"),
        (b"00" * 32, 0o640, "chmod 600"),
        (b"00" * 31, 0o600, "31 bytes instead of 32"),
        (b"00" * 33, 0o600, "33 bytes instead of 32"),
        (b"", 0o600, "0 bytes instead of 32"),
        (b"x" * 64, 0o600, "no key of 64"),
        (b"\xff" * 32, 0o600, "no key of 64"),
        (None, 0o600, "no such file"),
    ],
)
def test_bad_keys_are_refused_with_a_reason(
    tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, mode: int, says: str
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
        (tmp_path / "key.epoch").write_text("0\n")
    fails(capsys, rx, ["--bind", free_endpoint(), "--null", "--key-file", str(path)], 6, says)
    fails(capsys, tx, ["--in", str(wav), "--out", str(tmp_path / "air"), "--key-file", str(path)], 6, says)
    fails(capsys, rx, ["--bind", free_endpoint(), "--null", "--curve", str(path)], 6, says)


def test_epochs_are_on_disk_before_they_are_used_and_one_sender_at_a_time_has_them(tmp_path: Path) -> None:
    path = str(tmp_path / "key")
    write_key(path)
    given = []
    for _ in range(3):
        epochs = EpochFile(path)
        for step in (2, 1, 1):
            given.append(epochs.next(step))
            assert int((tmp_path / "key.epoch").read_text()) == given[-1]
        with pytest.raises(FileError, match="another sender"):
            EpochFile(path)
        epochs.close()
    assert given == sorted(set(given))


@pytest.mark.parametrize(
    ("content", "says"), [(None, "only where it was made"), ("x", "damaged"), ("", "damaged"), ("-3", "damaged")]
)
def test_a_sender_without_its_counter_sends_nothing(tmp_path: Path, content: str | None, says: str) -> None:
    path = str(tmp_path / "key")
    write_key(path)
    (tmp_path / "key.epoch").unlink()
    if content is not None:
        (tmp_path / "key.epoch").write_text(content)
    with pytest.raises(FileError, match=says):
        EpochFile(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_counter_that_cannot_be_kept_seals_nothing(tmp_path: Path) -> None:
    write_key(str(tmp_path / "key"))
    epochs = EpochFile(str(tmp_path / "key"))
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(FileError, match="nothing can be sealed"):
            epochs.next(1)
    finally:
        tmp_path.chmod(0o700)


def test_what_cannot_be_kept_is_said_once_and_replays_are_refused_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    keep = HeardFile(str(tmp_path / "key"), said.append)
    receiver = Framing(7, Protection(), Opener(KEY, 4, keep.load(), keep.keep))
    receiver.parse(AIR[0])

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("stream.keys.replace_file", full)
        for packet in AIR[1:20]:
            receiver.parse(packet)
        with pytest.raises(ReplayedPacketError):
            receiver.parse(AIR[10])
        with pytest.raises(FileError, match="no space left"):
            HeardFile(str(tmp_path / "key")).load()
    assert len(said) == 1 and "speech goes on" in said[0] and "may be replayed" in said[0]
    assert HeardFile(str(tmp_path / "key")).load().numbers == {0: 0}
    receiver.parse(AIR[20])
    assert HeardFile(str(tmp_path / "key")).load().numbers == {0: 20}


def test_a_damaged_memory_of_what_was_heard_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key"
    write_key(str(path))
    bad = ["{", "[]", '{"epoch": "x", "numbers": {}}', '{"epoch": -2, "numbers": {}}', '{"epoch": Infinity, "numbers": {}}']
    bad += [f'{{"epoch": {epoch}, "numbers": {{"0": {number}}}}}' for epoch, number in ((2, -5), (2, 1024), (2, 10**9), (2**64, 0))]
    for content in bad:
        (tmp_path / "key.heard").write_text(content)
        fails(capsys, rx, ["--bind", free_endpoint(), "--null", "--key-file", str(path)], 6, "damaged")
