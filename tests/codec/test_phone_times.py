"""Forced alignment: the best path by brute force, times that read back, and a corpus that gains them."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from codec import phone_times
from codec.alignment import forced_path
from codec.batches import phones_at
from codec.config import Config, RecognizerConfig
from codec.data.corpus import PackedCorpus, pack
from codec.phone_times import FRAME_S, alignment_text
from codec.phones import PHONE_INDEX, parse_alignment
from codec.recognizer import Recognizer
from codec.weights import save_weights


def allowed(path: tuple[int, ...], count: int) -> bool:
    """Whether places visit 0 .. count - 1 in order, all of them, with silence (-1) anywhere around but not inside one."""
    runs = [place for index, place in enumerate(path) if index == 0 or place != path[index - 1]]
    return [place for place in runs if place >= 0] == list(range(count))


@pytest.mark.parametrize("seed", range(5))
def test_the_path_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.log(rng.dirichlet(np.ones(4), size=6))
    targets = [2, 2, 3][: 1 + seed % 3]

    def total(path: tuple[int, ...]) -> float:
        return float(sum(scores[frame, 0 if place < 0 else targets[place]] for frame, place in enumerate(path)))

    best = max((path for path in product(range(-1, len(targets)), repeat=6) if allowed(path, len(targets))), key=total)
    found = forced_path(scores, targets, repeats_apart=False)
    assert found is not None and allowed(tuple(found[1]), len(targets))
    assert total(tuple(found[1])) == pytest.approx(total(best))


def test_equal_neighbours_need_no_silence_but_a_frame_each() -> None:
    assert forced_path(np.zeros((1, 4)), [2, 2], repeats_apart=False) is None
    found = forced_path(np.zeros((2, 4)), [2, 2], repeats_apart=False)
    assert found is not None and found[1].tolist() == [0, 1]
    assert forced_path(np.zeros((2, 4)), [2, 2]) is None


def test_times_read_back() -> None:
    text = alignment_text(np.array([-1, 0, 0, 1, -1]), ["hh", "ih"])
    phones, ends_s = zip(*parse_alignment(text), strict=True)
    assert phones == ("pau", "hh", "ih", "pau")
    assert ends_s == pytest.approx([FRAME_S, 3 * FRAME_S, 4 * FRAME_S, 5 * FRAME_S])


def test_a_corpus_gains_phone_times(corpus_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, weights = tmp_path / "corpus", tmp_path / "recognizer.safetensors"
    pack([corpus_manifest], folder, workers=1)
    config = Config(recognizer=RecognizerConfig(width=8, blocks=1))
    save_weights(weights, Recognizer(config.recognizer, config.model.mels).state_dict(), config, "none")
    before = PackedCorpus(folder).entries
    assert phone_times.main(["--recognizer", str(weights), "--corpus", str(folder), "--threads", "1"]) == 0
    after = PackedCorpus(folder).entries
    timed = [entry for entry in after if entry.alignment]
    assert timed and f"{len(timed)} recordings aligned" in capsys.readouterr().out
    for old, new in zip(before, after, strict=True):
        assert old.with_alignment(new.alignment) == new
    for entry in timed:
        labels = phones_at(entry, (np.arange(entry.samples // 640) + 0.5) * FRAME_S)
        assert set(labels) - {0} <= {PHONE_INDEX[phone] for phone in entry.phones.split()} and labels.any()


def test_what_is_missing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert phone_times.main(["--recognizer", str(tmp_path / "none"), "--corpus", str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
