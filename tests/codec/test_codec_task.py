"""What the codec's training asks: what arrived, which bits were wrong, which phone it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from codec import stage1 as train
from codec import weights as weights_command
from codec.batches import UNKNOWN_PHONE
from codec.tasks.codec import aligned, code_entropy_bits, phone_surprise, spectral_contrast
from codec.tasks.damage import arrived, lost_bursts, wrong_bits
from tests.codec.tiny import arguments, metrics


def test_alignment_lays_the_delayed_mel_beside_its_target() -> None:
    clean = torch.arange(64.0).reshape(1, 64, 1)
    decoded = torch.roll(clean, 8, dims=1)
    late, target = aligned(decoded, clean, 8)
    assert torch.equal(late, target) and late.shape[1] == 56


def test_bursts_stay_inside() -> None:
    torch.manual_seed(0)
    lost = lost_bursts(400, 32, 0.3, (1, 12))
    share = (lost.sum(dim=1) > 0).float().mean().item()
    assert 0.2 < share < 0.4 and set(lost.unique().tolist()) == {0.0, 1.0}
    assert lost_bursts(5, 32, 0.0, (1, 12)).sum() == 0


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


def test_known_phones_are_asked_for_where_they_count() -> None:
    chances = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.9, 0.05, 0.05]]]).repeat(2, 1, 1)
    phones = torch.tensor([[0, 1, UNKNOWN_PHONE, 2], [UNKNOWN_PHONE] * 4])
    everything = torch.ones(2, 4)
    # Every crop counts alike, also one of which nothing is known.
    by_hand = -torch.tensor([0.5, 0.8, 0.05]).log().mean() / 2
    assert torch.isclose(phone_surprise(chances.log(), phones, everything), by_hand)
    arrived_only = torch.tensor([[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    assert torch.isclose(phone_surprise(chances.log(), phones, arrived_only), -torch.tensor([0.5, 0.8]).log().mean() / 2)
    heard = chances.log().requires_grad_()
    phone_surprise(heard, phones, arrived_only).backward()
    assert heard.grad is not None and not heard.grad[1].any() and not heard.grad[0, 2:].any() and heard.grad[0, :2].any()


def test_entropy_counts_bits() -> None:
    even = torch.arange(4).repeat(64)[:, None].expand(-1, 8)[None]
    assert code_entropy_bits(even) == pytest.approx(16.0)
    assert code_entropy_bits(torch.zeros(1, 100, 8, dtype=torch.int64)) == pytest.approx(0.0)


@pytest.mark.training
def test_a_reader_trains_beside_the_codec_and_does_not_ship(corpus: Path, tmp_path: Path) -> None:
    assert train.main(arguments("recognizer", corpus, tmp_path / "recognizer", 2)) == 0
    taught = [f'train.recognizer="{tmp_path / "recognizer"}"', "loss.recognizer=0.7", "train.log_every=1"]
    taught += ["loss.knowledge=1.0", "loss.encoder_knowledge=1.0", "train.learning_rate=5e-3"]
    assert train.main(arguments("codec", corpus, tmp_path / "codec", 30, *taught)) == 0
    header = (tmp_path / "codec" / "metrics.csv").read_text().split("\n", 1)[0].split(",")
    for name in ("knowledge", "encoder_knowledge"):
        known = metrics(tmp_path / "codec")[:, header.index(name)]
        assert known[-5:].mean() < 0.7 * known[:3].mean()
    assert train.main(arguments("vocoder", corpus, tmp_path / "vocoder", 2)) == 0
    codec, _, _ = weights_command.assemble(tmp_path / "codec", tmp_path / "vocoder")
    assert not any("reader" in name for name in codec.state_dict())
    assert train.main(arguments("codec", corpus, tmp_path / "alone", 2, "loss.knowledge=1.0")) == 1


@pytest.mark.training
def test_a_discriminator_trains_beside_the_codec_and_does_not_ship(corpus: Path, tmp_path: Path) -> None:
    hard = ["loss.adversarial=0.1", "discriminator.mel_channels=2", "train.log_every=1"]
    assert train.main(arguments("codec", corpus, tmp_path / "codec", 3, *hard)) == 0
    assert "discriminator" in (tmp_path / "codec" / "metrics.csv").read_text().split("\n", 1)[0].split(",")
    assert "contrast" in (tmp_path / "codec" / "validation.csv").read_text().split("\n", 1)[0].split(",")
    assert train.main(arguments("vocoder", corpus, tmp_path / "vocoder", 2)) == 0
    codec, _, _ = weights_command.assemble(tmp_path / "codec", tmp_path / "vocoder")
    assert not any("discriminator" in name for name in codec.state_dict())


def test_contrast_is_how_far_a_spectrum_stands_out() -> None:
    target = torch.randn(2, 50, 80, generator=torch.Generator().manual_seed(1))
    assert spectral_contrast(target, target).item() == pytest.approx(1.0)
    assert spectral_contrast(0.3 * target + 2, target).item() == pytest.approx(0.3, rel=1e-4)
