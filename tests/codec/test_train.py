"""Training: configuration, recogniser, losses, and that a killed run ends where an undisturbed one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from codec import train
from codec import weights as weights_command
from codec.batches import Batches, in_room, room_response
from codec.config import Config, ConfigError, DataConfig, ModelConfig, TrainConfig, load_config
from codec.corpus import CorpusError, pack
from codec.losses import multi_resolution_stft_loss
from codec.recognizer import ctc_errors, edit_distance
from codec.run import Run, RunError
from codec.tasks.codec import aligned, arrived, code_entropy_bits, lost_bursts, wrong_bits
from codec.tasks.recognizer import masks_of
from codec.team import Team
from codec.train import learning_rate, update_average
from tests.conftest import speech_like

ROOT = Path(__file__).parents[2]
TINY = [
    "model.mels=20", "model.encoder_widths=[8, 8, 12]", "model.encoder_blocks=[1, 1, 1]", "model.decoder_widths=[12, 8, 8]",
    "model.decoder_blocks=[1, 1, 1]", "model.vocoder_width=12", "model.vocoder_blocks=1", "recognizer.width=12",
    "recognizer.blocks=2", "data.noise_share=0.0", "data.crop_s=0.96", "data.batch_s=2.0",
    "train.log_every=2", "train.save_every=2", "train.picture_every=4", "train.warmup_steps=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def speech_corpus(corpus_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "speech"
    pack([corpus_manifest], folder, workers=1)
    return folder


def arguments(task: str, corpus: Path, out: Path, steps: int, *more: str) -> list[str]:
    configs = {"recognizer": "recognizer.toml", "codec": "codec-mel.toml", "vocoder": "vocoder.toml"}
    data = [f'data.corpora=["{corpus}"]', "data.shares=[1.0]", f"train.steps={steps}"]
    return ["--threads", "1", "--config", str(ROOT / "codec" / "configs" / configs[task]), "--out", str(out), *TINY, *data, *more]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value
        for name in ("model", "average", "optimizer")
        for key, value in load_file(run / "checkpoint" / f"{name}.safetensors").items()
    }


@pytest.mark.parametrize("task", ["recognizer", "codec", "vocoder"])
def test_every_task_trains_and_draws(task: str, speech_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(arguments(task, speech_corpus, tmp_path / "run", 8)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("step ") for line in lines) == 4
    assert any(line.startswith("validation at 8: ") and len(line) > 20 for line in lines)
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert rows[0].startswith("step,loss") and len(rows) == 5
    assert np.isfinite([float(value) for row in rows[1:] for value in row.split(",")]).all()
    if task != "recognizer":
        assert (tmp_path / "run" / "step-000008.png").read_bytes()[:4] == b"\x89PNG"


def test_the_recognizer_judges_the_codec_in_training(
    speech_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(arguments("recognizer", speech_corpus, tmp_path / "recognizer", 2)) == 0
    judged = [f'train.recognizer="{tmp_path / "recognizer"}"', "loss.recognizer=0.7"]
    assert train.main(arguments("codec", speech_corpus, tmp_path / "first", 2)) == 0
    assert train.main(arguments("codec", speech_corpus, tmp_path / "run", 2, *judged, f'train.initial="{tmp_path / "first"}"')) == 0
    assert "kl" in capsys.readouterr().out
    frozen = weights(tmp_path / "recognizer")
    assert train.main(arguments("recognizer", speech_corpus, tmp_path / "recognizer", 2)) == 0  # nothing is left to do
    assert all(torch.equal(frozen[name], value) for name, value in weights(tmp_path / "recognizer").items())


@pytest.mark.training
def test_a_run_killed_at_any_moment_ends_with_the_same_weights(speech_corpus: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    steps = 12
    assert train.main(arguments("codec", speech_corpus, whole, steps)) == 0
    command = [sys.executable, "-m", "codec.train", *arguments("codec", speech_corpus, killed, steps)]
    interruptions = 0
    for _ in range(3):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        before = saved_step(killed)
        deadline = time.monotonic() + 120
        while process.poll() is None and saved_step(killed) <= before and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        interruptions += saved_step(killed) < steps
    assert interruptions  # at least one kill came before the end
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    undisturbed, resumed = weights(whole), weights(killed)
    assert undisturbed.keys() == resumed.keys()
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)


def saved_step(run: Path) -> int:
    try:
        return int(json.loads((run / "checkpoint" / "state.json").read_text())["step"])
    except (FileNotFoundError, json.JSONDecodeError):
        return 0


def test_a_kill_between_the_renames_of_a_save_loses_nothing(speech_corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train.main(arguments("vocoder", speech_corpus, run, 2)) == 0
    (run / "checkpoint").rename(run / "checkpoint.old")
    assert Run(run).average_weights()[1] == 2


def test_another_configuration_is_not_mixed_into_a_run(
    speech_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(arguments("vocoder", speech_corpus, tmp_path / "run", 2)) == 0
    capsys.readouterr()
    assert train.main(arguments("vocoder", speech_corpus, tmp_path / "run", 2, "train.learning_rate=0.5")) == 1
    assert capsys.readouterr().err.strip().endswith("choose another --out or delete it")


def test_missing_runs_and_corpora_are_one_line(tmp_path: Path, speech_corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(arguments("vocoder", tmp_path / "nowhere", tmp_path / "a", 2)) == 1
    assert (
        train.main(arguments("codec", speech_corpus, tmp_path / "b", 2, "loss.recognizer=0.7", 'train.recognizer="/nowhere"')) == 1
    )
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 2 and "codec.corpus pack" in errors[0] and "train it first" in errors[1]
    with pytest.raises(RunError, match="no training run"):
        Run(tmp_path / "c").config()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.stepps=3", "unknown key 'stepps'"),
        ("trane.steps=3", r"unknown section \[trane\]"),
        ("train.steps=1.5", "must be a int"),
        ("model.encoder_widths=3", "must be a list"),
        ("train.task=vocoder", "strings need quotes"),
    ],
)
def test_wrong_configurations_name_the_key(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(ROOT / "codec" / "configs" / "vocoder.toml", [override])


@pytest.mark.parametrize("path", sorted((ROOT / "codec" / "configs").glob("*.toml")), ids=lambda path: path.stem)
def test_published_configurations_load(path: Path) -> None:
    config = load_config(path)
    if path.stem.startswith("gpu-"):
        large = load_config(path.with_name("gpu-codec.toml"))
        assert config.train.task == "recognizer" or config.model == large.model
        assert config.recognizer == large.recognizer or config.train.task == "vocoder"
    else:
        assert config.model == ModelConfig()  # every shipped part fits the same codec
    assert config.train.task in ("recognizer", "codec", "vocoder", "rl")


def test_the_rate_warms_up_and_decays() -> None:
    config = TrainConfig(steps=100, warmup_steps=10, learning_rate=1.0, final_rate_share=0.1)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(0.98, abs=0.02) and rates[100] == pytest.approx(0.1)


def test_the_average_follows_the_weights() -> None:
    slow, fast = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    before = slow.weight.detach().clone()
    update_average(slow, fast, 0.5, step=1000)
    assert torch.allclose(slow.weight, (before + fast.weight) / 2)
    update_average(slow, fast, 0.999, step=0)  # young averages forget their start
    assert torch.allclose(slow.weight, fast.weight, atol=0.2 * (before - fast.weight).abs().max().item())


def test_the_stft_loss_is_zero_for_equals_and_grows_with_noise() -> None:
    x = torch.from_numpy(speech_like(1.0))[None]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    losses = [multi_resolution_stft_loss(x + level * noise, x).item() for level in (0.0, 0.001, 0.01, 0.1)]
    assert losses[0] == pytest.approx(0, abs=1e-6) and losses == sorted(losses) and losses[1] > 0.01


def test_alignment_lays_the_delayed_mel_beside_its_target() -> None:
    clean = torch.arange(64.0).reshape(1, 64, 1)
    decoded = torch.roll(clean, 8, dims=1)
    late, target = aligned(decoded, clean, 8)
    assert torch.equal(late, target) and late.shape[1] == 56


def test_bursts_and_masks_stay_inside() -> None:
    torch.manual_seed(0)
    lost = lost_bursts(400, 32, 0.3, (1, 12))
    share = (lost.sum(dim=1) > 0).float().mean().item()
    assert 0.2 < share < 0.4 and set(lost.unique().tolist()) == {0.0, 1.0}
    assert lost_bursts(5, 32, 0.0, (1, 12)).sum() == 0
    hidden = (masks_of(4, 100, 80) == 0).float().mean().item()
    assert 0 < hidden < 0.6


def test_what_did_not_arrive_has_no_weight() -> None:
    lost = torch.tensor([[0.0, 1.0, 0.0, 0.0]])  # decoded mel 8..15 is gone; 8 frames late, it was to say clean mel 0..7
    assert arrived(lost, delay_frames=8, mel_frames=24).tolist() == [[0, 0, 1, 1, 1, 1]]
    assert arrived(lost, delay_frames=4, mel_frames=24).tolist() == [[1, 0, 0, 1, 1, 1]]
    assert arrived(lost, delay_frames=6, mel_frames=24).tolist() == [[0, 0, 0, 1, 1, 1]]


def test_wrong_bits_come_at_the_rate_asked_for() -> None:
    torch.manual_seed(0)
    flips = wrong_bits(200, 100, 0.5, (0.02, 0.02))
    assert int(flips.min()) == 0 and int(flips.max()) == 3 and flips.shape == (200, 100, 8)
    hit = (flips > 0).flatten(1).any(1)
    assert 0.4 < hit.float().mean() < 0.6
    assert float(((flips[hit] & 1) + (flips[hit] >> 1)).float().mean() / 2) == pytest.approx(0.02, rel=0.05)
    assert not wrong_bits(3, 10, 0.0, (0.02, 0.02)).any()


def test_entropy_counts_bits() -> None:
    even = torch.arange(4).repeat(64)[:, None].expand(-1, 8)[None]
    assert code_entropy_bits(even) == pytest.approx(16.0)
    assert code_entropy_bits(torch.zeros(1, 100, 8, dtype=torch.int64)) == pytest.approx(0.0)


def test_ctc_errors_by_hand() -> None:
    assert edit_distance([1, 2, 3], [1, 3]) == 1 and edit_distance([], [4, 5]) == 2 and edit_distance([1, 2], [2, 1]) == 2
    path = torch.full((1, 6, 5), -9.0)
    for frame, phone in enumerate([1, 1, 0, 1, 2, 3]):
        path[0, frame, phone] = 0
    assert ctc_errors(path, torch.tensor([5]), [[1, 1, 2, 4]]) == (1, 4)


def test_defaults_describe_one_codec() -> None:
    config = Config()
    assert config.model.encoder_widths[::-1] == config.model.decoder_widths
    assert os.fspath(config.data.noise)


def test_weights_files_stand_in_for_runs(speech_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for task in ("recognizer", "codec", "vocoder"):
        assert train.main(arguments(task, speech_corpus, tmp_path / task, 2)) == 0
    base, recognizer = tmp_path / "base.safetensors", tmp_path / "recognizer.safetensors"
    assert (
        weights_command.main(["--codec", str(tmp_path / "codec"), "--vocoder", str(tmp_path / "vocoder"), "--out", str(base)]) == 0
    )
    assert weights_command.main(["--recognizer", str(tmp_path / "recognizer"), "--out", str(recognizer)]) == 0
    from_runs, _, training = weights_command.assemble(tmp_path / "codec", tmp_path / "vocoder")
    from_file, _, same = weights_command.assemble(base, base)
    assert training == same == "codec step 2, vocoder step 2"
    assert all(torch.equal(a, b) for a, b in zip(from_runs.state_dict().values(), from_file.state_dict().values(), strict=True))
    more = [f'train.recognizer="{recognizer}"', "loss.recognizer=0.7", f'train.initial="{base}"']
    assert train.main(arguments("codec", speech_corpus, tmp_path / "more", 2, *more)) == 0
    assert train.main(arguments("vocoder", speech_corpus, tmp_path / "more-voice", 2, f'train.initial="{base}"')) == 0
    capsys.readouterr()
    assert train.main(arguments("codec", speech_corpus, tmp_path / "wrong", 2, f'train.initial="{recognizer}"')) == 1
    assert "fits another configuration" in capsys.readouterr().err
    (tmp_path / "garbage").write_bytes(b"garbage")
    assert weights_command.main(["--recognizer", str(tmp_path / "garbage"), "--out", str(tmp_path / "x")]) == 1
    assert "no clari weights" in capsys.readouterr().err


def test_the_vocoder_learns_from_what_a_frozen_codec_decodes(
    speech_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task in ("codec", "vocoder"):
        assert train.main(arguments(task, speech_corpus, tmp_path / task, 2)) == 0
    frozen = weights(tmp_path / "codec")
    decoded = [f'train.decoded_by="{tmp_path / "codec"}"', f'train.initial="{tmp_path / "vocoder"}"', "train.decoded_share=1.0"]
    assert train.main(arguments("vocoder", speech_corpus, tmp_path / "plain", 2, decoded[1])) == 0
    assert train.main(arguments("vocoder", speech_corpus, tmp_path / "fine", 2, *decoded)) == 0
    assert not torch.equal(*(weights(tmp_path / run)["model.head.weight"] for run in ("plain", "fine")))
    assert all(torch.equal(frozen[name], value) for name, value in weights(tmp_path / "codec").items())


def metrics(run: Path) -> np.ndarray:
    """Metrics of a run without the time that its steps took."""
    return np.loadtxt(run / "metrics.csv", delimiter=",", skiprows=1)[:, :-1]


@pytest.mark.training
@pytest.mark.parametrize("task", ["recognizer", "codec", "vocoder"])
def test_two_processes_take_the_steps_of_one_on_all_crops(task: str, speech_corpus: Path, tmp_path: Path) -> None:
    more = [f"data.batch_s={24.0 if task == 'recognizer' else 4.0}", "train.log_every=1", "train.bit_error_share=0.5"]
    if task == "codec":
        assert train.main(arguments("recognizer", speech_corpus, tmp_path / "recognizer", 2)) == 0
        more += [f'train.recognizer="{tmp_path / "recognizer"}"', "loss.recognizer=0.7"]
    assert train.main(arguments(task, speech_corpus, tmp_path / "one", 6, *more)) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "codec.train"]
    done = subprocess.run([*torchrun, *arguments(task, speech_corpus, tmp_path / "two", 6, *more)], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    assert one.shape == two.shape and len(one) == 6
    columns = (tmp_path / "one" / "metrics.csv").read_text().split("\n", 1)[0].split(",")
    loss = columns.index("loss")
    np.testing.assert_allclose(two[:, loss], one[:, loss], rtol=2e-4)
    start, ends = one[0, loss], (weights(tmp_path / "one"), weights(tmp_path / "two"))
    assert one[-1, loss] != start  # steps were taken
    for name, value in ends[0].items():
        if name.startswith("model."):
            assert torch.allclose(value, ends[1][name], atol=2e-3), name


def test_a_batch_is_the_same_whoever_draws_it(speech_corpus: Path) -> None:
    data = DataConfig(corpora=(str(speech_corpus),), shares=(1.0,), noise_share=0.0, room_share=0.5, crop_s=0.96, batch_s=4.0)
    whole = Batches(data, 3)
    parts = [Batches(data, 3, team=Team(rank, 2)) for rank in range(2)]
    crops, halves = whole.crops(7), [part.crops(7) for part in parts]
    assert len(crops.heard) == 4
    for rank in range(2):
        assert np.array_equal(crops.heard[rank::2], halves[rank].heard)
        assert np.array_equal(crops.clean[rank::2], halves[rank].clean)
    utterances, shares = whole.utterances(7), [part.utterances(7) for part in parts]
    for rank in range(2):
        assert np.array_equal(utterances.heard[rank::2], shares[rank].heard)
        assert utterances.letters[rank::2] == shares[rank].letters and shares[rank].total == len(utterances.heard)
    with pytest.raises(CorpusError, match="do not divide"):
        Batches(data, 3, team=Team(0, 3)).crops(0)


@pytest.mark.training
def test_the_same_seed_gives_the_same_losses(speech_corpus: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        assert train.main(arguments("codec", speech_corpus, tmp_path / name, 50, "train.save_every=50")) == 0
    assert np.array_equal(metrics(tmp_path / "first"), metrics(tmp_path / "second"))


def test_a_room_keeps_the_power_and_smears_the_sound() -> None:
    rng = np.random.default_rng(0)
    response = room_response(rng, decay_s=0.3, direct_db=3.0)
    assert response[0] == 1 and 10 * np.log10(1 / np.sum(response[1:] ** 2)) == pytest.approx(3.0, abs=0.01)
    early, late = (np.sum(part**2) for part in (response[1:1600], response[3200:]))
    assert early > 50 * late  # 100 ms at a decay of 60 dB in 300 ms are 20 dB
    dry = speech_like(1.0)
    wet = in_room(dry, response)
    assert wet.shape == dry.shape and np.mean(wet**2) == pytest.approx(np.mean(dry**2), rel=1e-4)
    assert np.array_equal(in_room(dry, np.ones(1, np.float32)).round(4), dry.round(4))


@pytest.mark.training
def test_an_adversarial_vocoder_trains_resumes_and_ships(speech_corpus: Path, tmp_path: Path) -> None:
    hard = ["loss.adversarial=1.0", "discriminator.channels=2", "discriminator.fft_samples=[256]", "discriminator.periods=[2]"]
    assert train.main(arguments("vocoder", speech_corpus, tmp_path / "plain", 2)) == 0
    begun = [*hard, f'train.initial="{tmp_path / "plain"}"']
    assert train.main(arguments("vocoder", speech_corpus, tmp_path / "whole", 4, *begun)) == 0
    assert (tmp_path / "whole" / "metrics.csv").read_text().split("\n", 1)[0].count("discriminator") == 1
    assert train.main(arguments("codec", speech_corpus, tmp_path / "codec", 2)) == 0
    codec, _, training = weights_command.assemble(tmp_path / "codec", tmp_path / "whole")
    assert training == "codec step 2, whole step 4"
    averaged = load_file(tmp_path / "whole" / "checkpoint" / "average.safetensors")
    assert torch.equal(codec.vocoder.head.weight, averaged["vocoder.head.weight"].half().float())


@pytest.mark.training
def test_a_reader_trains_beside_the_codec_and_does_not_ship(speech_corpus: Path, tmp_path: Path) -> None:
    assert train.main(arguments("recognizer", speech_corpus, tmp_path / "recognizer", 2)) == 0
    taught = [f'train.recognizer="{tmp_path / "recognizer"}"', "loss.recognizer=0.7", "loss.knowledge=1.0", "train.log_every=1"]
    assert train.main(arguments("codec", speech_corpus, tmp_path / "codec", 30, *taught, "train.learning_rate=5e-3")) == 0
    header = (tmp_path / "codec" / "metrics.csv").read_text().split("\n", 1)[0].split(",")
    known = metrics(tmp_path / "codec")[:, header.index("knowledge")]
    assert known[-5:].mean() < 0.7 * known[:3].mean()
    assert train.main(arguments("vocoder", speech_corpus, tmp_path / "vocoder", 2)) == 0
    codec, _, _ = weights_command.assemble(tmp_path / "codec", tmp_path / "vocoder")
    assert not any("reader" in name for name in codec.state_dict())
    assert train.main(arguments("codec", speech_corpus, tmp_path / "alone", 2, "loss.knowledge=1.0")) == 1
