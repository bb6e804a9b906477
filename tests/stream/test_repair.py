"""Repair across packets: every pattern of losses, and never a wrong code."""

from __future__ import annotations

import io
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import rate
from stream.content import Repair, Voice
from stream.engine import Decoder, Encoder
from stream.errors import UsageError
from stream.fec import repair_parts, restore_parts
from stream.packet import TYPE_VOICE, Framing, packet_type
from stream.playback import play_packets
from stream.profile import PROFILES, Profile
from stream.protection import Protection
from stream.receiver import Receiver
from stream.repair import BlockBuilder, BlockRepair
from stream.sender import Sender, send
from stream.sinks import NullSink
from tests.conftest import speech_like
from tests.stream.test_chain import Memory

FAST = PROFILES["fast"]
EIGHT_TWO = Protection(8, 2)


def block_of(protection: Protection, count: int, first: int = 0, seed: int = 0, stream: int = 2) -> list[Voice | Repair]:
    """A block of `count` random voice packets, ended early if it is short, and its repair packets."""
    rng, builder = np.random.default_rng(seed), BlockBuilder(protection)
    voices = [
        Voice(stream, first + k, rng.integers(0, 4, (4, 8)).astype(np.uint8), count < protection.block and k == count - 1)
        for k in range(count)
    ]
    repairs = [builder.add(voice) for voice in voices]
    assert not any(repairs[:-1]) and len(repairs[-1]) == protection.repairs
    return [*voices, *repairs[-1]]


def restored(protection: Protection, arrived: list[Voice | Repair]) -> list[Voice]:
    repair = BlockRepair(protection)
    return [voice for content in arrived for voice in repair.add(0.0, content, FAST)]


@pytest.mark.parametrize("count", range(1, 9))
def test_8_plus_2_restores_every_pattern_of_losses_and_never_a_wrong_code(count: int) -> None:
    """All 2^(count + 2) patterns of a block: up to two losses come back whole, of more nothing is invented."""
    sent = block_of(EIGHT_TWO, count, first=504, seed=count)
    for kept in itertools.product((True, False), repeat=count + 2):
        arrived = [content for content, keep in zip(sent, kept, strict=True) if keep]
        lost = [content for content, keep in zip(sent[:count], kept, strict=False) if not keep]
        found = restored(EIGHT_TWO, arrived)
        if kept.count(False) > 2:
            assert found == []
            continue
        assert [voice.sequence for voice in found] == [voice.sequence for voice in lost]
        for voice, original in zip(found, lost, strict=True):
            assert np.array_equal(voice.codes, original.codes) and (voice.end, voice.stream) == (original.end, original.stream)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 32), st.integers(1, 4), st.integers(0, 2**32), st.data())
def test_any_parameters_and_any_order_of_arrival(block: int, repairs: int, seed: int, data: st.DataObject) -> None:
    protection = Protection(block, min(repairs, block))
    count = data.draw(st.integers(1, block))
    sent = block_of(protection, count, seed=seed)
    order = data.draw(st.permutations(range(len(sent))))[protection.repairs :]
    arrived = [sent[place] for place in order]
    found = {voice.sequence: voice.codes for voice in restored(protection, [*arrived, *arrived[:3]])}
    assert sorted(found) == [place for place in range(count) if place not in order]
    assert all(np.array_equal(codes, sent[place].codes) for place, codes in found.items())


def test_two_transmissions_in_one_block_are_not_mixed() -> None:
    """A restarted sender may draw the same stream number: what is left of the former must not reach into its codes."""
    former, new = block_of(EIGHT_TWO, 8, seed=1), block_of(EIGHT_TWO, 8, seed=2)
    assert restored(EIGHT_TWO, [*former[:3], *new[2:]])[-2:] != []
    for voice in restored(EIGHT_TWO, [*former[:3], *new[2:]]):
        assert np.array_equal(voice.codes, new[voice.sequence].codes)
    repair = BlockRepair(EIGHT_TWO)
    for content in former[:2]:
        repair.add(0.0, content, FAST)
    for content in new[2:8] + new[9:]:  # an outage of the block's length later, two packets short
        assert repair.add(500.0, content, FAST) == []


def test_four_blocks_are_kept() -> None:
    repair = BlockRepair(EIGHT_TWO)
    for number in range(6):
        repair.add(0.0, block_of(EIGHT_TWO, 8, first=8 * number)[0], FAST)
        assert [block.first // 8 for block in repair._blocks] == list(range(number + 1))[-4:]


def test_parts_that_contradict_each_other_restore_nothing() -> None:
    parts = [bytes([k, 2 * k]) for k in range(8)]
    whole = dict(enumerate([*parts, *repair_parts(parts, 2)]))
    assert restore_parts({place: part for place, part in whole.items() if place != 3}, 8, 2) == {3: parts[3]}
    assert restore_parts({place: part for place, part in whole.items() if place != 3} | {5: b"xx"}, 8, 2) is None


def air_of(encoder: Encoder, protection: Protection, profile: Profile = FAST, seconds: float = 12.0) -> tuple[list[bytes], Sender]:
    memory, framing = Memory(), Framing(encoder.meta.decoder_id, protection)
    sender = Sender(encoder, profile, 3, framing)
    send(sender, [speech_like(seconds)], memory, None)
    return memory.packets, sender


def timed(packets: list[bytes], protection: Protection, profile: Profile = FAST) -> list[tuple[float, bytes]]:
    """Arrival times on a link that carries the rate of the profile and protection and no more."""
    air_s, free_s, spoken, arrivals = profile.packet_s / protection.packets_per_voice, 0.0, 0, []
    for packet in packets:
        spoken += packet_type(packet) == TYPE_VOICE
        free_s = max(free_s, spoken * profile.packet_s) + air_s
        arrivals.append((free_s, packet))
    return arrivals


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
@pytest.mark.parametrize("protection", [Protection(8, 2), Protection(4, 1), Protection(6, 3)], ids=str)
def test_a_stream_survives_the_stated_losses_within_the_stated_delay(
    encoder: Encoder, decoder: Decoder, protection: Protection, profile: Profile
) -> None:
    """R packets of every block are lost, the first among them; with no spare delay at all nothing is concealed."""
    packets, sender = air_of(encoder, protection, profile, 24.0)
    size = protection.block + protection.repairs
    spurt_end = [place for place in range(len(packets)) if place % size < protection.repairs]
    kept = [arrival for place, arrival in enumerate(timed(packets, protection, profile)) if place not in spurt_end]
    receiver = Receiver(decoder, 0.01, sender.framing)
    for arrival_s, packet in kept:
        list(receiver.play(arrival_s))
        receiver.arrive(arrival_s, packet)
    list(receiver.rest())
    voices = sum(packet_type(packet) == TYPE_VOICE for packet in packets)
    assert receiver.stats.concealed_frames == 0
    assert receiver.stats.frames == voices * profile.frames
    assert receiver.stats.restored_packets == sum(packet_type(packets[place]) == TYPE_VOICE for place in spurt_end)
    assert len(packets) - voices == sender.stats.repair_packets == -(-voices // protection.block) * protection.repairs


def test_playout_waits_for_repair_no_longer_than_stated(encoder: Encoder, decoder: Decoder) -> None:
    packets, sender = air_of(encoder, EIGHT_TWO)
    receiver = Receiver(decoder, 0.2, sender.framing)
    receiver.arrive(10.0, packets[0])
    assert receiver.playout.next_due_s == pytest.approx(10.0 + 0.2 + 7 * 0.32 + 2 * 0.32 * 8 / 10)


@pytest.mark.parametrize("repeat", [1, 2, 3])
def test_repeated_codes_survive_bursts(encoder: Encoder, decoder: Decoder, repeat: int) -> None:
    protection = Protection(repeat=repeat)
    packets, sender = air_of(encoder, protection)
    lost = {place for place in range(4, len(packets) - repeat, 2 * repeat) for place in range(place, place + repeat)}
    lost -= set(range(len(packets) - repeat, len(packets)))  # nothing comes after the last ones to repeat them
    receiver = Receiver(decoder, 0.01, sender.framing)
    for place, packet in enumerate(packets):
        list(receiver.play(place * 0.32))
        if place not in lost:
            receiver.arrive(place * 0.32, packet)
    list(receiver.rest())
    assert receiver.stats.restored_packets == len(lost) and receiver.stats.concealed_frames == 0
    assert receiver.stats.frames == len(packets) * 4


def test_a_late_joiner_hears_what_the_first_packet_repeats(encoder: Encoder, decoder: Decoder) -> None:
    packets, sender = air_of(encoder, Protection(repeat=2))
    receiver = Receiver(decoder, 0.2, sender.framing)
    for place in range(10, 14):
        receiver.arrive(place * 0.32, packets[place])
    list(receiver.rest())
    assert receiver.stats.first_frame == 8 * 4 and receiver.stats.concealed_frames == 0
    assert receiver.stats.added_delay_s == 0


@pytest.mark.parametrize("protection", [EIGHT_TWO, Protection(4, 1), Protection(repeat=2)], ids=str)
def test_protected_packets_in_a_file(encoder: Encoder, decoder: Decoder, protection: Protection) -> None:
    packets, sender = air_of(encoder, protection)
    voices = sum(packet_type(packet) == TYPE_VOICE for packet in packets)
    kept = [packet for place, packet in enumerate(packets) if place % 7 != 3]
    receiver = Receiver(decoder, 0.2, sender.framing)
    play_packets(receiver, io.BytesIO(b"".join(kept)).read1, NullSink(), None)
    assert receiver.stats.concealed_frames == 0 and receiver.stats.frames == voices * 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4000)), max_size=60))
def test_packets_in_any_order_at_any_time_never_restore_a_wrong_code(arrivals: list[tuple[int, int]]) -> None:
    """Packets of two talk spurts of one stream, lost, repeated and in disorder."""
    sent = [*block_of(EIGHT_TWO, 8), *block_of(EIGHT_TWO, 3, 8, 1), *block_of(EIGHT_TWO, 8, 16, 2)]
    truth = {content.sequence: content.codes for content in sent if isinstance(content, Voice)}
    repair, now_s = BlockRepair(EIGHT_TWO), 0.0
    for place, gap_ms in arrivals:
        now_s += gap_ms / 1000
        for voice in repair.add(now_s, sent[place % len(sent)], FAST):
            assert np.array_equal(voice.codes, truth[voice.sequence])


@pytest.mark.parametrize(
    ("repair", "repeat", "says"),
    [
        ("8", None, "8+2"),
        ("x+y", None, "8+2"),
        ("0+0", None, "at least one packet"),
        ("8+0", None, "from 1 to 4"),
        ("2+3", None, "not more than K"),
        ("33+1", None, "up to 32"),
        ("8+5", None, "from 1 to 4"),
        ("8+2", 1, "cannot be combined"),
        (None, 0, "1 to 16"),
        (None, 17, "1 to 16"),
    ],
)
def test_impossible_protection_names_the_cure(repair: str | None, repeat: int | None, says: str) -> None:
    with pytest.raises(UsageError, match=None) as error:
        Protection.parse(repair, repeat)
    assert says in str(error.value)


def test_clari_rate_says_what_goes_on_air(capsys: pytest.CaptureFixture[str]) -> None:
    assert rate.main([]) == 0
    printed = capsys.readouterr().out
    for row in (
        "| fast | none | CRC | 16 bytes | 400.0 bit/s | 0.00 s | none |",
        "| standard | repair 8+2 | CRC | 26 bytes | 406.2 bit/s | 5.50 s | any 2 of 10 packets |",
        "| narrow | repeat 1 | CRC | 56 bytes | 466.7 bit/s | 0.96 s | bursts of 1, if the next 1 arrive |",
    ):
        assert row in printed
    assert rate.main(["--profile", "fast", "--repair", "10+3", "--json", "-"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["on_air_bps"] == 520.0 and row["added_delay_s"] == pytest.approx(9 * 0.32 + 3 * 0.32 * 10 / 13, abs=1e-3)


def test_clari_rate_says_what_fits_into_a_link(capsys: pytest.CaptureFixture[str]) -> None:
    assert rate.main(["--link-bps", "330"]) == 0
    printed = capsys.readouterr().out
    assert "standard | none" in printed and "narrow | repair 8+2" not in printed and "fast" not in printed
    assert rate.main(["--profile", "narrow", "--link-bps", "266.67"]) == 0  # a little more than 800/3, the rate itself
    assert rate.main(["--profile", "standard", "--repair", "8+2", "--link-bps", "406.2"]) == 2  # less than 406.25
    assert "406.2; choose another profile or less protection, or a faster link" in capsys.readouterr().err
