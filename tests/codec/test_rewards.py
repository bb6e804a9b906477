"""Rewards by hand, their forms in time, and a metric of somebody else plugged in."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from codec import rewards
from codec.frontend import LOG_DEVIATION
from codec.heard import Decoded, Reference, words_of
from codec.recognizer import ctc_errors
from codec.rewards import REWARDS, Reward, timed_total, total
from codec.teacher import Written
from codec.text import LETTER_CLASSES, text_to_letters
from tests.conftest import speech_like

CLASSES = 40
FRAMES = 24


def spelled(labels: list[int], classes: int, frames: int = FRAMES, sure: float = 9.0) -> Tensor:
    """Log-probabilities [frames, classes] whose best path says each label for one frame and a blank after it."""
    scores = torch.zeros(frames, classes)
    scores[:, 0] = sure
    for place, label in enumerate(labels):
        scores[2 * place] = 0
        scores[2 * place, label] = sure
    return torch.log_softmax(scores, dim=1)


def pair(said: list[list[str]], texts: list[str], seconds: list[int] | None = None) -> tuple[Decoded, Reference]:
    """What G listeners heard of B texts, by letters; their phones are the letters' numbers."""
    letters = torch.stack([torch.stack([spelled(text_to_letters(text), LETTER_CLASSES) for text in group]) for group in said])
    phones = torch.stack([torch.stack([spelled(text_to_letters(text), CLASSES) for text in group]) for group in said])
    frames = torch.tensor(seconds or [FRAMES] * len(texts))
    targets = [text_to_letters(text) for text in texts]
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(len(texts), 4 * FRAMES, 20, generator=generator)
    decoded_mel = torch.randn(len(texts), len(said[0]), 4 * FRAMES, 20, generator=generator)
    original = [torch.stack([spelled(target, classes) for target in targets]) for classes in (CLASSES, LETTER_CLASSES)]
    return Decoded(decoded_mel, phones, letters, frames), Reference(mel, frames, targets, targets, *original)


SAID = [["a cat", "a cut", "acat", ""], ["hot dog", "hot", "hot dogs", "dog hot"]]
TEXTS = ["a cat", "hot dog"]


def test_error_rates_by_hand() -> None:
    decoded, reference = pair(SAID, TEXTS)
    words = [[0, -1 / 2, -1, -1], [0, -1 / 2, -1 / 2, -1]]
    letters = [[0, -1 / 5, -1 / 5, -1], [0, -4 / 7, -1 / 7, -4 / 7]]
    assert torch.allclose(REWARDS["wer"].whole(decoded, reference), torch.tensor(words))
    assert torch.allclose(REWARDS["cer"].whole(decoded, reference), torch.tensor(letters))
    assert torch.allclose(REWARDS["per"].whole(decoded, reference), torch.tensor(letters))


def test_words_stand_between_spaces() -> None:
    assert words_of(text_to_letters("it's a dog")) == [tuple(text_to_letters(word)) for word in ("it's", "a", "dog")]
    assert words_of([]) == [] and words_of([1, 1]) == [] and words_of([1, 5, 1, 1, 6]) == [(5,), (6,)]


def test_the_rates_are_those_of_the_recognizer() -> None:
    decoded, reference = pair(SAID, TEXTS)
    wrong, labels = ctc_errors(decoded.letter_scores[0, 1:2], reference.frames[:1], reference.letters[:1])
    assert float(REWARDS["cer"].whole(decoded, reference)[0, 1]) == pytest.approx(-wrong / labels)


def test_likelihood_is_the_ctc_loss_per_label_and_sees_what_errors_do_not() -> None:
    decoded, reference = pair(SAID, TEXTS)
    found = REWARDS["ctc_letters"].whole(decoded, reference)
    target = torch.tensor(reference.letters[1])
    expected = torch.nn.functional.ctc_loss(
        decoded.letter_scores[1, 2][:, None], target, torch.tensor([FRAMES]), torch.tensor([7]), reduction="sum"
    )
    assert float(found[1, 2]) == pytest.approx(-float(expected) / 7, rel=1e-4)
    assert found.argmax(1).tolist() == [0, 0] and REWARDS["ctc_phones"].whole(decoded, reference).argmax(1).tolist() == [0, 0]
    unsure = Decoded(decoded.mel, decoded.phone_scores, torch.log_softmax(decoded.letter_scores / 3, 3), decoded.frames)
    assert torch.equal(REWARDS["cer"].whole(unsure, reference), REWARDS["cer"].whole(decoded, reference))
    assert (REWARDS["ctc_letters"].whole(unsure, reference)[:, 0] < found[:, 0]).all()


def test_mel_closeness_counts_speech_alone() -> None:
    decoded, reference = pair(SAID, TEXTS, [10, FRAMES])
    found = REWARDS["mel"].whole(decoded, reference)
    distance = (decoded.mel[0, 3, :40] - reference.mel[0, :40]).abs().mean() * LOG_DEVIATION
    assert float(found[0, 3]) == pytest.approx(-float(distance), rel=1e-5)
    assert found.shape == (2, 4)


@pytest.mark.parametrize("name", ["wer", "cer", "per", "mel"])
@pytest.mark.parametrize("frames", [[FRAMES, FRAMES], [15, 20]])
def test_the_mean_in_time_is_the_whole(name: str, frames: list[int]) -> None:
    decoded, reference = pair(SAID, TEXTS, frames)
    timed = REWARDS[name].timed
    assert timed is not None
    found = timed(decoded, reference)
    assert found.shape == (2, 4, FRAMES)
    for row, length in enumerate(frames):
        assert not found[row, :, length:].any()
        assert torch.allclose(found[row, :, :length].mean(1), REWARDS[name].whole(decoded, reference)[row], atol=1e-5)


def test_a_text_too_long_for_its_frames_is_credited_to_all_of_them() -> None:
    decoded, reference = pair(SAID, TEXTS, [4, 20])
    found = rewards.timed_letter_errors(decoded, reference)
    assert torch.allclose(found[0, :, :4], REWARDS["cer"].whole(decoded, reference)[0][:, None].expand(-1, 4))


def test_errors_lie_where_they_were_made() -> None:
    decoded, reference = pair([["hot dog", "hot fog"]], ["hot dog"])
    words, letters = (REWARDS[name].timed(decoded, reference)[0] for name in ("wer", "cer"))  # type: ignore[misc]
    assert not words[0].any() and not letters[0].any()
    # Letter n is said in frame 2 n of the original: d is frame 8, and a blank belongs to the letter before it.
    assert letters[1].nonzero().flatten().tolist() == [8, 9]
    assert words[1, :8].abs().max() == 0 and (words[1, 8:14] < 0).all()


def test_the_path_of_the_original_bounds_the_likelihood() -> None:
    decoded, reference = pair(SAID, TEXTS)
    for name in ("ctc_letters", "ctc_phones"):
        timed = REWARDS[name].timed
        assert timed is not None
        means, wholes = timed(decoded, reference).mean(2), REWARDS[name].whole(decoded, reference)
        assert (means <= wholes + 1e-5).all() and means.argmax(1).tolist() == [0, 0]


def test_stoi_prefers_the_original() -> None:
    clean = np.stack([speech_like(0.96, seed) for seed in range(2)])
    noise = np.random.default_rng(0).standard_normal(clean.shape).astype(np.float32)
    samples = np.stack([clean, clean + 0.02 * noise, clean + 0.2 * noise], axis=1)
    decoded, reference = pair([["a"] * 3] * 2, ["a", "a"])
    decoded = Decoded(decoded.mel, decoded.phone_scores, decoded.letter_scores, decoded.frames, torch.from_numpy(samples))
    reference = Reference(*(vars(reference)[name] for name in list(vars(reference))[:6]), torch.from_numpy(clean))
    found = REWARDS["stoi"].whole(decoded, reference)
    assert torch.allclose(found[:, 0], torch.ones(2), atol=1e-3)
    assert (found[:, 0] > found[:, 1]).all() and (found[:, 1] > found[:, 2]).all()


def taught(seconds: list[int]) -> tuple[Decoded, Reference]:
    """What a teacher heard of two utterances: the original, more and more beside it, and something else."""
    decoded, reference = pair(SAID, TEXTS, seconds)
    generator = torch.Generator().manual_seed(0)
    meant, other = (torch.randn(2, FRAMES, 16, generator=generator) for _ in range(2))
    heard = torch.stack([meant, meant + 0.3 * other, meant + other, other], 1)
    return dataclasses.replace(decoded, taught=heard), dataclasses.replace(reference, taught=meant)


@pytest.mark.parametrize("frames", [[FRAMES, FRAMES], [15, 20]])
def test_the_teacher_prefers_what_it_hears_in_the_original(frames: list[int]) -> None:
    decoded, reference = taught(frames)
    found, timed = REWARDS["teacher"].whole(decoded, reference), rewards.timed_teacher_likeness(decoded, reference)
    assert torch.allclose(found[:, 0], torch.ones(2)) and (found.diff(dim=1) < -0.02).all() and found[:, 3].abs().max() < 0.2
    for row, length in enumerate(frames):
        assert not timed[row, :, length:].any()
        assert torch.allclose(timed[row, :, :length].mean(1), found[row], atol=1e-5)


def test_words_count_where_they_are_said_and_nowhere_else() -> None:
    decoded, reference = pair(SAID, TEXTS, [15, 20])
    counts = torch.tensor([[1.0, 1, 1], [1, 1, 0]])
    places = torch.zeros(2, 3, FRAMES)
    places[:, 0, 2], places[:, 1, 7], places[0, 2, 12] = 1, 1, 1
    scores = -torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 2, 4]], [[0, 0, 0], [0, 3, 0], [1, 1, 0]]])
    written = Written(torch.zeros(2, 4, dtype=torch.int64), counts, places, scores[:, 0])
    decoded = dataclasses.replace(decoded, token_scores=scores)
    reference = dataclasses.replace(reference, written=written)
    whole, timed = REWARDS["words"].whole(decoded, reference), rewards.timed_word_likelihood(decoded, reference)
    assert torch.allclose(whole, torch.tensor([[0.0, -1 / 3, -2], [0, -1.5, -1]]))
    for row, length in enumerate((15, 20)):
        assert torch.allclose(timed[row, :, :length].mean(1), whole[row], atol=1e-6)
    assert timed[0, 2].nonzero().flatten().tolist() == [7, 12] and timed[1, 1].nonzero().flatten().tolist() == [7]


def test_weights_trade_rewards_and_what_has_no_time_lies_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, reference = pair(SAID, TEXTS)
    wer, mel = (REWARDS[name].whole(decoded, reference) for name in ("wer", "mel"))
    assert torch.allclose(total({"wer": 2.0, "mel": 0.5}, decoded, reference), 2 * wer + 0.5 * mel)
    monkeypatch.setitem(REWARDS, "untimed", Reward(lambda decoded, reference: wer))
    timed = timed_total({"untimed": 3.0, "cer": 1.0}, decoded, reference)
    letters = rewards.timed_letter_errors(decoded, reference)
    assert torch.allclose(timed, 3 * wer.unsqueeze(2) + letters)


def test_another_metric_plugs_in_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def keyword_found(decoded: Decoded, reference: Reference) -> Tensor:
        word = tuple(text_to_letters("dog"))
        return torch.tensor([[float(word in words) for words in group] for group in decoded.words])

    monkeypatch.setitem(REWARDS, "keyword", Reward(keyword_found))
    decoded, reference = pair(SAID, TEXTS)
    assert total({"keyword": 5.0}, decoded, reference).tolist() == [[0, 0, 0, 0], [5, 0, 0, 5]]


def test_an_empty_reference_is_no_error() -> None:
    decoded, reference = pair([["a cat", ""]], [""])
    for name in ("wer", "cer", "per", "ctc_letters", "ctc_phones"):
        reward = REWARDS[name]
        assert reward.timed is not None
        assert torch.isfinite(reward.whole(decoded, reference)).all() and torch.isfinite(reward.timed(decoded, reference)).all()
    assert REWARDS["wer"].whole(decoded, reference).tolist() == [[-2, 0]]
