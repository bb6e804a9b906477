"""Packets to the bit, their repair, and what is not one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import UsageError
from stream.packet import (
    BY_SIZE,
    PROFILES,
    PacketError,
    Profile,
    Voice,
    build,
    find_profile,
    pack_codes,
    parse,
    sequence_difference,
    unpack_codes,
)

VECTORS = json.loads((Path(__file__).parent / "packet_vectors.json").read_text(encoding="utf-8"))
profiles = st.sampled_from(list(PROFILES.values()))


def voice(profile: Profile, seed: int = 0, sequence: int = 5, stream: int = 2, end: bool = False) -> Voice:
    codes = np.random.default_rng(seed).integers(0, 4, (profile.frames, 8)).astype(np.uint8)
    return Voice(stream, sequence, codes, end)


@pytest.mark.parametrize(
    ("name", "bytes_", "speech_s", "bps"), [("fast", 16, 0.32, 400), ("standard", 26, 0.64, 325), ("narrow", 32, 0.96, 266.67)]
)
def test_profiles_are_what_the_protocol_says(name: str, bytes_: int, speech_s: float, bps: float) -> None:
    profile = PROFILES[name]
    assert (profile.packet_bytes, profile.packet_s) == (bytes_, pytest.approx(speech_s))
    assert profile.on_air_bps == pytest.approx(bps, abs=0.01)


def test_sizes_tell_profiles_apart() -> None:
    assert len(BY_SIZE) == len(PROFILES)
    with pytest.raises(UsageError, match="fast, standard, narrow"):
        find_profile("wide")


@given(profiles, st.integers(0, 2**32), st.integers(0, 1023), st.integers(0, 7), st.booleans(), st.integers(0, 0xFFFF))
def test_round_trip(profile: Profile, seed: int, sequence: int, stream: int, end: bool, decoder_id: int) -> None:
    sent = voice(profile, seed, sequence, stream, end)
    packet = build(sent, profile, decoder_id)
    assert len(packet) == profile.packet_bytes
    received, correction = parse(packet, decoder_id)
    assert (received.stream, received.sequence, received.end, correction.corrected_bytes) == (stream, sequence, end, 0)
    assert np.array_equal(received.codes, sent.codes)


@given(profiles, st.integers(0, 2**32), st.data())
def test_parity_repairs_half_as_many_bytes_anywhere(profile: Profile, seed: int, data: st.DataObject) -> None:
    packet = bytearray(build(voice(profile, seed), profile, 7))
    wrong = data.draw(st.sets(st.integers(0, len(packet) - 1), min_size=1, max_size=profile.parity_bytes // 2))
    for place in wrong:
        packet[place] ^= data.draw(st.integers(1, 255))
    received, correction = parse(bytes(packet), 7)
    assert np.array_equal(received.codes, voice(profile, seed).codes)
    assert correction.corrected_bytes == len(wrong)


@given(st.binary(max_size=64))
def test_strangers_bytes_are_refused_without_surprise(data: bytes) -> None:
    try:
        received, _ = parse(data, 7)
    except PacketError:
        return
    assert len(data) in BY_SIZE and received.codes.shape == (BY_SIZE[len(data)].frames, 8)  # one in 65536 gets through


def test_garbage_gets_through_about_as_rarely_as_a_16_bit_checksum_allows() -> None:
    rng = np.random.default_rng(1)
    accepted = 0
    for _ in range(3000):
        size = int(rng.choice(list(BY_SIZE)))
        try:
            parse(rng.bytes(size), 7)
            accepted += 1
        except PacketError:
            pass
    assert accepted <= 1


def test_another_decoder_is_refused() -> None:
    profile = PROFILES["standard"]
    packet = build(voice(profile), profile, 1234)
    parse(packet, 1234)
    with pytest.raises(PacketError, match="another decoder"):
        parse(packet, 1235)


def test_an_unknown_type_is_refused() -> None:
    from stream.fec import parity
    from stream.packet import checksum

    profile = PROFILES["fast"]
    data = bytes([0x40, 0]) + bytes(8)
    data += checksum(profile, 7, data)
    with pytest.raises(PacketError, match="type 1"):
        parse(data + parity(data, profile.parity_bytes), 7)


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


@pytest.mark.parametrize("vector", VECTORS["packets"], ids=lambda vector: vector["profile"])
def test_vectors_of_the_protocol(vector: dict) -> None:
    profile = PROFILES[vector["profile"]]
    sent = Voice(vector["stream"], vector["sequence"], np.array(vector["codes"], np.uint8), vector["end"])
    assert build(sent, profile, vector["decoder_id"]).hex() == vector["packet"]
    received, correction = parse(bytes.fromhex(vector["damaged"]), vector["decoder_id"])
    assert np.array_equal(received.codes, sent.codes)
    assert correction.corrected_bytes == vector["corrected_bytes"]


@given(st.integers(0, 1023), st.integers(-512, 511))
def test_sequence_differences_cross_the_wrap(start: int, step: int) -> None:
    assert sequence_difference((start + step) % 1024, start) == step
