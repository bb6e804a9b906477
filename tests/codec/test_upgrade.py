"""A new encoder is a drop-in: old and new talk to the same old receiver."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec import rl
from export.command import main as export_command
from stream import engine
from stream.content import Voice
from stream.packet import Framing
from stream.profile import find_profile
from tests.codec.tiny import run_rl
from tests.conftest import speech_like


def test_old_and_new_encoder_talk_to_the_same_old_receiver(
    base: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, vocoder, models = tmp_path / "rl-run", str(base / "base.safetensors"), tmp_path / "models"
    assert rl.main(run_rl(base, corpus, run, 4, "train.learning_rate=1e-2", "train.average_decay=0.5")) == 0
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
