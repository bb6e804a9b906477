"""The whole codec: packets are causal, decoding frame by frame is decoding at once, and a file of weights is read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from codec.network.codec import PITCH_STEPS, Codec, decide
from codec.network.decoder import Scores
from codec.network.encoder import PhoneEncoder
from codec.network.weights import load_codec, load_phone_encoder, save_codec
from codec.settings import NetworkSettings
from stream.errors import ClariError
from stream.frame import SAMPLES_PER_FRAME

SMALL = NetworkSettings(head_width=32, head_blocks=1, decoder_widths=(32, 24, 16), decoder_blocks=(1, 1, 1))
ABOUT = {"training": "a test", "training_revision": "abc", "configuration": "{}"}


@pytest.fixture(scope="module")
def codec() -> Codec:
    torch.manual_seed(1)
    return Codec(SMALL).eval().requires_grad_(False)


def speech(codes: int) -> torch.Tensor:
    return 0.1 * torch.randn(1, codes * SAMPLES_PER_FRAME, generator=torch.Generator().manual_seed(2))


def encoded(codec: Codec, samples: torch.Tensor, sizes: tuple[int, ...]) -> torch.Tensor:
    state, codes, begin = codec.encoder_state(1), [], 0
    for size in sizes:
        found, state = codec.encode(samples[:, begin : begin + size * SAMPLES_PER_FRAME], state)
        codes.append(found)
        begin += size * SAMPLES_PER_FRAME
    return torch.cat(codes, 1)


@pytest.mark.parametrize("size", [4, 8])
def test_what_comes_after_a_packet_changes_no_code_of_it(codec: Codec, size: int) -> None:
    samples = speech(3 * size)
    silenced = samples.clone()
    silenced[:, 2 * size * SAMPLES_PER_FRAME :] = 0
    first, second = (encoded(codec, each, (size,) * 3) for each in (samples, silenced))
    assert torch.equal(first[:, : 2 * size], second[:, : 2 * size])
    assert not torch.equal(first, second)


def test_frame_by_frame_is_decoded_as_at_once(codec: Codec) -> None:
    generator = torch.Generator().manual_seed(3)
    codes = torch.randint(0, 4, (1, 12, 8), generator=generator)
    lost = (torch.rand(1, 12, generator=generator) < 0.3).float()
    whole, _ = codec.decode(codes, lost, codec.decoder_state(1))
    state, parts = codec.decoder_state(1), []
    for frame in range(12):
        samples, state = codec.decode(codes[:, frame : frame + 1], lost[:, frame : frame + 1], state)
        parts.append(samples)
    assert whole.shape == (1, 12 * SAMPLES_PER_FRAME)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-4)


def test_the_delay_is_at_most_210_ms_behind_the_packet(codec: Codec) -> None:
    assert codec.shift_samples == 16 * 210
    assert codec.delay_samples == codec.shift_samples + SAMPLES_PER_FRAME


def test_one_phone_is_decided_and_pitch_comes_in_steps() -> None:
    phones = torch.tensor([[[0.1, 2.0, 1.9], [3.0, 0.0, 0.0]]])
    line = torch.tensor([[0.1234, -0.4]])
    said = decide(Scores(phones, phones, line, line, line, line))
    assert said.phones.tolist() == [[[0, 1, 0], [1, 0, 0]]]
    assert torch.allclose(said.pitch * PITCH_STEPS, (line * PITCH_STEPS).round())
    assert torch.allclose(said.voicing, torch.sigmoid(line))


def test_weights_are_read_back(codec: Codec, tmp_path: Path) -> None:
    encoder = PhoneEncoder()
    save_codec(tmp_path / "mine.safetensors", codec, encoder, ABOUT)
    again, about = load_codec(tmp_path / "mine.safetensors")
    assert about == ABOUT and again.settings == SMALL
    for name, value in codec.state_dict().items():
        assert torch.allclose(again.state_dict()[name], value, atol=1e-3, rtol=1e-3), name
    phones = torch.randint(0, 45, (1, 16))
    prosody = torch.zeros(1, 16, 4)
    mine, theirs = (
        each.eval()(phones, phones % 3, prosody) for each in (encoder, load_phone_encoder(tmp_path / "mine.safetensors"))
    )
    assert torch.allclose(mine, theirs, atol=0.02)


@pytest.mark.parametrize(("content", "says"), [(None, "no such weights"), (b"rubbish", "damaged weights")])
def test_unusable_weights_name_the_cure(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "mine.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ClariError, match=says):
        load_codec(path)
