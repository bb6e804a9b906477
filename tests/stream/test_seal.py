"""Sealed links: nobody else is heard, nothing is heard twice, no nonce is used twice."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import keygen, rx, tx
from stream.benches.forgery import forgery_figures
from stream.engine import Decoder, Encoder
from stream.errors import ClariError, FileError
from stream.fec import parity
from stream.keys import EpochFile, HeardFile, read_key, write_key
from stream.link import ZmqLink
from stream.packet import PROFILES, ForgedPacketError, Framing, PacketError, Profile, Repair, ReplayedPacketError, Voice
from stream.playback import play_packets
from stream.protection import Protection
from stream.receiver import Receiver
from stream.seal import EPOCHS_AHEAD, Heard, Opener, Sealer
from stream.sender import Sender, send
from tests.conftest import speech_like
from tests.stream.test_chain import Memory
from tests.stream.test_commands import fails, free_endpoint

pytest.importorskip("cryptography")

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
FAST = PROFILES["fast"]


class Epochs:
    """An epoch counter in memory."""

    def __init__(self, newest: int = 0):
        self.newest = newest

    def next(self, step: int) -> int:
        self.newest += step
        return self.newest


def sealing(epochs: Epochs | None = None, key: bytes = KEY, tag_bytes: int = 4, protection: Protection | None = None) -> Framing:
    return Framing(7, protection or Protection(), Sealer(key, tag_bytes, (epochs or Epochs()).next))


def opening(key: bytes = KEY, tag_bytes: int = 4, protection: Protection | None = None, heard: Heard | None = None) -> Framing:
    return Framing(7, protection or Protection(), Opener(key, tag_bytes, heard))


def voice(sequence: int, profile: Profile = FAST, end: bool = False) -> Voice:
    codes = np.random.default_rng(sequence).integers(0, 4, (profile.frames, 8)).astype(np.uint8)
    return Voice(0, sequence, codes, end)


@pytest.mark.parametrize("tag_bytes", [4, 8])
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_round_trip_and_size(profile: Profile, tag_bytes: int) -> None:
    sender, receiver = sealing(tag_bytes=tag_bytes), opening(tag_bytes=tag_bytes)
    plain = Framing(7)
    for sequence in range(5):
        sent = voice(sequence, profile, sequence == 4)
        packet = sender.build(sent, profile)
        assert len(packet) == plain.packet_bytes(profile) - 2 + tag_bytes == receiver.packet_bytes(profile)
        assert packet[2 : 2 + profile.code_bytes] != plain.build(sent, profile)[2 : 2 + profile.code_bytes]
        received = receiver.parse(packet).content
        assert np.array_equal(received.codes, sent.codes) and received.end == sent.end
        assert received.sequence % 1024 == sequence


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(list(PROFILES.values())), st.data())
def test_parity_repairs_a_sealed_packet_and_a_wrong_bit_that_is_left_is_refused(profile: Profile, data: st.DataObject) -> None:
    packet = sealing().build(voice(3, profile), profile)
    places = data.draw(st.permutations(range(len(packet))))
    damaged = bytearray(packet)
    for place in places[: profile.parity_bytes // 2]:
        damaged[place] ^= data.draw(st.integers(1, 255))
    assert np.array_equal(opening().parse(bytes(damaged)).content.codes, voice(3, profile).codes)
    forged = bytearray(packet[: -profile.parity_bytes])
    forged[places[0] % len(forged)] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PacketError):
        opening().parse(bytes(forged) + parity(bytes(forged), profile.parity_bytes))


def test_another_key_tag_decoder_profile_or_protection_is_refused() -> None:
    packet = sealing().build(voice(0), FAST)
    for receiver in (opening(OTHER_KEY), Framing(8, Protection(), Opener(KEY, 4)), opening(protection=Protection(8, 2))):
        with pytest.raises(ForgedPacketError):
            receiver.parse(packet)
    for receiver in (opening(tag_bytes=8), Framing(7)):
        with pytest.raises(PacketError):
            receiver.parse(packet)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2500), max_size=200))
def test_every_packet_is_heard_at_most_once_in_any_order(order: list[int]) -> None:
    """2500 packets cross two wraps; whatever is replayed, however late, is not heard again."""
    heard: set[int] = set()
    receiver = opening()
    for place in order:
        try:
            receiver.parse(AIR[place % len(AIR)])
        except ReplayedPacketError:
            continue
        assert place % len(AIR) not in heard
        heard.add(place % len(AIR))
    assert heard or not order


def air(count: int) -> list[bytes]:
    sender = sealing()
    return [sender.build(voice(k % 1024), FAST) for k in range(count)]


AIR = air(2500)


def test_sequence_numbers_go_on_through_the_wrap_and_a_late_packet_is_accepted_once() -> None:
    receiver = opening()
    order = [*range(1020, 1024), 1025, 1024, 1026]
    numbers = [receiver.parse(AIR[place]).content.sequence for place in order]
    assert [number - numbers[0] for number in numbers] == [place - 1020 for place in order]
    assert receiver.parse(AIR[1019]).content.sequence == numbers[0] - 1  # an epoch ago, and new
    with pytest.raises(ReplayedPacketError):
        receiver.parse(AIR[1019])


@pytest.mark.parametrize("protection", [Protection(), Protection(8, 2), Protection(4, 1), Protection(5, 3)], ids=str)
def test_no_nonce_is_used_twice_over_wraps_restarts_and_repairs(protection: Protection) -> None:
    epochs, used = Epochs(), set()

    class Recorder(Sealer):
        def seal(self, kind: int, epoch: int, number: int, body: bytes, context: bytes) -> bytes:
            assert (kind, epoch, number) not in used
            used.add((kind, epoch, number))
            return super().seal(kind, epoch, number, body, context)

    from stream.repair import BlockBuilder

    rng = np.random.default_rng(0)
    for _ in range(6):  # a sender that is started again and again, with talk spurts that end anywhere
        framing = Framing(7, protection, Recorder(KEY, 4, epochs.next))
        blocks, sequence = BlockBuilder(protection), 0
        for _ in range(int(rng.integers(1, 1500))):
            end = bool(rng.random() < 0.1)
            sent = Voice(0, sequence, np.zeros((4, 8), np.uint8), end)
            framing.build(sent, FAST)
            for repair in blocks.add(sent) if protection.block else []:
                framing.build(repair, FAST)
            sequence += 1
            if end and protection.block:
                sequence += -sequence % protection.block
            sequence %= protection.sequence_count
    assert len(used) > 2000


def test_a_restarted_sender_never_continues_the_numbers_of_the_former() -> None:
    epochs, receiver = Epochs(), opening()
    newest = -1
    for length in (1, 1000, 1023, 3):
        sender = sealing(epochs)
        numbers = [receiver.parse(sender.build(voice(k), FAST)).content.sequence for k in range(length)]
        assert newest < 0 or numbers[0] - newest > 1024
        newest = numbers[-1]


def test_a_receiver_finds_a_sender_that_was_started_many_times_without_it() -> None:
    epochs = Epochs()
    receiver = opening()
    receiver.parse(sealing(epochs).build(voice(0), FAST))
    epochs.newest += EPOCHS_AHEAD - 2
    receiver.parse(sealing(epochs).build(voice(0), FAST))
    epochs.newest += EPOCHS_AHEAD - 1
    with pytest.raises(ForgedPacketError):
        receiver.parse(sealing(epochs).build(voice(0), FAST))


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


@pytest.mark.parametrize("protection", [Protection(), Protection(4, 1), Protection(repeat=2)], ids=str)
def test_sealed_speech_is_heard_live_and_from_a_file(encoder: Encoder, decoder: Decoder, protection: Protection) -> None:
    epochs, packets, voices = Epochs(), [], 0
    for seed in (1, 2):  # the sender is restarted, after a pause
        memory = Memory()
        sender = Sender(encoder, FAST, 0, Framing(decoder.meta.decoder_id, protection, Sealer(KEY, 4, epochs.next)))
        send(sender, [speech_like(5.0, seed=seed)], memory, None)
        packets += memory.packets
        voices += sender.stats.packets - sender.stats.repair_packets - sender.stats.control_packets
    receiver = Receiver(decoder, 0.2, Framing(decoder.meta.decoder_id, protection, Opener(KEY, 4)))
    memory = Memory()
    play_packets(receiver, io.BytesIO(b"".join(packets)).read1, memory, None)
    assert receiver.stats.frames - receiver.stats.concealed_frames == voices * 4
    assert receiver.stats.forged_packets == receiver.stats.replayed_packets == 0
    live = Receiver(decoder, 0.2, Framing(decoder.meta.decoder_id, protection, Opener(KEY, 4)))
    for place, packet in enumerate(packets):
        arrival_s = place * 0.32 + (5.0 if place >= len(packets) // 2 else 0.0)
        list(live.play(arrival_s))
        live.arrive(arrival_s, packet)
        live.arrive(arrival_s, packet)
    list(live.rest())
    assert live.stats.frames - live.stats.concealed_frames == voices * 4
    assert live.stats.replayed_packets == len(packets)
    assert live.stats.first_frame == 0 and live.stats.added_delay_s == 0


@pytest.mark.parametrize("tag_bytes", [4, 8])
def test_forged_replayed_and_truncated_packets_are_not_heard(tag_bytes: int) -> None:
    """The same as `clari-bench forgery`, which does it a million times."""
    figures = forgery_figures(3000, tag_bytes)
    assert sum(kind["packets"] for kind in figures.values()) == 3000
    assert all(kind["packets"] > 0 and kind["heard"] == 0 for kind in figures.values())


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
    if content is not None:
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


def test_a_damaged_memory_of_what_was_heard_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key"
    write_key(str(path))
    for content in ("{", "[]", '{"epoch": "x", "numbers": {}}'):
        (tmp_path / "key.heard").write_text(content)
        fails(capsys, rx, ["--bind", free_endpoint(), "--null", "--key-file", str(path)], 6, "damaged")


def test_without_the_library_sealing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ClariError, match=r"pip install 'clari\[seal\]'"):
        Sealer(KEY, 4, Epochs().next)


def test_sealed_files_through_the_commands(tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, air_file, out = str(tmp_path / "key"), str(tmp_path / "air"), str(tmp_path / "out.wav")
    write_key(key)
    for _ in range(2):
        assert tx.main(["--in", str(wav), "--out", air_file, "-q", "-f", "--key-file", key, "--tag-bytes", "8"]) == 0
        assert rx.main(["--in", air_file, "--out", out, "-q", "-f", "--key-file", key, "--tag-bytes", "8"]) == 0
    assert int((tmp_path / "key.epoch").read_text()) == 4
    fails(capsys, rx, ["--in", air_file, "--null"], 5, "no valid packet")
    write_key(key + "2")
    fails(capsys, rx, ["--in", air_file, "--null", "--key-file", key + "2", "--tag-bytes", "8"], 5, "no valid packet")
    fails(capsys, rx, ["--in", air_file, "--null", "--tag-bytes", "8"], 2, "add --key-file")
    fails(capsys, rx, ["--in", air_file, "--null", "--curve", key], 2, "--curve secures a ZeroMQ endpoint")


def test_repair_packets_are_sealed_too() -> None:
    protection = Protection(8, 2)
    sender, receiver = sealing(protection=protection), opening(protection=protection)
    sender.build(voice(0), FAST)
    packet = sender.build(Repair(0, 7, 1, False, bytes(8)), FAST)
    received = receiver.parse(packet).content
    assert isinstance(received, Repair) and received.last % protection.sequence_count == 7 and received.part == bytes(8)
    with pytest.raises(ReplayedPacketError):
        receiver.parse(packet)


@pytest.mark.parametrize("client_key", [None, OTHER_KEY], ids=["no key", "another key"])
def test_curve_lets_nobody_in_or_listen_without_the_key(client_key: bytes | None) -> None:
    """A stranger's packets do not reach a bound receiver, and nothing reaches a stranger from a bound sender."""
    endpoint = free_endpoint()
    with (
        ZmqLink.receiver(endpoint, curve_key=KEY) as receiver,
        ZmqLink.sender(endpoint, curve_key=client_key) as stranger,
        ZmqLink.sender(endpoint, curve_key=KEY) as friend,
    ):
        stranger.send(b"forged")
        friend.send(b"genuine")
        assert friend.drain(20.0) == 0 and receiver.receive(20.0) == b"genuine"
        assert stranger.drain(0.3) == 1 and receiver.receive(0.3) is None
    endpoint = free_endpoint()
    with (
        ZmqLink.sender(endpoint, bind=True, curve_key=KEY) as sender,
        ZmqLink.receiver(endpoint, bind=False, curve_key=client_key) as stranger,
        ZmqLink.receiver(endpoint, bind=False, curve_key=KEY) as friend,
    ):
        for k in range(4):  # PUSH hands them out in turn to whoever it lets in
            sender.send(bytes([k]))
        assert sender.drain(20.0) == 0
        assert [friend.receive(20.0) for _ in range(4)] == [bytes([k]) for k in range(4)]
        assert stranger.receive(0.3) is None


def test_marks_of_unsure_bytes_come_with_the_packet() -> None:
    import zmq

    endpoint = free_endpoint()
    with ZmqLink.receiver(endpoint) as receiver, zmq.Context() as context, context.socket(zmq.PUSH) as modem:
        modem.linger = 0
        modem.connect(endpoint)
        for parts in ([b"abcdefghij", b"\x81\x40"], [b"abc"], [b"abc", bytes(99)], [b"abc", b""]):
            modem.send_multipart(parts)
        marked = [receiver.receive_marked(20.0) for _ in range(4)]
    assert marked == [(b"abcdefghij", [0, 7, 9]), (b"abc", []), (b"abc", []), (b"abc", [])]


def test_a_receiver_binds_to_this_machine_unless_told_otherwise() -> None:
    args = rx.build_parser().parse_args(["--bind", "--null"])
    assert args.bind == "tcp://127.0.0.1:5555"
    assert rx.reachable("tcp://0.0.0.0:5555") and rx.reachable("tcp://*:1") and not rx.reachable(args.bind)
