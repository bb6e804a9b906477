"""Packets to the bit, their repair, and what is not one."""

from __future__ import annotations

import binascii
import itertools
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.content import Repair, Voice, pack_codes, unpack_codes
from stream.errors import UsageError
from stream.fec import parity
from stream.numbering import sequence_difference
from stream.packet import Framing, PacketError
from stream.profile import PROFILES, Profile, find_profile
from stream.protection import Protection
from stream.seal import Heard, Opener, Sealer

VECTORS = json.loads((Path(__file__).parent / "packet_vectors.json").read_text(encoding="utf-8"))
PLAIN = Framing(7)
SIZES = {PLAIN.packet_bytes(profile): profile for profile in PROFILES.values()}
profiles = st.sampled_from(list(PROFILES.values()))


def voice(profile: Profile, seed: int = 0, sequence: int = 5, stream: int = 2, end: bool = False) -> Voice:
    codes = np.random.default_rng(seed).integers(0, 4, (profile.frames, 8)).astype(np.uint8)
    return Voice(stream, sequence, codes, end)


@pytest.mark.parametrize(
    ("name", "bytes_", "speech_s", "bps"), [("fast", 16, 0.32, 400), ("standard", 26, 0.64, 325), ("narrow", 32, 0.96, 266.67)]
)
def test_profiles_are_what_the_protocol_says(name: str, bytes_: int, speech_s: float, bps: float) -> None:
    profile = PROFILES[name]
    assert (PLAIN.packet_bytes(profile), profile.packet_s) == (bytes_, pytest.approx(speech_s))
    assert PLAIN.on_air_bps(profile) == pytest.approx(bps, abs=0.01)


def test_sizes_tell_profiles_apart() -> None:
    assert {size: PLAIN.profile_of(size) for size in SIZES} == SIZES and len(SIZES) == len(PROFILES)
    with pytest.raises(UsageError, match="fast, standard, narrow"):
        find_profile("wide")


@given(profiles, st.integers(0, 2**32), st.integers(0, 1023), st.integers(0, 7), st.booleans(), st.integers(0, 0xFFFF))
def test_round_trip(profile: Profile, seed: int, sequence: int, stream: int, end: bool, decoder_id: int) -> None:
    sent = voice(profile, seed, sequence, stream, end)
    framing = Framing(decoder_id)
    packet = framing.build(sent, profile)
    assert len(packet) == framing.packet_bytes(profile)
    parsed = framing.parse(packet)
    received = parsed.content
    assert isinstance(received, Voice) and parsed.profile is profile
    assert (received.stream, received.sequence, received.end, parsed.corrected_bytes) == (stream, sequence, end, 0)
    assert np.array_equal(received.codes, sent.codes)


@given(profiles, st.integers(0, 2**32), st.data())
def test_parity_repairs_half_as_many_bytes_anywhere(profile: Profile, seed: int, data: st.DataObject) -> None:
    packet = bytearray(PLAIN.build(voice(profile, seed), profile))
    wrong = data.draw(st.sets(st.integers(0, len(packet) - 1), min_size=1, max_size=profile.parity_bytes // 2))
    for place in wrong:
        packet[place] ^= data.draw(st.integers(1, 255))
    parsed = PLAIN.parse(bytes(packet))
    assert np.array_equal(parsed.content.codes, voice(profile, seed).codes)
    assert parsed.corrected_bytes == len(wrong)


@given(st.binary(max_size=64))
def test_strangers_bytes_are_refused_without_surprise(data: bytes) -> None:
    try:
        received = PLAIN.parse(data).content
    except PacketError:
        return
    assert len(data) in SIZES and received.codes.shape == (SIZES[len(data)].frames, 8)  # one in 65536 gets through


def test_garbage_gets_through_about_as_rarely_as_a_16_bit_checksum_allows() -> None:
    rng = np.random.default_rng(1)
    accepted = 0
    for _ in range(3000):
        size = int(rng.choice(list(SIZES)))
        try:
            PLAIN.parse(rng.bytes(size))
            accepted += 1
        except PacketError:
            pass
    assert accepted <= 1


def test_another_decoder_is_refused() -> None:
    profile = PROFILES["standard"]
    packet = Framing(1234).build(voice(profile), profile)
    Framing(1234).parse(packet)
    with pytest.raises(PacketError, match="another decoder"):
        Framing(1235).parse(packet)


def test_another_protection_is_refused() -> None:
    profile = PROFILES["standard"]
    packet = Framing(7, Protection(8, 2)).build(voice(profile), profile)
    for protection in (Protection(), Protection(8, 1), Protection(4, 2), Protection(repeat=1)):
        with pytest.raises(PacketError):
            Framing(7, protection).parse(packet)


def test_an_unknown_type_is_refused() -> None:
    profile = PROFILES["fast"]
    for kind in (1, 3):  # repair packets are of protected links, epochs of sealed ones
        data = bytes([kind << 6, 0]) + bytes(8)
        data += binascii.crc_hqx(struct.pack(">BBH", 1, profile.number, 7 if kind == 1 else 0) + data, 0xFFFF).to_bytes(2, "big")
        with pytest.raises(PacketError, match=f"type {kind}"):
            PLAIN.parse(data + parity(data, profile.parity_bytes))


def test_one_wrong_bit_changes_one_code_in_three_of_four_cases_by_one_level() -> None:
    codes = np.array([[0, 1, 2, 3, 0, 1, 2, 3]], np.uint8)
    data = pack_codes(codes)
    moves = []
    for bit in range(16):
        damaged = (int.from_bytes(data, "big") ^ 1 << bit).to_bytes(2, "big")
        difference = np.abs(unpack_codes(damaged).astype(int) - codes)
        assert np.count_nonzero(difference) == 1
        moves.append(int(difference.max()))
    assert sorted(moves) == [1] * 12 + [3] * 4  # the two ends of the Gray code differ in one bit as well


@pytest.mark.parametrize("vector", [v for v in VECTORS["packets"] if "key" in v], ids=lambda vector: vector["name"])
def test_sealed_vectors_of_the_protocol(vector: dict) -> None:
    pytest.importorskip("cryptography", reason="sealing needs the extra seal: pip install 'clari[seal]'")
    key, tag_bytes, epoch = bytes.fromhex(vector["key"]), vector["tag_bytes"], vector["epoch"]
    profile, codes = PROFILES[vector["profile"]], np.array(vector["codes"], np.uint8)
    sender = Framing(vector["decoder_id"], seal=Sealer(key, tag_bytes, lambda step: epoch))
    assert sender.build(Voice(0, vector["sequence"], codes, vector["end"]), profile).hex() == vector["packet"]
    receiver = Framing(vector["decoder_id"], seal=Opener(key, tag_bytes, Heard(epoch)))
    parsed = receiver.parse(bytes.fromhex(vector["damaged"]))
    assert np.array_equal(parsed.content.codes, codes) and parsed.corrected_bytes == vector["corrected_bytes"]
    assert parsed.content.sequence == epoch * 1024 + vector["sequence"]


@pytest.mark.parametrize("vector", [v for v in VECTORS["packets"] if "key" not in v], ids=lambda vector: vector["name"])
def test_vectors_of_the_protocol(vector: dict) -> None:
    profile, agreed = PROFILES[vector["profile"]], vector.get("protection", {})
    framing = Framing(vector["decoder_id"], Protection(**agreed))
    codes = np.array(vector["codes"], np.uint8)
    sent: Voice | Repair
    if vector.get("type") == "repair":
        sent = Repair(vector["stream"], vector["last"], vector["index"], vector["end"], pack_codes(codes))
    else:
        repeated = np.array(vector["repeated"], np.uint8) if "repeated" in vector else None
        sent = Voice(vector["stream"], vector["sequence"], codes, vector["end"], repeated)
    assert framing.build(sent, profile).hex() == vector["packet"]
    parsed = framing.parse(bytes.fromhex(vector["damaged"]))
    assert framing.build(parsed.content, profile).hex() == vector["packet"]
    assert parsed.corrected_bytes == vector["corrected_bytes"]


@given(profiles, st.integers(0, 2**32), st.data())
def test_marks_of_the_modem_let_the_parity_repair_twice_as_many_bytes(profile: Profile, seed: int, data: st.DataObject) -> None:
    """E wrong bytes at unknown places and U marked ones, 2 E + U <= P; a mark may be wrong about a byte that is right."""
    packet = bytearray(PLAIN.build(voice(profile, seed), profile))
    unknown = data.draw(st.integers(0, profile.parity_bytes // 2 - 1))
    marked = profile.parity_bytes - 2 * unknown
    places = data.draw(st.permutations(range(len(packet))))[: unknown + marked]
    for place in places[: unknown + data.draw(st.integers(0, marked))]:
        packet[place] ^= data.draw(st.integers(1, 255))
    parsed = PLAIN.parse(bytes(packet), unsure=places[unknown:])
    assert np.array_equal(parsed.content.codes, voice(profile, seed).codes)


@given(profiles, st.integers(0, 2**32), st.data())
def test_wrong_marks_cost_nothing(profile: Profile, seed: int, data: st.DataObject) -> None:
    packet = bytearray(PLAIN.build(voice(profile, seed), profile))
    for place in data.draw(st.permutations(range(len(packet))))[: profile.parity_bytes // 2]:
        packet[place] ^= 0x55
    marks = data.draw(st.lists(st.integers(-5, 300), max_size=40))
    assert np.array_equal(PLAIN.parse(bytes(packet), marks).content.codes, voice(profile, seed).codes)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_repeated_codes_grow_the_packet_by_themselves_and_nothing_else(profile: Profile) -> None:
    framing = Framing(7, Protection(repeat=2))
    assert framing.packet_bytes(profile) == PLAIN.packet_bytes(profile) + 2 * profile.frames
    assert framing.on_air_bps(profile) == pytest.approx(PLAIN.on_air_bps(profile) + 200)
    for repeated in (None, voice(profile, 9).codes):
        sent = Voice(1, 2, voice(profile).codes, False, repeated)
        received = framing.parse(framing.build(sent, profile)).content
        assert np.array_equal(received.codes, sent.codes)
        assert (received.repeated is None) == (repeated is None) and (
            repeated is None or np.array_equal(received.repeated, repeated)
        )


@pytest.mark.parametrize(
    "protection", [Protection(8, 2), Protection(4, 1), Protection(10, 3), Protection(32, 4), Protection(1, 1)], ids=str
)
def test_every_number_of_a_repair_packet_survives_the_header(protection: Protection) -> None:
    profile, framing = PROFILES["fast"], Framing(7, protection)
    count = protection.sequence_count
    assert count % protection.block == 0 and count * protection.repairs <= 1024 and count >= 224
    for last, index in itertools.product((0, protection.block - 1, count - 1), range(protection.repairs)):
        sent = Repair(5, last, index, True, bytes(range(8)))
        assert framing.parse(framing.build(sent, profile)).content == sent


@given(st.integers(0, 1023), st.integers(-512, 511))
def test_sequence_differences_cross_the_wrap(start: int, step: int) -> None:
    assert sequence_difference((start + step) % 1024, start) == step
