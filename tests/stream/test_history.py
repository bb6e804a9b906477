"""What a receiver says became of its packets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.content import Voice
from stream.history import KEPT_MARKS, WINDOW_PACKETS, Fate
from stream.level import QUIETEST_DB
from stream.packet import Framing
from stream.protection import Protection
from stream.receiver import Receiver
from stream.seal import Opener, Sealer
from tests.stream.looks import DECODER_ID, FAST, look_at_receiver, receiver_with, run, voice_packets, with_wrong_bytes

PACKET_BITS = 16 * 8


def at_their_times(packets: list[bytes], lost: tuple[int, ...] = ()) -> list[tuple[float, bytes]]:
    return [(0.32 * place, packet) for place, packet in enumerate(packets) if place not in lost]


def test_a_clean_link_has_only_received_packets() -> None:
    history = run(receiver_with(), at_their_times(voice_packets(10)), 5.0).history
    assert history.strip == "r" * 10
    assert history.loss() == (0.0, 0.0, 10)
    assert history.bit_error_rate() == 0.0


def test_every_fate_stands_at_its_number() -> None:
    """Packet 2 is corrected, 4 comes late, 6 is lost, 8 is damaged beyond repair."""
    packets = voice_packets(10)
    packets[2] = with_wrong_bytes(packets[2], 2)
    packets[8] = with_wrong_bytes(packets[8], 12)
    arrivals = at_their_times(packets, lost=(4, 6))
    arrivals.append((0.32 * 4 + 0.9, packets[4]))
    history = run(receiver_with(), arrivals, 6.0).history
    assert "".join(letter for letter in history.strip if letter != "d") == "rrcrlrxrxr"
    assert history.strip.count("d") == 1  # it has no number: the hole that it leaves is concealed
    before, after, count = history.loss()
    assert (before, after, count) == (4 / 10, 3 / 10, 10)
    # Nine packets were read or refused with errors counted; the worst one counts with three, one more than is repaired.
    assert history.bit_error_rate() == pytest.approx((2 + 3) / (9 * PACKET_BITS))


def test_waiting_is_measured_and_a_jump_of_numbers_does_not_change_it() -> None:
    """Two talk spurts; the second begins with another number than the time would give, as blocks of repair packets need."""
    second = voice_packets(6, first=11)
    arrivals = at_their_times(voice_packets(6)) + [(4.0 + 0.32 * place, packet) for place, packet in enumerate(second)]
    receiver = receiver_with()
    assert look_at_receiver(receiver).delay_s == 0.0
    for until_s in (1.5, 4.2, 4.6, 7.0):
        receiver = receiver_with()
        receiver.playout.numbers_skip = True
        assert look_at_receiver(run(receiver, arrivals, until_s)).jitter_delay_s == pytest.approx(0.2)
    quiet, loud = look_at_receiver(receiver), look_at_receiver(run(receiver_with(), arrivals, 1.5))
    assert quiet.level_db == QUIETEST_DB < loud.level_db and loud.playing


def test_restored_packets_are_lost_before_repair_and_not_after() -> None:
    protection = Protection(repeat=1)
    framing = Framing(DECODER_ID, protection)
    bare = [framing.parse(packet).content for packet in voice_packets(8, protection)]
    voices = [voice for voice in bare if isinstance(voice, Voice)]
    packets = [
        framing.build(Voice(2, k, voice.codes, voice.end, voices[k - 1].codes if k else None), FAST)
        for k, voice in enumerate(voices)
    ]
    history = run(receiver_with(protection), at_their_times(packets, lost=(3,)), 5.0).history
    assert history.strip == "rrrsrrrr"
    assert history.loss() == (1 / 8, 0.0, 8)


def test_a_packet_that_is_missing_is_expected_until_its_time_comes() -> None:
    receiver = receiver_with()
    packets = voice_packets(4)
    for place in (0, 2):
        receiver.arrive(0.0, packets[place])
    assert receiver.history.strip == "r.r"
    assert receiver.history.loss() == (0.0, 0.0, 2)  # nothing is known of it yet
    receiver.arrive(0.1, packets[1])
    assert receiver.history.strip == "rrr"


def test_silence_between_talk_spurts_is_no_loss() -> None:
    spurts = at_their_times(voice_packets(4)) + [
        (8.0 + when_s, packet) for when_s, packet in at_their_times(voice_packets(4, first=25))
    ]
    history = run(receiver_with(), spurts, 12.0).history
    assert history.strip == "r" * 8
    assert history.loss() == (0.0, 0.0, 8)


def test_a_sender_that_starts_anew_is_another_stream() -> None:
    again = [(10.0 + when_s, packet) for when_s, packet in at_their_times(voice_packets(4, stream=5))]
    history = run(receiver_with(), at_their_times(voice_packets(4)) + again, 14.0).history
    assert history.strip == "r" * 8
    same = [(10.0 + when_s, packet) for when_s, packet in at_their_times(voice_packets(5))]  # by chance the same stream number
    assert run(receiver_with(), at_their_times(voice_packets(4)) + same, 14.0).history.strip == "r" * 9


def test_forged_and_replayed_packets_are_marked() -> None:
    key = bytes(32)
    sealer, opener = Sealer(key, 4, lambda step: 1), Opener(key, 4)
    framing = Framing(DECODER_ID, seal=sealer)
    codes = [voice.codes for voice in (Framing(DECODER_ID).parse(packet).content for packet in voice_packets(2))]  # type: ignore[union-attr]
    packets = [framing.build(Voice(0, k, each), FAST) for k, each in enumerate(codes)]
    receiver = Receiver(receiver_with()._decoder, 0.2, Framing(DECODER_ID, seal=opener))  # type: ignore[arg-type]
    for packet in (packets[0], packets[0], bytes(16), packets[1]):
        receiver.arrive(0.0, packet)
    strip = receiver.history.strip
    assert strip[0] == "r" and strip[-1] == "r" and "y" in strip and len(strip) == 4
    assert receiver.stats.forged_packets + receiver.stats.rejected_packets == strip.count("f") + strip.count("d") == 1


def test_the_history_keeps_the_newest_and_no_more() -> None:
    packets = voice_packets(KEPT_MARKS + 50)
    receiver = receiver_with()
    for place, packet in enumerate(packets):
        receiver.arrive(0.32 * place, packet)
        for _ in receiver.play(0.32 * place):
            pass
    assert receiver.history.strip == "r" * KEPT_MARKS
    assert receiver.history.marked == KEPT_MARKS + 50
    assert receiver.history.loss()[2] == WINDOW_PACKETS
    assert len(receiver.history._known) == KEPT_MARKS


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3000), st.integers(0, 16)), max_size=40),
    st.lists(st.binary(max_size=40), max_size=5),
)
def test_whatever_arrives_every_letter_is_known_and_shares_are_shares(
    arrivals: list[tuple[int, int, int]], noise: list[bytes]
) -> None:
    packets = voice_packets(31)
    timed = [(ms / 1000 + 0.32 * number, with_wrong_bytes(packets[number], wrong)) for number, ms, wrong in arrivals]
    receiver = run(receiver_with(), timed + [(1.0, each) for each in noise], 14.0)
    assert all(Fate(letter) for letter in receiver.history.strip)
    before, after, count = receiver.history.loss()
    assert 0 <= after <= before <= 1 and count <= len(receiver.history.strip)
    assert 0 <= receiver.history.bit_error_rate() < 0.5
    look_at_receiver(receiver)
