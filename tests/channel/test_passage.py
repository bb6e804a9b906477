"""Virtual time runs the real chain: what is counted is what was sent, lost and heard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import reedsolo

from channel.passage import Passage, Terms, listen, pass_through
from channel.presets import preset
from channel.recorded import RememberingDecoder, SilentDecoder, encode, frames_needed
from channel.simulator import ChannelConfig
from stream.engine import Decoder, Encoder
from stream.fec import correct, parity
from stream.frame import SAMPLE_RATE_HZ
from stream.profile import PROFILES
from stream.protection import Protection

STANDARD = Terms(PROFILES["standard"], Protection())
PROTECTIONS = (Protection(), Protection(4, 1), Protection(8, 2), Protection(repeat=1))


def passage(encoder: Encoder, terms: Terms, config: ChannelConfig, seconds: float = 60.0, seed: int = 1) -> Passage:
    """Random codes through a link, without anybody who listens."""
    samples = round(seconds * SAMPLE_RATE_HZ)
    codes = np.random.default_rng(5).integers(0, 4, (frames_needed(samples, encoder.meta.shift_samples), 8)).astype(np.uint8)
    return pass_through(codes, samples, encoder.meta, terms, config, seed, SilentDecoder(encoder.meta))


@pytest.mark.parametrize("tag_bytes", (0, 4))
@pytest.mark.parametrize("protection", PROTECTIONS, ids=str)
def test_a_perfect_link_delivers_every_frame(encoder: Encoder, protection: Protection, tag_bytes: int) -> None:
    terms = Terms(PROFILES["standard"], protection, tag_bytes)
    found = passage(encoder, terms, ChannelConfig()).figures
    assert (found.voice_missing, found.frames_unheard, found.frames_wrong, found.voice_wrong) == (0, 0, 0, 0)
    assert found.on_air_bytes == found.packets * terms.packet_bytes
    assert found.packets == found.voice_packets + found.repair_packets + found.control_packets
    assert found.control_packets >= 2  # identities, and epochs where there is a seal
    waited_s = found.delay_sum_s / found.frames_heard
    assert waited_s == pytest.approx(0.64 + 0.1 + terms.delay_s + protection.delay_s(0.64), abs=0.03)
    assert found.delay_p95_s >= waited_s - 1e-9


def test_frames_keep_their_places_when_numbers_begin_again(encoder: Encoder) -> None:
    terms = replace(STANDARD, protection=Protection(8, 2))
    seconds = 1.5 * terms.protection.sequence_count * terms.profile.packet_s
    found = passage(encoder, terms, preset("satellite-geo").config, seconds)
    assert found.figures.voice_missing > 0 and found.figures.frames_wrong == 0
    assert found.figures.frames_unheard <= found.figures.voice_missing * 8
    assert max(each.frame for each in found.played) > terms.protection.sequence_count * 8


def test_losses_are_those_of_the_link(encoder: Encoder) -> None:
    bare = passage(encoder, STANDARD, ChannelConfig(loss_rate=0.2), 640.0).figures
    share, count = bare.voice_missing / bare.voice_packets, bare.voice_packets
    assert abs(share - 0.2) < 3 * (0.2 * 0.8 / count) ** 0.5
    assert bare.frames_unheard == 8 * bare.voice_missing
    repaired = passage(encoder, replace(STANDARD, protection=Protection(4, 2)), ChannelConfig(loss_rate=0.2), 640.0).figures
    # A packet stays lost if at least two of the five others of its block are lost too.
    expected = 0.2 * (1 - 0.8**5 - 5 * 0.2 * 0.8**4)
    assert repaired.frames_unheard / repaired.frames == pytest.approx(expected, abs=0.02)


def test_the_same_seed_is_the_same_passage(encoder: Encoder) -> None:
    config = preset("hf-poor").config
    first, again, other = (passage(encoder, STANDARD, config, seed=seed).figures for seed in (7, 7, 8))
    assert first == again != other


def test_what_does_not_fit_is_known(encoder: Encoder) -> None:
    narrow = replace(STANDARD, profile=PROFILES["narrow"])
    slow = preset("acoustic-200").config
    assert not narrow.fit(slow) and passage(encoder, narrow, slow).figures.queue_dropped > 0
    assert narrow.fit(preset("acoustic-400").config)
    assert passage(encoder, narrow, replace(preset("acoustic-400").config, reception=None)).figures.queue_dropped == 0


def test_a_decoder_that_remembers_plays_the_same_samples(encoder: Encoder, decoder: Decoder, speech: np.ndarray) -> None:
    codes = encode(encoder, speech, STANDARD.profile.frames)
    config = ChannelConfig(loss_rate=0.3, jitter_s=0.3)
    remembering = RememberingDecoder("base")
    for seed in (1, 2):
        plain, remembered, again = (
            listen(
                pass_through(codes, len(speech), encoder.meta, STANDARD, config, seed, one), len(speech), encoder.meta.shift_samples
            )
            for one in (decoder, remembering, remembering)
        )
        for placed, others in zip(plain, zip(remembered, again, strict=True), strict=True):
            assert all(np.array_equal(placed, other) for other in others)
    assert len(plain[0]) == len(speech)


def test_parity_is_the_library_s() -> None:
    rng = np.random.default_rng(3)
    for size, parity_bytes in ((20, 6), (12, 4), (8, 2), (4, 1)):
        data = rng.bytes(size)
        assert data + parity(data, parity_bytes) == bytes(reedsolo.RSCodec(parity_bytes).encode(data))
    codeword = data + parity(data, 1)
    assert correct(codeword, 1) is not None and correct(bytes([codeword[0] ^ 1]) + codeword[1:], 1) is None
