"""The teacher's ear: frames laid on ours, distances by hand, and the network that the package's own file describes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from codec import moonshine_weights, train
from codec.data.audio import load_audio
from codec.moonshine import model_folder
from codec.moonshine_net import REACH_SAMPLES, STEP_SAMPLES, WIDTH, MoonshineEncoder
from codec.moonshine_weights import load_encoder
from codec.readers import TeacherReader
from codec.teacher import likeness, on_our_frames, speak, teacher_loss
from codec.vocoder import Vocoder
from stream.errors import ClariError
from tests.codec.tiny import arguments, metrics

INSTALLED = "the teacher needs the extra moonshine: pip install 'clari[moonshine]'"


def test_frames_lie_where_they_are_heard() -> None:
    middles = torch.arange(200.0) * STEP_SAMPLES + REACH_SAMPLES / 2
    heard = torch.stack([middles, 5 - middles], 1)[None]  # what a frame hears is when it hears it
    ours = on_our_frames(heard, 100)
    times = (torch.arange(100) + 0.5) * 640
    assert torch.allclose(ours[0, 1:, 0], times[1:]) and torch.allclose(ours[0, 1:, 1], 5 - times[1:])
    assert ours[0, 0, 0] == REACH_SAMPLES / 2  # nothing is heard before the first frame's middle
    assert on_our_frames(heard, 300)[0, -1, 0] == middles[-1]


def test_the_distance_is_relative_and_every_crop_counts_alike() -> None:
    original = [torch.ones(2, 4, 3), torch.full((2, 4, 3), 10.0)]
    heard = [torch.ones(2, 4, 3), torch.full((2, 4, 3), 10.0)]
    everything = torch.ones(2, 4)
    assert teacher_loss(heard, original, everything) == 0
    heard[0][0, :2] = 2  # half of the frames of one crop are as wrong as they are large, in one of two layers
    assert torch.isclose(teacher_loss(heard, original, everything), torch.tensor(0.5 / 2 / 2))
    assert teacher_loss(heard, original, torch.tensor([[0.0, 0, 1, 1], [1, 1, 1, 1]])) == 0
    assert teacher_loss(heard, original, torch.zeros(2, 4)) == 0


def test_likeness_leaves_out_what_all_frames_share() -> None:
    generator = torch.Generator().manual_seed(0)
    original = torch.randn(50, 8, generator=generator) + 100
    other = torch.randn(50, 8, generator=generator) + 100
    assert torch.allclose(likeness(original, original), torch.ones(50))
    assert likeness(other, original).mean().abs() < 0.2
    assert likeness(torch.stack([original, other]), original).shape == (2, 50)


def test_the_reader_leaves_out_what_comes_before_the_speech() -> None:
    torch.manual_seed(0)
    reader = TeacherReader(5)
    knowledge = torch.randn(2, 6, 5)
    whole = reader(knowledge, 0, 12)
    assert whole.shape == (2, 12, WIDTH) and torch.equal(reader(knowledge, 2, 9), whole[:, 2:11])


def test_speaking_takes_the_vocoder_no_time() -> None:
    from codec.config import ModelConfig

    torch.manual_seed(0)
    vocoder = Vocoder(ModelConfig(mels=20, vocoder_width=12, vocoder_blocks=1))
    mel = torch.randn(2, 24, 20)
    late, _ = vocoder(mel, vocoder.initial_state(2))
    spoken = speak(vocoder, mel)
    assert spoken.shape == (2, 3840) and torch.equal(spoken[:, :-320], late[:, 320:]) and not spoken[:, -320:].any()


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    path = tmp_path_factory.mktemp("said") / "said.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", "The boat comes back in the morning.", "-o", str(path)], check=True)
    return load_audio(path)


def test_the_network_is_the_one_of_the_package(speech: np.ndarray) -> None:
    pytest.importorskip("moonshine_voice", reason=INSTALLED)
    session = onnxruntime.InferenceSession(str(model_folder() / "encoder_model.ort"), providers=["CPUExecutionProvider"])
    given = {"input_values": speech[None].astype(np.float32), "attention_mask": np.ones((1, len(speech)), np.int64)}
    theirs = session.run(None, given)[0]
    encoder = load_encoder()
    samples = torch.from_numpy(given["input_values"]).requires_grad_()
    ours = encoder(samples)[-1]
    assert ours.shape == theirs.shape
    # Theirs rounds activations to 8 bits.
    assert np.corrcoef(ours.detach().numpy().ravel(), theirs.ravel())[0, 1] > 0.999
    ours.square().mean().backward()
    assert samples.grad is not None and samples.grad.abs().sum() > 0
    assert not any(weight.requires_grad for weight in encoder.parameters())


def test_a_model_that_is_another_one_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moonshine_weights, "model_folder", lambda: tmp_path)
    (tmp_path / "encoder_model.ort").write_bytes(b"nonsense")
    with pytest.raises(ClariError, match=r"^encoder_model\.ort of moonshine cannot be read .*; install: "):
        load_encoder()
    tensors = MoonshineEncoder().state_dict()
    tensors["conv2.weight"] = tensors["conv2.weight"][:, :7]
    monkeypatch.setattr(moonshine_weights, "read_tensors", lambda path: tensors)
    with pytest.raises(ClariError, match=r"has no conv2\.weight as this program knows it; install: "):
        load_encoder()


def test_training_listens_to_the_teacher(corpus: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("moonshine_voice", reason=INSTALLED)
    common = arguments("codec", corpus, tmp_path / "run", 4, f'train.recognizer="{base / "recognizer"}"', "loss.teacher=2.0")
    assert train.main(common) == 1
    assert "train.vocoder is empty, but the teacher listens to samples" in capsys.readouterr().err
    wanted = ["loss.teacher_knowledge=1.0", "loss.encoder_teacher_knowledge=1.0", "loss.words=0.3"]
    assert train.main([*common, f'train.vocoder="{base / "base.safetensors"}"', *wanted]) == 0
    names = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0].split(",")
    logged = metrics(tmp_path / "run")
    assert np.isfinite(logged).all() and {"teacher", "teacher_knowledge", "encoder_teacher_knowledge", "words"} < set(names)
    assert 0 < logged[-1, names.index("teacher")] < 2
