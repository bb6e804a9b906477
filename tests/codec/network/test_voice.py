"""The voice: causal, the same in any chunking, the same as ONNX, and the same speaker at any pitch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.network.layers import State, flatten_state, rebuild_state
from codec.network.phones import PHONE_CLASSES, STRESS_CLASSES
from codec.network.voice import Said, Voice, VoiceConfig, load_voice, save_voice

torch.set_num_threads(1)
SMALL = VoiceConfig(width=24, slow_blocks=2, fast_blocks=1)
FRAMES_PER_CODE = 4


def a_voice() -> Voice:
    torch.manual_seed(3)
    voice = Voice(SMALL).eval()
    with torch.no_grad():
        voice.state_dict()["head.1.bias"].add_(0.7)  # as loud as speech
    return voice


def something(frames: int, batch: int = 1, size: float = 0.0) -> Said:
    generator = torch.Generator().manual_seed(1)

    def smooth(low: float, high: float) -> Tensor:
        curve = torch.rand(batch, 1, frames // 4 + 2, generator=generator) * (high - low) + low
        return F.interpolate(curve, size=frames, mode="linear")[:, 0]

    return Said(
        F.one_hot(torch.randint(PHONE_CLASSES, (batch, frames), generator=generator), PHONE_CLASSES).float(),
        F.one_hot(torch.randint(STRESS_CLASSES, (batch, frames), generator=generator), STRESS_CLASSES).float(),
        smooth(-0.5, 0.5) + size,
        torch.rand(batch, frames, generator=generator),
        smooth(-1.9, 1.5),
        torch.full((batch, frames), size),
    )


def part(said: Said, start: int, end: int) -> Said:
    return Said(*(each[:, start:end] for each in said))


@torch.no_grad()
def speak(voice: Voice, said: Said) -> Tensor:
    samples: Tensor = voice(said, voice.initial_state(said.pitch.shape[0]))[0]
    return samples


def test_1280_samples_per_code_and_the_same_every_time() -> None:
    voice, said = a_voice(), something(FRAMES_PER_CODE)
    assert speak(voice, said).shape == (1, 1280)
    assert torch.equal(speak(voice, said), speak(a_voice(), said))


@torch.no_grad()
def test_chunks_are_the_whole() -> None:
    voice, said = a_voice(), something(40, batch=2)
    whole = speak(voice, said)
    state = voice.initial_state(2)
    parts = []
    for start in range(0, 40, FRAMES_PER_CODE):
        samples, state = voice(part(said, start, start + FRAMES_PER_CODE), state)
        parts.append(samples)
    assert float((torch.cat(parts, dim=1) - whole).abs().max()) < 1e-5


@pytest.mark.parametrize("frame", [9, 12])
def test_later_inputs_change_no_earlier_sample(frame: int) -> None:
    voice, said = a_voice(), something(20)
    other = Said(*(torch.cat([each[:, :frame], each[:, frame:].flip(1)], dim=1) for each in said))
    change = (speak(voice, said) - speak(voice, other)).abs()[0]
    assert float(change[: 320 * frame].max()) < 1e-6
    assert float(change[320 * frame : 320 * frame + 640].max()) > 1e-5  # and soon they do


def test_delay_is_within_its_budget() -> None:
    assert Voice().delay_samples == 800 + 3 * 320  # 50 ms, test_synthesis.py proves it, and three frames of 20 ms


@torch.no_grad()
def test_another_size_is_the_same_voice_stretched() -> None:
    voice = a_voice()
    tone, air, _ = voice.envelopes(something(12), voice.initial_state(1)[0])
    lower, lower_air, _ = voice.envelopes(something(12, size=-1.0), voice.initial_state(1)[0])
    assert float((tone - lower).abs().max()) < 1e-4 and float((air - lower_air).abs().max()) < 1e-4
    usual, large = (speak(voice, something(60, size=size))[0, 3200:].numpy() for size in (0.0, -1.0))
    assert abs(20 * np.log10(usual.std() / large.std())) < 2


def test_saved_and_loaded(tmp_path: Path) -> None:
    voice, said = a_voice(), something(8)
    save_voice(tmp_path / "voice.pt", voice)
    assert torch.equal(speak(load_voice(tmp_path / "voice.pt"), said), speak(voice, said))


class _Step(nn.Module):
    """One code's worth of frames, with the state as a list of tensors."""

    def __init__(self, voice: Voice):
        super().__init__()
        self.voice = voice
        self.example: State = voice.initial_state(1)

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        count = len(Said._fields)
        samples, state = self.voice(Said(*given[:count]), rebuild_state(self.example, list(given[count:])))
        return samples, *flatten_state(state)


def test_onnx_agrees(tmp_path: Path) -> None:
    voice, said = a_voice(), something(24)
    step = _Step(voice).eval()
    state = flatten_state(voice.initial_state(1))
    path = tmp_path / "voice.onnx"
    first = (*part(said, 0, FRAMES_PER_CODE), *state)
    torch.onnx.export(step, first, path, opset_version=20, dynamo=True, external_data=False, verbose=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    values = [each.numpy() for each in state]
    parts = []
    for start in range(0, 24, FRAMES_PER_CODE):
        given = [each.numpy() for each in part(said, start, start + FRAMES_PER_CODE)] + values
        samples, *values = session.run(None, dict(zip(names, given, strict=True)))
        parts.append(samples)
    assert np.abs(np.concatenate(parts, axis=1) - speak(voice, said).numpy()).max() < 1e-4
