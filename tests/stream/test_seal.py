"""Sealed links: nobody else is heard, nothing is heard twice, no nonce is used twice."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import rx, tx
from stream.content import Repair, Voice
from stream.engine import Decoder, Encoder
from stream.errors import ClariError
from stream.fec import parity
from stream.keys import write_key
from stream.packet import ForgedPacketError, Framing, PacketError, ReplayedPacketError
from stream.playback import play_packets
from stream.profile import PROFILES, Profile
from stream.protection import Protection
from stream.receiver import Receiver
from stream.seal import EPOCHS_AHEAD, Heard, Opener, Sealer
from stream.sender import Sender, send
from tests.conftest import speech_like
from tests.stream.test_chain import Memory
from tests.stream.test_wrong_use import fails

pytest.importorskip("cryptography", reason="sealing needs the extra seal: pip install 'clari[seal]'")

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
            if end:  # a pause, now and then so long that it swallows the 0
                sequence += int(rng.integers(0, 40)) if rng.random() < 0.5 else 0
                sequence += -sequence % protection.block if protection.block else 0
            sequence %= protection.sequence_count
    assert len(used) > 2000


@pytest.mark.parametrize("swallowed", [0, 1, 2, 60])
def test_speech_that_waits_is_heard_when_numbers_begin_again_in_a_pause(decoder: Decoder, swallowed: int) -> None:
    """Numbers are time across the wrap too, whether or not the pause used up the number 0."""
    sender, first = sealing(), 1000
    framing = Framing(7, Protection(), Opener(KEY, 4))
    receiver, numbers = Receiver(decoder, 3.0, framing), []
    spoken = [*range(first, 1023), *range(1023 + swallowed, 1023 + swallowed + 13)]
    for place in spoken:
        packet = sender.build(voice(place % 1024, end=place in (1022, spoken[-1])), FAST)
        list(receiver.play(place * 0.32))
        parsed = receiver.open(packet)
        assert parsed is not None
        receiver.add(place * 0.32, parsed)
        numbers.append(parsed.content.sequence)
    list(receiver.rest())
    assert [number - numbers[0] for number in numbers] == [place - first for place in spoken]
    assert receiver.stats.frames == 4 * len(spoken) == 144 and receiver.stats.concealed_frames == 0


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
