"""The vocoder's training: on what a codec decodes, and against discriminators."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from codec import stage1 as train
from codec import weights as weights_command
from tests.codec.tiny import arguments, weights


def test_the_vocoder_learns_from_what_a_frozen_codec_decodes(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task in ("codec", "vocoder"):
        assert train.main(arguments(task, corpus, tmp_path / task, 2)) == 0
    frozen = weights(tmp_path / "codec")
    decoded = [f'train.decoded_by="{tmp_path / "codec"}"', f'train.initial="{tmp_path / "vocoder"}"', "train.decoded_share=1.0"]
    assert train.main(arguments("vocoder", corpus, tmp_path / "plain", 2, decoded[1])) == 0
    assert train.main(arguments("vocoder", corpus, tmp_path / "fine", 2, *decoded)) == 0
    assert not torch.equal(*(weights(tmp_path / run)["model.head.weight"] for run in ("plain", "fine")))
    assert all(torch.equal(frozen[name], value) for name, value in weights(tmp_path / "codec").items())


@pytest.mark.training
def test_an_adversarial_vocoder_trains_resumes_and_ships(corpus: Path, tmp_path: Path) -> None:
    hard = ["loss.adversarial=1.0", "discriminator.channels=2", "discriminator.fft_samples=[256]", "discriminator.periods=[2]"]
    assert train.main(arguments("vocoder", corpus, tmp_path / "plain", 2)) == 0
    begun = [*hard, f'train.initial="{tmp_path / "plain"}"']
    assert train.main(arguments("vocoder", corpus, tmp_path / "whole", 4, *begun)) == 0
    assert (tmp_path / "whole" / "metrics.csv").read_text().split("\n", 1)[0].count("discriminator") == 1
    assert train.main(arguments("codec", corpus, tmp_path / "codec", 2)) == 0
    codec, _, training = weights_command.assemble(tmp_path / "codec", tmp_path / "whole")
    assert training == "codec step 2, whole step 4"
    averaged = load_file(tmp_path / "whole" / "checkpoint" / "average.safetensors")
    assert torch.equal(codec.vocoder.head.weight, averaged["vocoder.head.weight"].half().float())
