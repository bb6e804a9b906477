"""One step of stage 2: what it moves, what it holds, and whom it credits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from codec import listener
from codec.encoder import Meant
from codec.heard import Decoded, Reference
from codec.rewards import REWARDS, Reward, total
from tests.codec.tiny import task_of


def test_the_judges_in_memory_do_not_change_either(base: Path, corpus: Path) -> None:
    task = task_of(base, corpus, "reward.stoi=1.0", f'train.vocoder="{base / "base.safetensors"}"')
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


def test_the_teacher_rewards_and_anchors_without_changing(base: Path, corpus: Path) -> None:
    pytest.importorskip("moonshine_voice", reason="the teacher needs the extra moonshine: pip install 'clari[moonshine]'")
    more = [
        "reward={teacher = 1.0, words = 0.1}",
        "loss.teacher=1.0",
        "loss.words=0.1",
        f'train.vocoder="{base / "base.safetensors"}"',
    ]
    task = task_of(base, corpus, *more)
    loss, metrics = task.loss(task.batch(0))
    loss.backward()
    assert -3 < metrics["reward"] < 1 and metrics["equal_groups"] < 1 and 0 < metrics["teacher"] < 3 and metrics["words"] > 0
    assert task.listener.teacher is not None and all(each.grad is None for each in task.listener.teacher.parameters())
    weight = next(parameter for name, parameter in task.model.encoder.named_parameters() if name == "project.weight")
    assert weight.grad is not None and weight.grad.abs().sum() > 0
    # The anchor listens even where no reward asks for samples.
    quiet = task_of(base, corpus, "reward={cer = 1.0}", *more[1:])
    assert "teacher" in quiet.loss(quiet.batch(0))[1] and not quiet.listener.samples


def test_everything_trainable_trains_the_decoder_also_in_mixed_precision(base: Path, corpus: Path) -> None:
    task = task_of(base, corpus, 'rl.trainable="all"')
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = task.loss(task.batch(0))
    loss.backward()
    for part in (task.model.encoder, task.model.decoder):
        gradients = [parameter.grad for name, parameter in part.named_parameters() if name != "lost"]
        assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.training
@pytest.mark.parametrize(
    "how", [['rl.credit="frame"'], ['rl.credit="utterance"'], ['rl.gradient="slope"']], ids=["frame", "utterance", "slope"]
)
def test_what_is_rewarded_becomes_more_frequent(how: list[str], base: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reward that only the codes can earn: a loud decoder output in time, whatever it says."""

    def loud_in_time(decoded: Decoded, reference: Reference) -> Tensor:
        return decoded.mel.mean(3).unflatten(2, (-1, 4)).mean(3)

    def loud(decoded: Decoded, reference: Reference) -> Tensor:
        return loud_in_time(decoded, reference).mean(2)

    monkeypatch.setitem(REWARDS, "loud", Reward(loud, loud_in_time, smooth=True))
    task = task_of(base, corpus, "reward={loud = 1.0}", "loss.mel=0.0", "loss.recognizer=0.0", *how, "rl.group=16")
    optimizer = torch.optim.Adam([p for p in task.model.parameters() if p.requires_grad], lr=1e-3)
    batch, rewards = task.batch(0), []
    for step in range(30):
        torch.manual_seed(step)
        loss, figures = task.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rewards.append(figures["reward"])
    spread = np.std(np.diff(rewards[15:]))  # of the draws: within a few steps most is learned
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
    assert free[0] == held[0] == pytest.approx(0, abs=1e-6)
    assert 1e-6 < held[1] < free[1]


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
    meant = Meant(torch.zeros(*positions.shape[:2], task.model.encoder.project.in_features), positions)
    task.model.encoder.listen = lambda mel, state=None: (meant, state)  # type: ignore[method-assign, assignment]
    loss, _ = task.loss(batch)
    loss.backward()
    assert positions.grad is not None
    assert not positions.grad[torch.from_numpy(batch.lost).bool()].any() and positions.grad.any()


def test_the_slope_of_a_reward_is_what_a_small_step_gains(base: Path, corpus: Path) -> None:
    """Of both likelihoods and the mel distance together, over a link that loses frames and turns bits."""
    reward = "reward={mel = 1.0, ctc_phones = 0.5, ctc_letters = 0.5}"
    task = task_of(base, corpus, reward, 'rl.gradient="slope"', "rl.link_share=1.0", "rl.link_bit_error_rate=[0.1, 0.2]")
    batch = task.batch(0)
    _, clean = task.listener.mels(batch)
    codes = torch.randint(0, 4, (len(clean), 2, batch.lost.shape[1], 8), generator=torch.Generator().manual_seed(0))
    slopes, decoded, reference = task.listener.slopes(task.config.reward, task.model.decoder, codes, batch, clean)
    assert not decoded.mel.requires_grad and slopes.shape == codes.shape
    lost = torch.from_numpy(batch.lost).bool()
    assert lost.any() and not slopes[lost[:, None].expand(-1, 2, -1)].any()
    uphill, step = slopes.sign(), 1e-2

    def earned(sign: int) -> Tensor:
        moved = task.listener.arriving(codes, batch) + sign * step * uphill
        return total(task.config.reward, *task.listener._listen(task.model.decoder, moved, batch, clean, reference))

    with torch.no_grad():
        gained = (earned(1) - earned(-1)) / (2 * step)
    assert torch.allclose(gained, slopes.abs().sum((2, 3)), rtol=2e-2)


def test_the_slope_is_that_of_the_codes_that_arrive(base: Path, corpus: Path) -> None:
    task = task_of(
        base, corpus, "reward={mel = 1.0}", 'rl.gradient="slope"', "rl.link_share=1.0", "rl.link_bit_error_rate=[0.3, 0.4]"
    )
    batch = task.batch(0)
    assert batch.flips.any()
    positions = torch.zeros(len(batch.heard), batch.lost.shape[1], 8, requires_grad=True)  # levels 1 and 2 are as likely
    task.along(torch.ones(positions.shape), batch, positions, torch.ones(positions.shape[:2])).sum().backward()
    one, two = (task.listener.arriving(torch.full(positions.shape, level), batch) for level in (1, 2))
    assert positions.grad is not None and (one > two).any()  # a wrong bit turns some the other way round
    # Descent goes to the level that arrives as the higher value.
    assert torch.equal(positions.grad.sign(), (one - two).sign())


def test_draws_sound_the_same_however_many_are_decoded_at_once(base: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(base, corpus, "rl.link_share=0.5")
    batch = task.batch(0)
    _, clean = task.listener.mels(batch)
    codes = torch.randint(0, 4, (len(clean), 3, batch.lost.shape[1], 8), generator=torch.Generator().manual_seed(0))
    found = []
    for rows in (2, 1000):
        monkeypatch.setattr(listener, "ROWS_AT_ONCE", rows)
        found.append(task.listener.listen(task.model.decoder, codes, batch, clean)[0])
    for apart, together in zip(*((each.mel, each.phone_scores, each.letter_scores) for each in found), strict=True):
        assert apart.shape[:2] == codes.shape[:2] and torch.allclose(apart, together, atol=1e-4)


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
