"""Silence is not sent: the detector, what it saves, and what is heard all the same."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream import rx, tx
from stream.content import Repair, Voice
from stream.engine import Decoder, Encoder
from stream.front import Front
from stream.keying import Keying, Mode
from stream.packet import TYPE_VOICE, Framing, packet_type
from stream.playback import play_packets
from stream.profile import PROFILES
from stream.protection import Protection
from stream.receiver import Receiver
from stream.ruler import DECODER_ID, RulerEncoder
from stream.seal import Opener, Sealer
from stream.sender import Sender, send
from stream.vad import VoiceActivity
from tests.conftest import SAMPLE_RATE_HZ, speech_like
from tests.stream.test_chain import Memory

FAST = PROFILES["fast"]
PROTECTIONS = [Protection(), Protection(4, 1), Protection(8, 2), Protection(repeat=2)]


def talk(pauses_s: tuple[float, ...] = (2.0, 1.2)) -> np.ndarray:
    """A second of speech before, between and after pauses."""
    parts = [speech_like(1.0, seed=1)]
    for pause_s in pauses_s:
        parts += [np.zeros(round(pause_s * SAMPLE_RATE_HZ), np.float32), speech_like(1.0, seed=2)]
    return np.concatenate(parts)


def active_share(pcm: np.ndarray) -> float:
    activity = VoiceActivity()
    return float(np.mean([activity.active(pcm[k : k + 1280]) for k in range(0, len(pcm) - 1279, 1280)]))


def test_speech_is_active_at_any_level_and_silence_is_not() -> None:
    assert active_share(np.zeros(160_000, np.float32)) == 0
    for level in (0.02, 0.1, 0.5):
        assert active_share(speech_like(10.0, level=level)) > 0.5  # of 80 ms each; syllables, and gaps between them
    assert active_share(np.full(160_000, np.nan, np.float32)) == 0


def test_codes_of_a_talk_spurt_are_not_repeated_when_its_numbers_come_again() -> None:
    framing = Framing(DECODER_ID, Protection(repeat=1))
    sender = Sender(RulerEncoder(), FAST, 0, framing, front=Front(keying=Keying(Mode.VOX)))
    loud = np.tile(np.repeat(np.array([0.1, 0.001], np.float32), 1280), FAST.frames)
    silent_packet = np.zeros(FAST.frames * 1280, np.float32)

    def voices(packets: list[bytes]) -> list[Voice]:
        return [content for packet in packets if isinstance(content := framing.parse(packet).content, Voice)]

    sent, numbers = 0, []
    for pcm in (loud, *[silent_packet] * 9):
        numbers += [voice.sequence for voice in voices(sender.push(pcm))]
        sent += len(pcm) // len(silent_packet)
    while sent % framing.sequence_count != numbers[-1] + 1:
        assert not voices(sender.push(silent_packet))
        sent += 1
    later = voices(sender.push(loud))
    assert later[0].sequence == numbers[-1] + 1 and later[0].repeated is None
    assert later[1].repeated is not None and np.array_equal(later[1].repeated, later[0].codes)


@pytest.mark.parametrize("noise", [0.0005, 0.003, 0.02])
def test_steady_noise_is_learnt_and_speech_above_it_is_heard(noise: float) -> None:
    rng, activity = np.random.default_rng(1), VoiceActivity()
    room = (noise * rng.standard_normal(20 * SAMPLE_RATE_HZ)).astype(np.float32)
    decisions = [activity.active(room[k : k + 1280]) for k in range(0, len(room) - 1279, 1280)]
    assert sum(decisions[125:]) <= 2  # after ten seconds
    speech = speech_like(2.0, level=20 * noise) + room[: 2 * SAMPLE_RATE_HZ]
    assert np.mean([activity.active(speech[k : k + 1280]) for k in range(0, len(speech) - 1279, 1280)]) > 0.5


def sent(encoder: Encoder, pcm: np.ndarray, protection: Protection, vad: bool = True) -> tuple[list[bytes], Sender]:
    memory = Memory()
    sender = Sender(
        encoder, FAST, 3, Framing(encoder.meta.decoder_id, protection), front=Front(keying=Keying(Mode.VOX if vad else Mode.OPEN))
    )
    send(sender, [pcm], memory, None)
    return memory.packets, sender


@pytest.mark.parametrize("protection", PROTECTIONS, ids=str)
def test_pauses_are_not_sent_and_every_talk_spurt_ends(encoder: Encoder, protection: Protection) -> None:
    packets, sender = sent(encoder, talk(), protection)
    contents = [Framing(encoder.meta.decoder_id, protection).parse(packet).content for packet in packets]
    voices = [content for content in contents if isinstance(content, Voice)]
    assert sum(voice.end for voice in voices) == 3 and voices[-1].end
    total = len([packet for packet in sent(encoder, talk(), protection, vad=False)[0] if packet_type(packet) == TYPE_VOICE])
    assert len(voices) + sender.stats.silent_packets == total
    assert sender.stats.silent_packets >= 4  # of 3.2 s of silence, less one packet a talk spurt
    assert sender.stats.saved_share == sender.stats.silent_packets / total
    assert sender.stats.on_air_bytes == sum(map(len, packets))
    if not protection.block:
        assert voices[-1].sequence == total - 1  # numbers are the time
    for repair in contents:
        if isinstance(repair, Repair):
            block = [voice.sequence for voice in voices if voice.sequence // protection.block == repair.last // protection.block]
            assert block == list(range(block[0], repair.last + 1)) and block[0] % protection.block == 0


@pytest.mark.parametrize("protection", PROTECTIONS, ids=str)
def test_pauses_are_no_loss_and_stay_where_they_were(encoder: Encoder, decoder: Decoder, protection: Protection) -> None:
    pcm = talk()
    packets, sender = sent(encoder, pcm, protection)
    receiver, memory = Receiver(decoder, 0.2, sender.framing), Memory()
    receiver.keep_pauses = True
    play_packets(receiver, io.BytesIO(b"".join(packets)).read1, memory, None)
    assert receiver.stats.concealed_frames == receiver.stats.trailing_frames == receiver.stats.late_packets == 0
    heard = np.concatenate(memory.pcm)
    if not protection.block:  # a block that ends early makes the pause after it as long as the block
        assert abs(len(heard) - len(pcm)) < 3 * 0.32 * SAMPLE_RATE_HZ
        middle = slice(round(1.9 * SAMPLE_RATE_HZ), round(2.7 * SAMPLE_RATE_HZ))
        assert np.abs(heard[middle]).max() < 0.02 < np.abs(heard[:SAMPLE_RATE_HZ]).max()


@pytest.mark.parametrize("protection", [Protection(4, 1), Protection(8, 2)], ids=str)
def test_losses_in_short_talk_spurts_are_repaired(encoder: Encoder, decoder: Decoder, protection: Protection) -> None:
    packets, sender = sent(encoder, talk((0.7, 1.5, 3.0)), protection)
    kept, since = [], 0
    for packet in packets:  # the first packet of every block is lost
        voice = packet_type(packet) == TYPE_VOICE
        if not (voice and since == 0):
            kept.append(packet)
        since = since + 1 if voice else 0
    receiver = Receiver(decoder, 0.2, sender.framing)
    play_packets(receiver, io.BytesIO(b"".join(kept)).read1, Memory(), None)
    assert receiver.stats.restored_packets == len(packets) - len(kept) > 3
    assert receiver.stats.concealed_frames == 0


def test_sealed_speech_with_pauses_longer_than_the_numbers(encoder: Encoder) -> None:
    pytest.importorskip("cryptography", reason="sealing needs the extra seal: pip install 'clari[seal]'")
    protection, epochs = Protection(8, 4), iter(range(2, 100))
    sender = Sender(encoder, FAST, 0, Framing(7, protection, Sealer(bytes(32), 4, lambda step: next(epochs))))
    receiver, newest = Framing(7, protection, Opener(bytes(32), 4)), -1
    for pause in (100, 250, 256, 300, 700):
        sender._speaking, sender._active = False, True
        for packet in sender.push(speech_like(0.64)):
            content = receiver.parse(packet).content
            if isinstance(content, Voice):
                assert content.sequence > newest
                newest = content.sequence
        for _ in range(pause):
            sender._advance(sent=False)


def test_silence_through_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wav, air, out = tmp_path / "talk.wav", tmp_path / "air", tmp_path / "heard.wav"
    soundfile.write(wav, talk((3.0,)), SAMPLE_RATE_HZ)
    sizes = []
    for options in ([], ["--no-vad"]):
        stats = tmp_path / "tx.json"
        assert tx.main(["--in", str(wav), "--out", str(air), "-f", "-p", "fast", "--stats", str(stats), *options]) == 0
        figures = json.loads(stats.read_text())
        sizes.append(air.stat().st_size)
        assert figures["on_air_bytes"] == sizes[-1] and (figures["saved_share"] > 0.3) == (not options)
        assert ("silence not sent" in capsys.readouterr().err) == (not options)
        assert rx.main(["--in", str(air), "--out", str(out), "-f", "-q"]) == 0
        assert soundfile.info(out).duration == pytest.approx(5.0, abs=0.7)
    assert sizes[0] < 0.7 * sizes[1]
