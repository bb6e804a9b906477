"""Stage 2: what is frozen stays frozen, the reward rises, a run resumes exactly, and the result talks to old receivers."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from codec import probe, rl, train
from codec import weights as weights_command
from codec.config import load_config
from codec.corpus import pack
from codec.heard import Decoded, Reference
from codec.rewards import REWARDS, Reward
from codec.rl import PolicyTask
from codec.run import Run
from export.command import main as export_command
from stream import engine
from stream.content import Voice
from stream.packet import Framing
from stream.profile import find_profile
from tests.codec.test_train import ROOT, TINY, arguments, metrics, weights
from tests.conftest import speech_like

CONFIGS = ROOT / "codec" / "configs"


@pytest.fixture(scope="module")
def corpus(corpus_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rl") / "speech"
    pack([corpus_manifest], folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def base(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights of a tiny codec, vocoder and recogniser."""
    folder = tmp_path_factory.mktemp("base")
    for task in ("recognizer", "codec", "vocoder"):
        assert train.main(arguments(task, corpus, folder / task, 2)) == 0
    sources = ["--codec", str(folder / "codec"), "--vocoder", str(folder / "vocoder")]
    assert weights_command.main([*sources, "--out", str(folder / "base.safetensors")]) == 0
    return folder


def overrides(base: Path, corpus: Path, steps: int, *more: str) -> list[str]:
    return [
        *TINY, f'data.corpora=["{corpus}"]', "data.shares=[1.0]", "data.batch_s=8.0", "data.room_share=0.0", f"train.steps={steps}",
        f'train.initial="{base / "base.safetensors"}"', f'train.recognizer="{base / "recognizer"}"', "rl.group=4",
        "rl.validation_rounds=1", *more,
    ]  # fmt: skip


def run_rl(base: Path, corpus: Path, out: Path, steps: int, *more: str, config: str = "rl") -> list[str]:
    path = str(CONFIGS / f"{config}.toml")
    return ["--threads", "1", "--config", path, "--out", str(out), *overrides(base, corpus, steps, *more)]


def task_of(base: Path, corpus: Path, *more: str) -> PolicyTask:
    torch.manual_seed(0)
    return PolicyTask(load_config(CONFIGS / "rl.toml", overrides(base, corpus, 4, *more)), torch.device("cpu"))


def digests(base: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(base.rglob("*.safetensors"))}


@pytest.mark.parametrize("config", ["rl", "rl-robust", "rl-control"])
def test_every_published_experiment_runs_and_reports(
    config: str, base: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["rl.group=1"] if config == "rl-control" else []
    assert rl.main(run_rl(base, corpus, tmp_path / "run", 4, *more, config=config)) == 0
    lines = capsys.readouterr().out.splitlines()
    validation = next(line for line in lines if line.startswith("validation at 4: "))
    assert ("before_link_cer" in validation) == (config == "rl-robust")
    header, *rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert {"reward", "wer", "cer", "per", "entropy_bits", "kl", "gradient_norm", "equal_groups"} <= set(header.split(","))
    assert len(rows) == 2 and np.isfinite([float(value) for row in rows for value in row.split(",")]).all()
    checked = (tmp_path / "run" / "validation.csv").read_text().splitlines()
    assert len(checked) == 3 and checked[0].startswith("step,reward,") and "before_cer" in checked[0]
    assert (tmp_path / "run" / "step-000004.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("credit", ["frame", "utterance"])
def test_not_one_byte_behind_the_quantiser_changes(credit: str, base: Path, corpus: Path, tmp_path: Path) -> None:
    before = digests(base)
    more = [f'rl.credit="{credit}"', "reward.stoi=1.0", f'rl.vocoder="{base / "base.safetensors"}"', "train.learning_rate=1e-2"]
    assert rl.main(run_rl(base, corpus, tmp_path / "run", 4, *more)) == 0
    assert digests(base) == before
    shipped = load_file(base / "base.safetensors")
    for kind in ("model", "average"):
        trained = load_file(tmp_path / "run" / "checkpoint" / f"{kind}.safetensors")
        for name, tensor in trained.items():
            same = tensor.numpy().tobytes() == shipped[f"mel_codec.{name}"].float().numpy().tobytes()
            assert same or name.startswith("encoder."), name
        moved = [not torch.equal(trained[name], shipped[f"mel_codec.{name}"].float()) for name in trained if "encoder" in name]
        assert sum(moved) > len(moved) // 2
        assert not torch.equal(trained["encoder.project.weight"], shipped["mel_codec.encoder.project.weight"].float())


def test_the_judges_in_memory_do_not_change_either(base: Path, corpus: Path) -> None:
    task = task_of(base, corpus, "reward.stoi=1.0", f'rl.vocoder="{base / "base.safetensors"}"')
    assert task.listener.vocoder is not None
    frozen = (task.model.decoder, task.listener.vocoder, task.listener.recognizer, task.start)
    before = [{name: tensor.clone() for name, tensor in module.state_dict().items()} for module in frozen]
    optimizer = torch.optim.SGD([p for p in task.model.parameters() if p.requires_grad], lr=0.1)
    for step in range(2):
        task.loss(task.batch(step))[0].backward()
        optimizer.step()
    for module, state in zip(frozen, before, strict=True):
        assert all(parameter.grad is None for parameter in module.parameters())
        assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())


def test_everything_trainable_trains_the_decoder_also_in_mixed_precision(base: Path, corpus: Path) -> None:
    task = task_of(base, corpus, 'rl.trainable="all"')
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = task.loss(task.batch(0))
    loss.backward()
    for part in (task.model.encoder, task.model.decoder):
        gradients = [parameter.grad for name, parameter in part.named_parameters() if name != "lost"]
        assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.training
@pytest.mark.parametrize("credit", ["frame", "utterance"])
def test_what_is_rewarded_becomes_more_frequent(credit: str, base: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reward that only the codes can earn: a loud decoder output in time, whatever it says."""

    def loud_in_time(decoded: Decoded, reference: Reference) -> Tensor:
        return decoded.mel.mean(3).unflatten(2, (-1, 4)).mean(3)

    def loud(decoded: Decoded, reference: Reference) -> Tensor:
        return loud_in_time(decoded, reference).mean(2)

    monkeypatch.setitem(REWARDS, "loud", Reward(loud, loud_in_time))
    task = task_of(base, corpus, "reward={loud = 1.0}", "loss.mel=0.0", f'rl.credit="{credit}"', "rl.group=16")
    optimizer = torch.optim.Adam([p for p in task.model.parameters() if p.requires_grad], lr=5e-3)
    batch, rewards = task.batch(0), []
    for step in range(30):
        torch.manual_seed(step)
        loss, figures = task.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rewards.append(figures["reward"])
    spread = np.std(np.diff(rewards))
    assert np.mean(rewards[-5:]) > np.mean(rewards[:5]) + 2 * spread
    assert task.validate(task.model, None)["loud"] > task.validate(task.model, None)["before_loud"]


def test_the_divergence_from_stage_1_starts_at_zero_and_holds_the_policy(base: Path, corpus: Path) -> None:
    def moved(kl: float) -> tuple[float, float]:
        task = task_of(base, corpus, f"rl.kl={kl}", "rl.weight=0.0", "loss.mel=1.0")
        optimizer = torch.optim.Adam([p for p in task.model.parameters() if p.requires_grad], lr=1e-3)
        found = []
        for step in range(6):
            torch.manual_seed(step)
            loss, figures = task.loss(task.batch(step))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(figures["kl"])
        return found[0], found[-1]

    free, held = moved(0.0), moved(5.0)
    assert free[0] == held[0] == 0.0
    assert 0 < held[1] < free[1]


def test_the_entropy_bonus_flattens_the_policy(base: Path, corpus: Path) -> None:
    task = task_of(base, corpus, "rl.entropy=10.0", "rl.weight=0.0", "loss.mel=0.0")
    optimizer = torch.optim.Adam([p for p in task.model.parameters() if p.requires_grad], lr=1e-3)
    found = []
    for _ in range(6):
        loss, figures = task.loss(task.batch(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(figures["entropy_bits"])
    assert found[-1] > found[0] and all(0 <= bits <= 16 for bits in found)


def test_a_group_shares_its_link_and_lost_codes_are_not_credited(base: Path, corpus: Path) -> None:
    task = task_of(base, corpus, "rl.link_share=1.0", "rl.link_loss_rate=[0.6, 0.7]", "loss.mel=0.0")
    batch = task.batch(0)
    assert 0 < batch.lost.mean() < 1
    heard, clean = task.listener.mels(batch)
    codes = torch.zeros(len(heard), 3, batch.lost.shape[1], 8, dtype=torch.int64)
    other_codes = torch.where(torch.from_numpy(batch.lost).bool()[:, None, :, None], 3, codes)
    same, other, arriving = (
        task.listener.listen(task.model.decoder, sent, batch, clean)[0] for sent in (codes, other_codes, codes + 1)
    )
    assert torch.equal(same.mel[:, 0], same.mel[:, 2]) and torch.equal(same.mel, other.mel)
    assert not torch.equal(same.mel, arriving.mel)

    positions = torch.zeros(len(heard), batch.lost.shape[1], 8, requires_grad=True)
    task.model.encoder.forward = lambda mel, state: (positions, state)  # type: ignore[method-assign, assignment]
    loss, _ = task.loss(batch)
    loss.backward()
    assert positions.grad is not None
    assert not positions.grad[torch.from_numpy(batch.lost).bool()].any() and positions.grad.any()


def test_several_updates_learn_from_the_same_draws(base: Path, corpus: Path) -> None:
    task = task_of(base, corpus, "rl.updates=2", "rl.clip=0.2")
    optimizer = torch.optim.SGD([p for p in task.model.parameters() if p.requires_grad], lr=0.1)
    first, second, third = (task.batch(step) for step in range(3))
    assert np.array_equal(first.heard, second.heard) and first.heard.shape != third.heard.shape
    drawn = []
    for batch in (first, second, third):
        torch.manual_seed(batch.step)
        optimizer.zero_grad()
        loss, figures = task.loss(batch)
        loss.backward()
        optimizer.step()
        drawn.append((task.rollouts, figures["policy"]))
    assert drawn[0][0] is drawn[1][0] and drawn[2][0] is not drawn[1][0]
    assert drawn[0][1] != drawn[1][1]  # the policy has moved away from the draw


def test_the_recogniser_may_be_its_own_reference(base: Path, corpus: Path) -> None:
    task = task_of(base, corpus, 'rl.reference="heard"')
    batch = task.batch(0)
    heard, clean = task.listener.mels(batch)
    codes = torch.zeros(len(heard), 1, batch.lost.shape[1], 8, dtype=torch.int64)
    _, reference = task.listener.listen(task.model.decoder, codes, batch, clean)
    itself = Decoded(reference.mel[:, None], reference.phone_scores[:, None], reference.letter_scores[:, None], reference.frames)
    assert REWARDS["per"].whole(itself, reference).abs().max() == 0
    assert reference.phones != batch.phones


@pytest.mark.training
def test_a_run_that_was_stopped_ends_with_the_same_weights(base: Path, corpus: Path, tmp_path: Path) -> None:
    more = ["rl.link_share=0.5", "rl.updates=2", "rl.clip=0.2", "rl.kl=0.1"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert rl.main(run_rl(base, corpus, whole, 6, *more)) == 0

    class Killed(Exception):
        pass

    class Dying(PolicyTask):
        def loss(self, batch):  # type: ignore[no-untyped-def]
            if batch.step == 5:
                raise Killed
            return super().loss(batch)

    with pytest.raises(Killed):
        train.main(run_rl(base, corpus, stopped, 6, *more), {"rl": Dying}, "codec.rl", "")
    assert Run(stopped).average_weights()[1] == 4
    assert rl.main(run_rl(base, corpus, stopped, 6, *more)) == 0
    undisturbed, resumed = weights(whole), weights(stopped)
    assert undisturbed.keys() == resumed.keys()
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)


@pytest.mark.training
def test_two_processes_take_the_steps_of_one(base: Path, corpus: Path, tmp_path: Path) -> None:
    more = ["train.log_every=1", "data.batch_s=16.0", "rl.link_share=0.5", "loss.recognizer=0.3", "rl.kl=0.1"]
    assert rl.main(run_rl(base, corpus, tmp_path / "one", 2, *more)) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "codec.rl"]
    done = subprocess.run([*torchrun, *run_rl(base, corpus, tmp_path / "two", 2, *more)], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    columns = (tmp_path / "one" / "metrics.csv").read_text().split("\n", 1)[0].split(",")
    for name in ("loss", "mel", "kl", "policy", "gradient_norm"):
        # A draw on the edge between two levels may round the other way where the sums run in another order.
        np.testing.assert_allclose(two[0, columns.index(name)], one[0, columns.index(name)], rtol=2e-2, atol=1e-4, err_msg=name)
    for name, value in weights(tmp_path / "one").items():
        if name.startswith("model."):
            assert torch.allclose(value, weights(tmp_path / "two")[name], atol=2e-3), name


def test_old_and_new_encoder_talk_to_the_same_old_receiver(
    base: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, vocoder, models = tmp_path / "rl-run", str(base / "base.safetensors"), tmp_path / "models"
    assert rl.main(run_rl(base, corpus, run, 4, "train.learning_rate=3e-2", "train.average_decay=0.5")) == 0
    for name, trained in (("base", vocoder), ("rl", str(run))):
        assert export_command(["--codec", trained, "--vocoder", vocoder, "--name", name, "--out", str(models / name)]) == 0
    monkeypatch.setattr(engine, "MODELS", models)
    assert engine.model_names() == ["base", "rl"]  # what `clari-tx --model` chooses among
    receiver, profile = engine.load_decoder("base"), find_profile("standard")
    frames = speech_like(2.56).reshape(-1, profile.frames, 1280)
    sent, heard = [], []
    for name in ("base", "rl"):
        encoder = engine.load_encoder(name)
        assert (encoder.meta.name, encoder.meta.decoder_id) == (name, receiver.meta.decoder_id)
        sending, hearing = encoder.stream(), receiver.stream()
        packets = [
            Framing(encoder.meta.decoder_id).build(Voice(0, number, np.stack([sending.encode(frame) for frame in packet])), profile)
            for number, packet in enumerate(frames)
        ]
        arrived = np.concatenate([Framing(receiver.meta.decoder_id).parse(packet).content.codes for packet in packets])
        sent.append(arrived)
        heard.append(np.concatenate([hearing.decode(codes).copy() for codes in arrived]))
    assert (sent[0] != sent[1]).any() and (heard[0] != heard[1]).any()  # it did learn something
    # The old receiver makes of the new codes what the decoder exported with the new encoder makes of them.
    newer = engine.load_decoder("rl").stream()
    assert np.array_equal(heard[1], np.concatenate([newer.decode(codes).copy() for codes in sent[1]]))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("reward={speed = 1.0}", "knows no ['speed']; known are wer, cer"),
        ("reward={}", "weighs nothing"),
        ("rl.group=1", "nothing to compare"),
        ("rl.temperature=0.0", "more than 0"),
        ('rl.credit="word"', "frame or utterance"),
        ('rl.reference="text"', "transcript or heard"),
        ('rl.trainable="vocoder"', "encoder or all"),
        ("reward.stoi=1.0", "rl.vocoder is empty"),
        ("rl.updates=3", "multiples of rl.updates"),
        ("rl.link_loss_rate=[0.1, 1.0]", "below 1"),
        ("rl.link_burst_packets=0.5", "at least 1"),
        ('rl.link_profile="wide"', "unknown profile"),
        ('train.initial=""', "train.initial is empty"),
        ('train.task="codec"', "write one of rl"),
        ('reward.cer="much"', "must be a number"),
        ("reward=1.0", "must be a section"),
    ],
)
def test_numbers_that_cannot_be_meant_are_one_line(
    override: str, says: str, base: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rl.main(run_rl(base, corpus, tmp_path / "run", 4, override)) == 1
    captured = capsys.readouterr()
    assert says in captured.err and len(captured.err.strip().splitlines()) == 1 and captured.err.startswith("codec.rl: ")


def test_the_probe_tells_how_much_a_step_can_learn(base: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--threads", "1", "--config", str(CONFIGS / "rl.toml"), "--batches", "2"]
    assert probe.main([*config, *overrides(base, corpus, 4), "reward={mel = 1.0, per = 1.0}"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 steps, 2 groups of 4 each: ")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| ")][1:]
    assert [row[:2] for row in rows] == [[name, credit] for name in ("all", "mel", "per") for credit in ("utterance", "frame")]
    figures = {(name, credit): [float(value.split()[0]) for value in rest] for name, credit, *rest in rows}
    for mean, deviation, equal, norm, agreement in figures.values():
        assert mean < 0 <= deviation and 0 <= equal <= 1 and norm >= 0 and -1 <= agreement <= 1
    assert figures["mel", "frame"][0] == pytest.approx(figures["mel", "utterance"][0], abs=2e-3)
    assert probe.main([*config, *overrides(base, corpus, 4), "reward={}"]) == 1
    assert capsys.readouterr().err.startswith("codec.probe: [reward] weighs nothing")
