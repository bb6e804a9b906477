"""Packets find themselves again: lost and inserted bytes, banners, CRLF; and what is said where none fits."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream import rx, tx
from stream.content import Control, Epoch, Voice
from stream.control import identity_body
from stream.cutting import cut, holds_packet
from stream.diagnosis import explain, look
from stream.errors import LinkError
from stream.packet import Framing
from stream.playback import detect_profile, play_packets
from stream.profile import PROFILES
from stream.protection import Protection
from stream.receiver import Receiver
from stream.ruler import DECODER_ID, RulerDecoder
from stream.seal import Opener, Sealer
from stream.sinks import NullSink
from tests.conftest import speech_like

PROTECTIONS = [Protection(), Protection(4, 1), Protection(repeat=2)]
COUNT = 10


def voices(profile_name: str, protection: Protection = PROTECTIONS[0], seed: int = 1, decoder_id: int = DECODER_ID) -> list[bytes]:
    """Voice packets with any codes."""
    rng, profile, framing = np.random.default_rng(seed), PROFILES[profile_name], Framing(decoder_id, protection)
    codes = rng.integers(0, 4, (COUNT, profile.frames, 8)).astype(np.uint8)
    return [
        framing.build(Voice(1, k, codes[k], k == COUNT - 1, codes[k - 2] if protection.repeat else None), profile)
        for k in range(COUNT)
    ]


def heard(air: bytes, profile_name: str, protection: Protection = PROTECTIONS[0], step: int = 1000) -> list[int]:
    """The numbers of the packets that are found."""
    framing = Framing(DECODER_ID, protection)
    stream = io.BytesIO(air)
    pieces = cut(framing, PROFILES[profile_name], b"", lambda: stream.read(step))
    return [framing.parse(piece).content.sequence for piece in pieces if holds_packet(framing, piece)]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("protection", PROTECTIONS, ids=str)
def test_one_byte_lost_or_inserted_anywhere_costs_no_packet(profile: str, protection: Protection) -> None:
    packets = voices(profile, protection)
    air, size = b"".join(packets), len(packets[0])
    for place in (0, 1, size - 1, size, *range(4 * size, 5 * size, 3), 5 * size - 2, 5 * size - 1, len(air) - 1):
        for damaged in (air[:place] + air[place + 1 :], air[:place] + b"\x5a" + air[place:]):
            numbers = heard(damaged, profile, protection)
            whole = list(range(COUNT))
            assert numbers == whole or (place in (0, len(air) - 1) and numbers in (whole, whole[1:], whole[:-1])), place


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(PROFILES)),
    st.lists(st.tuples(st.integers(0, COUNT * 32), st.integers(0, 40), st.binary(max_size=40)), min_size=1, max_size=2),
    st.integers(1, 100),
)
@example("narrow", [(70, 40, b"")], 7)
def test_what_is_lost_or_inserted_costs_the_packets_that_it_touches(
    profile: str, edits: list[tuple[int, int, bytes]], step: int
) -> None:
    packets = voices(profile)
    air, size = b"".join(packets), len(packets[0])
    origin = list(range(len(air)))  # of each byte; -1: inserted
    for place, lost, inserted in edits:
        air = air[:place] + inserted + air[place + lost :]
        origin = origin[:place] + [-1] * len(inserted) + origin[place + lost :]
    begins = [origin.index(k * size) if k * size in origin else None for k in range(COUNT)]
    whole = {k for k, at in enumerate(begins) if at is not None and origin[at : at + size] == list(range(k * size, (k + 1) * size))}
    numbers = heard(air, profile, step=step)
    assert whole <= set(numbers) and numbers == sorted(numbers)


@settings(max_examples=40)
@given(st.binary(max_size=3000), st.sampled_from(sorted(PROFILES)), st.integers(1, 500))
def test_any_bytes_are_cut_without_an_end_or_a_loss(data: bytes, profile: str, step: int) -> None:
    framing, stream = Framing(DECODER_ID), io.BytesIO(data)
    size = framing.packet_bytes(PROFILES[profile])
    pieces = list(cut(framing, PROFILES[profile], b"", lambda: stream.read(step)))
    assert all(len(piece) <= size for piece in pieces) and sum(map(len, pieces)) <= len(data) + size


@pytest.mark.parametrize("profile", PROFILES)
def test_damaged_packets_keep_their_places(profile: str) -> None:
    """Bit errors alone: what can be repaired is, as if nobody had looked for anything."""
    packets, rng = voices(profile), np.random.default_rng(4)
    bits = np.unpackbits(np.frombuffer(b"".join(packets), np.uint8))
    noisy = np.packbits(bits ^ (rng.random(len(bits)) < 0.012)).tobytes()
    size, framing = len(packets[0]), Framing(DECODER_ID)
    expected = [k for k in range(COUNT) if holds_packet(framing, noisy[k * size : (k + 1) * size])]
    assert 2 < len(expected) < COUNT and heard(noisy, profile) == expected
    assert len(list(cut(framing, PROFILES[profile], noisy, lambda: b""))) == COUNT  # each of the others counts as rejected


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("before", [b"Welcome to the gateway.\r\n\r\n$ cat air.bin\r\n", b"\0" * 777, b"\n", b"\xff" * 5000])
def test_a_banner_before_the_packets(profile: str, before: bytes) -> None:
    packets = voices(profile)
    receiver = Receiver(RulerDecoder(), 0.1)
    play_packets(receiver, io.BytesIO(before + b"".join(packets)).read1, NullSink(), None)
    assert receiver.stats.frames == COUNT * PROFILES[profile].frames


@pytest.mark.parametrize("profile", PROFILES)
def test_a_transfer_as_text(profile: str) -> None:
    packets = [packet for seed in range(10) for packet in voices(profile, seed=seed)]
    air = b"".join(packets)
    assert air.count(b"\n") > 3
    receiver = Receiver(RulerDecoder(), 0.1)
    play_packets(receiver, io.BytesIO(air.replace(b"\n", b"\r\n")).read1, NullSink(), None)
    assert receiver.stats.rejected_packets <= 2


def test_a_banner_before_packets_of_which_none_is_clean() -> None:
    packets = [bytes([packet[0] ^ 1, *packet[1:]]) for packet in voices("standard")]
    air = b"login: " + b"".join(packets)
    assert detect_profile(air, Framing(DECODER_ID)) is None
    assert detect_profile(air, Framing(DECODER_ID), len(air), thorough=True) == PROFILES["standard"]


def test_sealed_packets_find_themselves_again() -> None:
    pytest.importorskip("cryptography", reason="sealing needs the extra seal: pip install 'clari[seal]'")
    epochs, profile, rng = iter(range(2, 9)), PROFILES["fast"], np.random.default_rng(1)
    sender = Framing(DECODER_ID, Protection(), Sealer(bytes(32), 4, lambda step: next(epochs)))
    codes = rng.integers(0, 4, (COUNT, profile.frames, 8)).astype(np.uint8)
    packets = [sender.build(Epoch(), profile), *(sender.build(Voice(0, k, codes[k]), profile) for k in range(COUNT))]
    air = b"".join(packets)
    receiver = Receiver(RulerDecoder(), 0.1, Framing(DECODER_ID, Protection(), Opener(bytes(32), 4)))
    play_packets(receiver, io.BytesIO(b"\r\n" + air[:100] + air[101:]).read1, NullSink(), None)
    assert receiver.stats.frames == COUNT * profile.frames and receiver.stats.replayed_packets == 0
    # Another key: the line tells what they are.
    line = explain(air, Framing(DECODER_ID, Protection(), Opener(bytes(31) + b"x", 4)))
    assert "profile fast, sealed with a tag of 4 bytes" in line and "--key-file" in line
    assert "add the sender's --key-file" in explain(air, Framing(DECODER_ID))
    assert "add --tag-bytes 4" in explain(air, Framing(DECODER_ID, Protection(), Opener(bytes(32), 8)))


SENT = [Protection(), Protection(8, 2), Protection(4, 1), Protection(32, 4), Protection(repeat=1), Protection(repeat=16)]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("sent", SENT, ids=str)
def test_what_was_sent_is_told_to_whoever_was_told_otherwise(profile: str, sent: Protection) -> None:
    air = b"banner" + b"".join(voices(profile, sent))
    for told in SENT:
        if told == sent:
            continue
        with pytest.raises(LinkError) as error:
            play_packets(Receiver(RulerDecoder(), 0.1, Framing(DECODER_ID, told)), io.BytesIO(air).read1, NullSink(), None)
        line = str(error.value)
        assert f"{len(air)} bytes" in line and f"{COUNT} of profile {profile}" in line and f"protection {sent}," in line
        assert (f"add --{sent}" if sent.block or sent.repeat else "leave out --repair and --repeat") in line


def test_the_profile_that_was_named_and_the_one_that_was_sent() -> None:
    air = b"".join(voices("narrow"))
    with pytest.raises(LinkError, match="give --profile narrow"):
        play_packets(Receiver(RulerDecoder(), 0.1), io.BytesIO(air).read1, NullSink(), PROFILES["standard"])


@pytest.mark.parametrize("identified", [False, True])
def test_another_model(identified: bool) -> None:
    framing, profile = Framing(0x1234, Protection(4, 1)), PROFILES["standard"]
    body = identity_body("BASE", 0x1234, framing.protection, framing.body_bytes(profile))
    control = framing.build(Control(1, False, body), profile)
    air = (control if identified else b"") + b"".join(voices("standard", Protection(4, 1), decoder_id=0x1234))
    line = explain(air, Framing(DECODER_ID))
    assert "--model" in line and ("decoder 1234" in line and "repair 4+1" in line) == identified


@pytest.mark.parametrize("data", [b"", b"x", bytes(5000), b"<!DOCTYPE html>" * 50, np.random.default_rng(1).bytes(70_000)])
def test_no_packets_at_all(data: bytes) -> None:
    assert look(data, DECODER_ID) is None
    line = explain(data, Framing(DECODER_ID))
    assert f"{len(data)} bytes" in line and "nothing that looks like one" in line and "\n" not in line


def test_speech_for_another_protection_beside_texts_that_are_heard() -> None:
    """Texts and names are for every receiver; if all speech was rejected, that is said."""
    framing, profile = Framing(DECODER_ID, Protection(8, 2)), PROFILES["standard"]
    text = framing.build(Control(1, True, b"\x80hello".ljust(16, b"\0")), profile)
    with pytest.raises(LinkError, match=r"protection repair 8\+2, are there: add --repair 8\+2"):
        play_packets(
            Receiver(RulerDecoder(), 0.1), io.BytesIO(text + b"".join(voices("standard", Protection(8, 2)))).read1, NullSink(), None
        )
    receiver = Receiver(RulerDecoder(), 0.1)
    play_packets(receiver, io.BytesIO(text + b"noise").read1, NullSink(), None)
    assert receiver.mailbox.texts == ["hello"]


def test_a_byte_lost_through_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import soundfile

    soundfile.write(tmp_path / "talk.wav", speech_like(13.0), 16_000)
    air = tmp_path / "air.bin"
    assert tx.main(["--in", str(tmp_path / "talk.wav"), "--out", str(air), "-q"]) == 0
    data = air.read_bytes()
    air.write_bytes(data[:60] + data[61:])
    assert rx.main(["--in", str(air), "--null"]) == 0
    assert f"{len(data) // 26} packets, 1 repaired" in capsys.readouterr().err
    assert rx.main(["--in", str(air), "--null", "--repeat", "2"]) == 5
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "profile standard, protection none" in lines[0]
