"""Front end, quantiser, vocoder transform and the whole codec."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codec.config import ModelConfig
from codec.frontend import LOG_DEVIATION, LOG_MEAN, LogMel, mel_filters
from codec.model import Codec
from codec.network.quantizer import bound, codes_to_values, damage, positions_to_codes, quantize
from codec.vocoder import DELAY_SAMPLES, InverseSTFT
from stream.content import GRAY
from stream.frame import SAMPLES_PER_FRAME
from tests.codec.test_layers import SMALL
from tests.conftest import speech_like


def test_log_mel_of_a_full_scale_sine_is_zero_decibels() -> None:
    frontend = LogMel(80)
    sine = torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)[None]
    mel, _ = frontend(sine, frontend.initial_state(1))
    loudest = (mel * LOG_DEVIATION + LOG_MEAN)[0, 10:].max(dim=1).values
    assert loudest.mean().item() == pytest.approx(0.0, abs=0.2)  # natural log of magnitude 1


def test_every_mel_filter_hears_something() -> None:
    assert (mel_filters(80, 512, 16000).sum(axis=0) > 0.5).all()


def test_inverse_transform_undoes_the_analysis() -> None:
    frontend, inverse = LogMel(80), InverseSTFT()
    x = torch.from_numpy(speech_like(1.0))[None]
    hops = torch.cat([frontend.initial_state(1), x], dim=1).reshape(1, -1, 160)
    spectra = torch.cat([hops[:, :-2], hops[:, 1:-1], hops[:, 2:]], dim=2) @ frontend.basis
    y, _ = inverse(spectra, inverse.initial_state(1))
    assert (y[:, DELAY_SAMPLES:] - x[:, :-DELAY_SAMPLES]).abs().max() < 1e-5


def test_codes_are_the_nearest_levels() -> None:
    positions = torch.tensor([-2.0, -1.001, -0.999, -0.001, 0.001, 0.999, 1.001, 1.999, 2.0])
    levels = torch.tensor([-1.5, -0.5, 0.5, 1.5])
    nearest = (positions[:, None] - levels).abs().argmin(dim=1)
    assert torch.equal(positions_to_codes(positions), nearest)
    assert torch.allclose(codes_to_values(torch.arange(4)), levels / 1.5)


def test_quantisation_passes_the_gradient_through() -> None:
    x = torch.linspace(-3, 3, 31, requires_grad=True)
    _, values = quantize(bound(x))
    values.sum().backward()
    expected = torch.autograd.functional.jacobian(lambda v: (bound(v) / 1.5).sum(), x.detach())
    assert torch.allclose(x.grad, expected)


def test_damage_flips_the_bits_that_travel() -> None:
    assert damage(torch.arange(4), torch.zeros(4, dtype=torch.int64)).tolist() == [0, 1, 2, 3]
    for flips in (1, 2, 3):
        for code in range(4):
            arrives = int(damage(torch.tensor(code), torch.tensor(flips)))
            assert GRAY[arrives] == GRAY[code] ^ flips
    positions = torch.linspace(-1.9, 1.9, 8, requires_grad=True)
    codes, values = quantize(positions, torch.full((8,), 2))
    assert torch.equal(codes, positions_to_codes(positions)) and not torch.equal(values, quantize(positions)[1])
    values.sum().backward()
    assert torch.allclose(positions.grad, torch.full((8,), 1 / 1.5))


def test_a_frame_is_two_bytes_and_the_delay_is_counted() -> None:
    codec = Codec(SMALL).eval()
    codes, _ = codec.encode(torch.zeros(1, 1280 * 5), codec.encoder_state(1))
    assert codes.shape == (1, 5, 8) and codes.dtype == torch.int64
    assert codec.delay_samples == 1280 + 8 * 160 + 320
    assert Codec(ModelConfig()).config.look_ahead_frames * 10 <= 80  # milliseconds, in the shipped configuration


def test_lost_frames_change_what_is_heard_and_later_codes_recover() -> None:
    torch.manual_seed(1)
    codec = Codec(SMALL).eval().requires_grad_(False)
    codes = torch.randint(0, 4, (1, 60, 8))
    lost = torch.zeros(1, 60)
    lost[:, 10:13] = 1
    whole, _ = codec.decode(codes, torch.zeros(1, 60), codec.decoder_state(1))
    holed, _ = codec.decode(codes, lost, codec.decoder_state(1))
    assert np.isfinite(holed.numpy()).all()
    assert torch.equal(whole[:, : 10 * 1280], holed[:, : 10 * 1280])
    assert not torch.equal(whole[:, 10 * 1280 : 13 * 1280], holed[:, 10 * 1280 : 13 * 1280])
    assert (whole[:, -1280:] - holed[:, -1280:]).abs().max() < 1e-6  # the convolutions have forgotten the gap


def test_the_memory_of_the_encoder_is_as_long_as_it_says() -> None:
    codec = Codec(SMALL)
    frames = codec.memory_frames + 4
    samples = torch.from_numpy(speech_like(frames * SAMPLES_PER_FRAME / 16_000))[
        None, : frames * SAMPLES_PER_FRAME
    ].requires_grad_()
    mel, _ = codec.frontend(samples, codec.frontend.initial_state(1))
    meant, _ = codec.mel_codec.encoder.listen(mel)
    meant.intended[0, -1].sum().backward()
    heard = samples.grad.reshape(frames, SAMPLES_PER_FRAME).abs().amax(dim=1) > 0
    assert heard.tolist() == [False] * 3 + [True] * (codec.memory_frames + 1)
