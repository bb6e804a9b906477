"""The half of Moonshine that writes: one token at a time is the whole, and it is the network of the package's own file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from codec.data.audio import load_audio
from codec.network.ear import WIDTH
from codec.pretrained.moonshine import load_ear, load_writer, model_folder
from codec.pretrained.moonshine_writer import BEGIN, END, LAYERS, MoonshineWriter

INSTALLED = "Moonshine's weights are in the extra train: pip install 'clari[train]'"


@pytest.fixture(scope="module")
def writer() -> MoonshineWriter:
    torch.manual_seed(1)
    return MoonshineWriter().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def heard() -> torch.Tensor:
    return torch.randn(2, 30, WIDTH, generator=torch.Generator().manual_seed(2))


def test_token_by_token_is_what_the_whole_says(writer: MoonshineWriter, heard: torch.Tensor) -> None:
    tokens = writer.write(heard, 7)
    assert tokens.shape == (2, 7) and (tokens[:, 0] == BEGIN).all()
    assert torch.equal(writer(tokens, heard)[:, :-1].argmax(2), tokens[:, 1:])


def test_nothing_is_written_after_the_end(writer: MoonshineWriter, heard: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.full((2, 5, 32768), -1.0)
    for row, ends in enumerate((1, 3)):
        for place in range(5):
            scores[row, place, END if place == ends else 100 + place] = 1.0
    places = iter(range(5))
    monkeypatch.setattr(writer.proj_out, "forward", lambda x: scores[:, (place := next(places)) : place + 1])
    assert writer.write(heard, 12).tolist() == [[BEGIN, 100, END, END, END], [BEGIN, 100, 101, 102, END]]


def test_the_network_is_the_one_of_the_package(tmp_path: Path) -> None:
    pytest.importorskip("moonshine_voice", reason=INSTALLED)
    path = tmp_path / "said.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", "The boat comes back in the morning.", "-o", str(path)], check=True)
    samples = torch.from_numpy(load_audio(path)).float()[None]
    samples = torch.nn.functional.pad(samples, (0, -samples.shape[1] % 1280))
    heard, writer = load_ear().whole(samples, 0)[..., WIDTH:].detach(), load_writer()
    tokens = writer.write(heard, 30)
    assert 8 < tokens.shape[1] < 20 and tokens[0, -1] == END
    middles = writer.places(tokens[:, :-1], heard) @ torch.arange(heard.shape[1]).float()
    assert (middles.diff()[0, :-1] > 0).float().mean() > 0.8  # one token is said after the other
    session = onnxruntime.InferenceSession(str(model_folder() / "decoder_model_merged.ort"), providers=["CPUExecutionProvider"])
    lengths = {"decoder": 0, "encoder": heard.shape[1]}
    names = [
        (f"past_key_values.{layer}.{half}.{kind}", half) for layer in range(LAYERS) for half in lengths for kind in ("key", "value")
    ]
    given = {name: np.zeros((1, 8, lengths[half], 36), np.float32) for name, half in names}
    given |= {"encoder_attention_mask": np.ones(heard.shape[:2], np.int64), "use_cache_branch": np.array([False])}
    given |= {"input_ids": tokens.numpy(), "encoder_hidden_states": heard.numpy()}
    theirs = session.run(["logits"], given)[0]
    assert np.corrcoef(writer(tokens, heard).numpy().ravel(), theirs.ravel())[0, 1] > 0.998  # theirs rounds activations to 8 bits
    assert not any(weight.requires_grad for weight in writer.parameters())
