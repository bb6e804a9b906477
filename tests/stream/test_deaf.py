"""A receiver that hears nothing of what comes says why, once, and names the option."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from stream.content import Voice
from stream.deaf import HOPELESS, SUSPICIOUS, decoder_of, kinds_of, protections
from stream.packet import Framing
from stream.profile import PROFILES
from stream.protection import Protection
from stream.receiver import Receiver
from stream.seal import Opener, Sealer
from tests.stream.looks import DECODER_ID, NoCodec, with_wrong_bytes

PROTECTIONS = {
    "none": Protection(),
    "repair 8+2": Protection(8, 2),
    "repair 4+1": Protection(4, 1),
    "repeat 2": Protection(repeat=2),
}
KEY = bytes(range(32))


def packets_of(framing: Framing, profile: str = "standard", count: int = SUSPICIOUS) -> list[bytes]:
    rng, shape = np.random.default_rng(1), (PROFILES[profile].frames, 8)
    codes = [rng.integers(0, 4, shape).astype(np.uint8) for _ in range(count)]
    repeated = codes[0] if framing.protection.repeat else None
    return [framing.build(Voice(2, k, each, repeated=repeated), PROFILES[profile]) for k, each in enumerate(codes)]


def lines_of(framing: Framing, packets: list[bytes]) -> list[str]:
    lines: list[str] = []
    receiver = Receiver(NoCodec(), 0.2, framing, lines.append)  # type: ignore[arg-type]
    for packet in packets:
        receiver.arrive(0.0, packet)
    return lines


@pytest.mark.parametrize(("ours", "theirs"), list(itertools.permutations(PROTECTIONS, 2)))
@pytest.mark.parametrize("profile", PROFILES)
def test_another_protection_is_told_and_the_option_named(ours: str, theirs: str, profile: str) -> None:
    sent = packets_of(Framing(DECODER_ID, PROTECTIONS[theirs]), profile, 6)
    (line,) = lines_of(Framing(DECODER_ID, PROTECTIONS[ours]), sent)
    assert f"{profile} packets" in line and f"protection {theirs}" in line and f"protection {ours} is expected" in line
    assert (f"--{theirs}" if theirs != "none" else f"no --{ours.split()[0]}") in line


def test_another_model_is_told_by_its_decoder() -> None:
    (line,) = lines_of(Framing(DECODER_ID), packets_of(Framing(0xBEEF)))
    assert "decoder beef" in line and "decoder 1234" in line and "--model" in line
    (line,) = lines_of(Framing(DECODER_ID), packets_of(Framing(0xBEEF, Protection(8, 2))))
    assert "--model" in line and "--repair" in line


@pytest.mark.parametrize("tag_bytes", [4, 8])
def test_keys_that_do_not_fit_are_told(tag_bytes: int) -> None:
    pytest.importorskip("cryptography", reason="sealing needs the extra seal: pip install 'clari[seal]'")

    def sealed(key: bytes) -> list[bytes]:
        return packets_of(Framing(DECODER_ID, seal=Sealer(key, tag_bytes, lambda step: 1)))

    (line,) = lines_of(Framing(DECODER_ID), sealed(KEY))
    assert "no key is given" in line and "--key-file" in line and ("--tag-bytes 8" in line) == (tag_bytes == 8)
    (line,) = lines_of(Framing(DECODER_ID, seal=Opener(bytes(32), tag_bytes)), sealed(KEY))
    assert "another key" in line
    (line,) = lines_of(Framing(DECODER_ID, seal=Opener(KEY, tag_bytes)), packets_of(Framing(DECODER_ID)))
    assert "not sealed" in line
    (line,) = lines_of(Framing(DECODER_ID, seal=Opener(KEY, 12 - tag_bytes)), sealed(KEY))
    assert "--tag-bytes" in line
    assert lines_of(Framing(DECODER_ID, seal=Opener(KEY, tag_bytes)), sealed(KEY)) == []


def test_damage_is_no_deafness() -> None:
    """A link that damages one packet after the other, once something was heard, is not told of options."""
    good = packets_of(Framing(DECODER_ID), count=40)
    assert lines_of(Framing(DECODER_ID), [good[0], *(with_wrong_bytes(packet, 9) for packet in good[1:])]) == []


def test_noise_is_told_once_and_again_after_speech() -> None:
    rng, good = np.random.default_rng(0), packets_of(Framing(DECODER_ID))
    noise = [rng.bytes(26) for _ in range(HOPELESS)]
    (line,) = lines_of(Framing(DECODER_ID), noise * 5)
    assert "26 bytes" in line and "clari-tx" in line
    foreign = packets_of(Framing(DECODER_ID, Protection(8, 2)))
    assert len(lines_of(Framing(DECODER_ID), foreign * 3 + good + foreign * 3)) == 2


def test_a_crc_tells_the_decoder_it_was_made_for() -> None:
    packets = packets_of(Framing(0x0FED, Protection(5, 3)))
    (kind,) = kinds_of(packets[0])
    assert {decoder_of(packet, kind, Protection(5, 3)) for packet in packets} == {0x0FED}
    assert [each for each in protections(False) if decoder_of(packets[0], kind, each) == 0x0FED] == [Protection(5, 3)]
