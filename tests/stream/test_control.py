"""Control packets: who speaks, short texts, and what they cost."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import rx, tx
from stream.content import Control, Epoch, Voice
from stream.control import LONGEST_TEXT_BYTES, Mailbox, check_station, identity_body, printable, text_bodies
from stream.engine import Decoder, Encoder
from stream.errors import UsageError
from stream.packet import TYPE_CONTROL, TYPE_VOICE, ForgedPacketError, Framing, PacketError, packet_type
from stream.playback import play_packets
from stream.profile import PROFILES, Profile
from stream.protection import Protection
from stream.receiver import Receiver
from stream.seal import EPOCHS_AHEAD, Opener, Sealer
from stream.sender import CONTROL_SPACING, IDENTITY_SPACING, TEXT_COPIES, Sender, send
from tests.conftest import speech_like
from tests.stream.test_chain import Memory
from tests.stream.test_wrong_use import fails

FAST = PROFILES["fast"]
stations = st.text(st.characters(min_codepoint=33, max_codepoint=95), min_size=1, max_size=8)


def box(decoder_id: int = 7) -> tuple[Mailbox, list[str]]:
    lines: list[str] = []
    return Mailbox(decoder_id, lines.append), lines


@given(stations, st.integers(0, 0xFFFF), st.sampled_from([8, 16, 24, 48]))
def test_a_station_is_shown_once(station: str, decoder_id: int, size: int) -> None:
    mailbox, lines = box(decoder_id)
    body = identity_body(station, decoder_id, Protection(8, 2), size)
    assert len(body) == size
    for _ in range(3):
        mailbox.identity(body)
    assert lines == [f"station {station}"] and mailbox.station == station


def test_a_station_with_another_model_says_why_nothing_is_heard() -> None:
    for profile in PROFILES.values():
        body = identity_body("BASE", 0x1234, Protection(), profile.code_bytes)
        packet = Framing(0x1234).build(Control(1, False, body), profile)
        received = Framing(7).parse(packet).content
        assert isinstance(received, Control)
        mailbox, lines = box()
        mailbox.identity(received.body)
        assert len(lines) == 1 and "decoder 1234" in lines[0] and "--model" in lines[0]


@settings(deadline=None)
@given(st.text(min_size=1, max_size=30), st.sampled_from([8, 16, 24, 32]), st.integers(0, 7), st.data())
def test_texts_arrive_whole_in_any_order_from_two_copies(text: str, size: int, number: int, data: st.DataObject) -> None:
    encoded = text.encode("utf-8", errors="replace").replace(b"\0", b" ")
    if not encoded.strip():
        return
    pieces = text_bodies(text, number, size)
    assert all(len(piece) == size for piece in pieces)
    mailbox, lines = box()
    for place in data.draw(st.permutations([*range(len(pieces))] * 2)):
        mailbox.text(1.0, 3, pieces[place])
    assert mailbox.texts == [printable(encoded)] and lines == [f"text: {printable(encoded)}"]


def test_messages_follow_each_other_and_lost_pieces_lose_one_message() -> None:
    mailbox, _ = box()
    messages = [f"message number {number} of ten" for number in range(10)]
    for number, message in enumerate(messages):
        for piece in text_bodies(message, number, 8)[1 if number == 4 else 0 :] * TEXT_COPIES:
            mailbox.text(number * 1.0, 3, piece)
    assert mailbox.texts == messages[:4] + messages[5:]
    for number, message in ((4, "left over"), (8, "came late")):  # all others between them were lost
        mailbox.text(300.0 * number, 3, text_bodies(message, number, 8)[number // 8])
    assert mailbox.texts == messages[:4] + messages[5:]
    again = text_bodies(messages[9], 9, 8)
    for now_s, count in ((5000.0, 10), (5020.0, 10), (6000.0, 11)):  # said again, a copy of that, and again much later
        for piece in again:
            mailbox.text(now_s, 3, piece)
        assert len(mailbox.texts) == count


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.binary(min_size=8, max_size=48)), max_size=200))
def test_strange_bodies_never_stop_a_mailbox_nor_fill_it(bodies: list[tuple[int, bytes]]) -> None:
    mailbox, lines = box()
    for stream, body in bodies:
        mailbox.text(0.0, stream, body)
        mailbox.identity(body)
    assert len(mailbox._messages) <= 32 and len(mailbox.texts) <= 100
    assert all(line.isprintable() for line in lines)


def test_nothing_that_a_stranger_writes_moves_a_cursor() -> None:
    assert printable(b"ok\x1b[2J\x07\r\nbye\xff \xe2\x80\xae") == "ok?[2J???bye\ufffd ?"


@pytest.mark.parametrize("text", ["", " ", "x" * (LONGEST_TEXT_BYTES + 1), "ü" * (LONGEST_TEXT_BYTES // 2 + 1)])
def test_texts_have_a_limit(text: str) -> None:
    with pytest.raises(UsageError, match="1 to 120"):
        text_bodies(text, 0, 8)


@pytest.mark.parametrize("station", ["", "  ", "NINECHARS", "TÜR", "a\x07b"])
def test_stations_have_a_limit(station: str) -> None:
    with pytest.raises(UsageError, match="1 to 8"):
        check_station(station)
    assert check_station("dl1abc") == "DL1ABC"


@pytest.mark.parametrize("profile", [PROFILES["fast"], PROFILES["narrow"]], ids=lambda profile: profile.name)
@pytest.mark.parametrize("protection", [Protection(), Protection(4, 1), Protection(repeat=1)], ids=str)
def test_control_packets_are_counted_bounded_and_of_the_same_size(
    encoder: Encoder, profile: Profile, protection: Protection
) -> None:
    framing, memory = Framing(encoder.meta.decoder_id, protection), Memory()
    sender = Sender(encoder, profile, 3, framing, "BASE")
    for _ in range(3):
        sender.say("x" * LONGEST_TEXT_BYTES)
    send(sender, [speech_like(16.0)], memory, None)
    assert {len(packet) for packet in memory.packets} == {framing.packet_bytes(profile)}
    assert sender.stats.on_air_bytes == sum(map(len, memory.packets))
    kinds = [packet_type(packet) for packet in memory.packets]
    assert sender.stats.control_packets == kinds.count(TYPE_CONTROL) > 0
    places = [kinds[:place].count(TYPE_VOICE) for place, kind in enumerate(kinds) if kind == TYPE_CONTROL]
    while_speaking = [place for place in places if place < kinds.count(TYPE_VOICE)]
    assert all(later - earlier >= CONTROL_SPACING for earlier, later in itertools.pairwise(while_speaking))


def test_identity_comes_with_the_first_packet_and_now_and_then(encoder: Encoder) -> None:
    memory = Memory()
    send(Sender(encoder, FAST, 3, None, "BASE"), [speech_like(45.0)], memory, None)
    kinds = [packet_type(packet) for packet in memory.packets]
    assert [kinds[:place].count(TYPE_VOICE) for place, kind in enumerate(kinds) if kind] == [
        1,
        1 + IDENTITY_SPACING,
        1 + 2 * IDENTITY_SPACING,
    ]


@pytest.mark.parametrize("protection", [Protection(), Protection(4, 1), Protection(repeat=2)], ids=str)
def test_control_packets_change_nothing_of_the_speech(encoder: Encoder, decoder: Decoder, protection: Protection) -> None:
    framing, heard, lines = Framing(encoder.meta.decoder_id, protection), [], []
    notify: Callable[[str], None] = lines.append
    for station, text in (("", ""), ("BASE", "on our way")):
        memory = Memory()
        sender = Sender(encoder, FAST, 3, framing, station)
        if text:
            sender.say(text)
        send(sender, [speech_like(6.0)], memory, None)
        receiver = Receiver(decoder, 0.2, framing, notify)
        sink = Memory()
        play_packets(receiver, io.BytesIO(b"".join(memory.packets)).read1, sink, None)
        heard.append(np.concatenate(sink.pcm))
    assert np.array_equal(heard[0], heard[1])
    assert lines == ["station BASE", "text from BASE: on our way"]


def test_a_lost_receiver_of_a_sealed_link_learns_the_epoch(encoder: Encoder) -> None:
    pytest.importorskip("cryptography", reason="sealing needs the extra seal: pip install 'clari[seal]'")
    key, memory, epoch = bytes(range(32)), Memory(), EPOCHS_AHEAD + 1000
    framing = Framing(encoder.meta.decoder_id, Protection(), Sealer(key, 4, lambda step: epoch))
    send(Sender(encoder, FAST, 3, framing, "BASE"), [speech_like(2.0)], memory, None)
    receiver = Framing(encoder.meta.decoder_id, Protection(), Opener(key, 4))
    with pytest.raises(ForgedPacketError):
        receiver.parse(memory.packets[1])
    contents = [receiver.parse(packet).content for packet in memory.packets]
    assert isinstance(contents[0], Epoch) and isinstance(contents[1], Voice)
    for packet in memory.packets:
        with pytest.raises(PacketError):
            receiver.parse(packet)
    with pytest.raises(ForgedPacketError):  # another key's epoch is not believed
        Framing(encoder.meta.decoder_id, Protection(), Opener(bytes(32), 4)).parse(memory.packets[0])


def test_texts_through_the_commands(tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    air, stats = str(tmp_path / "air"), tmp_path / "rx.json"
    words = ["--text", "erste", "--text", "grüße an alle", "--station", "dl1abc"]
    assert tx.main(["--in", str(wav), "--out", air, "-q", *words]) == 0
    assert rx.main(["--in", air, "--null", "--stats", str(stats)]) == 0
    figures, messages = json.loads(stats.read_text()), capsys.readouterr().err
    assert figures["station"] == "DL1ABC" and figures["texts"] == ["erste", "grüße an alle"]
    assert "clari-rx: text from DL1ABC: grüße an alle" in messages
    assert figures["control_packets"] == 1 + 2 * (1 + 1)


def test_a_text_needs_no_speech(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    air, stats = tmp_path / "air", tmp_path / "tx.json"
    argv = ["--out", str(air), "--text", "engine failure", "--station", "B1", "--stats", str(stats)]
    assert tx.main(argv) == 0
    assert "0.00 s of speech" in capsys.readouterr().err
    assert json.loads(stats.read_text())["on_air_bytes"] == air.stat().st_size == 3 * 26
    assert rx.main(["--in", str(air), "--null"]) == 0
    assert "text from B1: engine failure" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "says"), [(["--text", ""], "1 to 120"), (["--station", "MUCHTOOLONG"], "1 to 8"), (["--text", "x" * 121], "1 to 120")]
)
def test_bad_words_are_one_line(tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str], argv: list[str], says: str) -> None:
    fails(capsys, tx, ["--in", str(wav), "--out", str(tmp_path / "air"), *argv], 2, says)
