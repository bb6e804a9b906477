"""Each training on the smallest data that makes sense: hibari says some sentences, and everything learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("hibari", reason="training speech is made by hibari, of the extra train")
pytest.importorskip("moonshine_voice", reason="the ear begins as Moonshine's, of the extra train")
from codec.data.frames import FRAMES_FILE, FrameFile
from codec.data.heard import Field, Recordings, plain_crop
from codec.data.spoken import synthesize
from codec.network.weights import load_codec
from codec.settings import NetworkSettings
from codec.train.assemble import assemble
from codec.train.code import Text, train
from codec.train.damage import random_flips, random_losses
from codec.train.ear import EarSettings, starting_weights
from codec.train.ear import train as train_ear
from codec.train.loop import Loop, LoopSettings
from codec.train.targets import batch_target, distance, phone_weights
from stream.errors import ClariError

pytestmark = pytest.mark.training
SMALL = NetworkSettings(head_width=48, head_blocks=1, decoder_widths=(48, 32, 24), decoder_blocks=(1, 1, 1))
SENTENCES = ["The boat came into the harbour at night.", "Nobody saw the lamp on the old pier.", "We are on our way home."]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spoken") / "corpus"
    assert synthesize(SENTENCES * 40, folder, workers=2) == 120
    return folder


@pytest.fixture(scope="module")
def code_run(spoken: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "code"
    train(Text([spoken]), SMALL, LoopSettings(60, 3e-3, warm_up_steps=5, log_every=20), out, rows=4)
    return out


def column(path: Path, name: str) -> list[float]:
    head, *rows = path.read_text().splitlines()
    return [float(row.split(",")[head.split(",").index(name)]) for row in rows]


def test_the_code_learns_phones_from_text_alone(code_run: Path) -> None:
    errors = column(code_run / "log.csv", "phones")
    assert errors[-1] < 0.9 * errors[0]


def test_the_ear_learns_the_code_and_everything_becomes_one_file(spoken: Path, code_run: Path, tmp_path: Path) -> None:
    recordings = Recordings({spoken: 1.0}, set_aside=0)
    recordings.judges = recordings.usable[0][:8]  # the only speaker judges, too
    field = Field(recordings, None, None)
    settings = LoopSettings(6, 1e-3, warm_up_steps=1, log_every=3)
    train_ear(starting_weights(code_run, None), field, SMALL, EarSettings(), settings, tmp_path / "ear", rows=2)
    assert all(np.isfinite(column(tmp_path / "ear" / "log.csv", "phones")))
    from codec.network.voice import Voice

    Loop(Voice(), LoopSettings(1), tmp_path / "voice", {"kind": "voice"}).save()
    assemble(tmp_path / "ear", tmp_path / "voice", tmp_path / "base.safetensors")
    codec, about = load_codec(tmp_path / "base.safetensors")
    assert codec.settings == SMALL and "6 steps" in about["training"]
    again = starting_weights(None, tmp_path / "base.safetensors")
    assert torch.allclose(again["sender.ear.layer_norm.weight"], codec.sender.ear.layer_norm.weight)


def test_a_missing_run_names_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ClariError, match="give --code"):
        starting_weights(tmp_path, None)


def test_crops_hold_what_is_said_in_them(spoken: Path) -> None:
    recordings = Recordings({spoken: 1.0}, set_aside=0)
    field = Field(recordings, None, None)
    for seed in range(4):
        crop = field.crop(np.random.default_rng(seed), 200)
        again = field.crop(np.random.default_rng(seed), 200)
        assert np.array_equal(crop.samples, again.samples) and crop.samples.shape == (200 * 320,)
        assert np.abs(crop.samples).max() <= 0.98
        target = batch_target([crop.parts], 200)
        loud = np.square(crop.samples.reshape(200, 320)).mean(1)
        said = (target.phones[0] > 0).numpy() & (target.weight[0] > 0).numpy()
        assert loud[said].mean() > 3 * loud[~said].mean()
    recordings.judges = recordings.usable[0][:3]
    assert np.array_equal(*(plain_crop(recordings, np.random.default_rng(1), 100).samples for _ in range(2)))


def test_every_phone_counts_alike(spoken: Path) -> None:
    phones = FrameFile(spoken / FRAMES_FILE)[0].phones
    weights = phone_weights(phones)
    runs = 1 + int((np.diff(phones) != 0).sum())
    assert len(weights) == len(phones) and runs / 2 < weights.sum() < 2 * runs
    assert len(phone_weights(phones[:0])) == 0


def test_what_is_right_has_no_distance(spoken: Path) -> None:
    from codec.network.decoder import DELAY_FRAMES, Scores

    frames = FrameFile(spoken / FRAMES_FILE)[0]
    target = batch_target([[(frames, frames.size)]], len(frames) + DELAY_FRAMES)
    late = [torch.roll(each, DELAY_FRAMES, 1) for each in target]
    phones, stress = (20.0 * torch.nn.functional.one_hot(each, count).float() for each, count in ((late[0], 45), (late[1], 3)))
    loss, parts = distance(Scores(phones, stress, late[2], 40 * late[3] - 20, late[4], late[5]), target)
    assert float(loss) < 1e-3 and parts["phones_right"] == pytest.approx(1)


def test_links_lose_packets_and_bits_in_some_rows() -> None:
    rng = np.random.default_rng(1)
    lost = random_losses(rng, 400, 96)
    share = float((lost.sum(1) > 0).float().mean())
    assert 0.15 < share < 0.35 and set(lost.unique().tolist()) == {0.0, 1.0}
    flips = random_flips(rng, 400, 96)
    assert flips is not None and int(flips.min()) >= 0 and int(flips.max()) <= 3
    assert 0.05 < float((flips.sum((1, 2)) > 0).float().mean()) < 0.2
