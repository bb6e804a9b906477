"""Manifests, packing and synthesis: held-out speakers stay out, and what is kept is what was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.data import corpus
from codec.data.corpus import CorpusError, Entry, PackedCorpus, active_level_db, pack, pack_noise, write_index
from codec.data.manifest import ManifestError, Utterance, read_manifest, training_utterances, write_manifest
from codec.data.synthesis import SynthesisError, require_programs, synthesize
from tests.conftest import SAMPLE_RATE_HZ, speech_like


@pytest.fixture(scope="module")
def packed(corpus_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    assert pack([corpus_manifest], folder / "speech", workers=1) == 11
    noises = folder / "noises"
    noises.mkdir()
    soundfile.write(noises / "hiss.wav", np.random.default_rng(0).normal(0, 0.1, 16000), SAMPLE_RATE_HZ)
    soundfile.write(noises / "nothing.wav", np.zeros(16000), SAMPLE_RATE_HZ)
    assert pack_noise(noises, folder / "noise") == 1  # silence is no noise
    return folder


def test_heldout_speakers_are_not_packed(packed: Path) -> None:
    speakers = {entry.speaker for entry in PackedCorpus(packed / "speech").entries}
    assert "s:heldout" not in speakers and len(speakers) == 10


def test_a_speaker_in_both_splits_is_refused() -> None:
    def item(split: str) -> Utterance:
        return Utterance(Path("x"), 1.0, "s:1", split, "", "", "")

    with pytest.raises(ManifestError, match="both splits"):
        training_utterances([item("train"), item("heldout")])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path\tseconds\n", "column"),
        ("path\tseconds\tspeaker\tsplit\ttranscript\tlicence\tcorpus\na\tb\tc\ttrain\te\tf\tg\n", "seconds is 'b'"),
        ("path\tseconds\tspeaker\tsplit\ttranscript\tlicence\tcorpus\na\t1\tc\tdev\te\tf\tg\n", "split is 'dev'"),
        ("path\tseconds\tspeaker\tsplit\ttranscript\tlicence\tcorpus\na\t1\n", ":2: too few fields"),
    ],
)
def test_malformed_manifests_name_line_and_cure(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "m.tsv").write_text(text)
    with pytest.raises(ManifestError, match=says):
        read_manifest(tmp_path / "m.tsv")


def test_manifests_round_trip(tmp_path: Path) -> None:
    items = [Utterance(tmp_path / "a.flac", 1.25, "s:1", "train", "IT'S A TEST", "CC0", "x", "pau:0.1 t:0.2")]
    write_manifest(tmp_path / "m.tsv", items)
    assert read_manifest(tmp_path / "m.tsv") == items


def test_packed_audio_is_the_recording(packed: Path, corpus_manifest: Path) -> None:
    corpus = PackedCorpus(packed / "speech")
    original, _ = soundfile.read(corpus_manifest.parent / "3.flac", dtype="float32")
    assert np.abs(corpus.audio(corpus.entries[3]) - original).max() < 1e-4


def test_an_unreadable_recording_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.opus").write_bytes(b"OggS but not really")
    soundfile.write(tmp_path / "good.wav", speech_like(1.0), SAMPLE_RATE_HZ)
    items = [Utterance(tmp_path / name, 1.0, "s:1", "train", "", "CC0", "x") for name in ("bad.opus", "good.wav")]
    write_manifest(tmp_path / "m.tsv", items)
    assert corpus.main(["pack", str(tmp_path / "m.tsv"), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    assert len(PackedCorpus(tmp_path / "out").entries) == 1


@pytest.mark.parametrize(("split", "says"), [("heldout", "split `train`"), ("train", "no recording could be decoded")])
def test_a_pack_of_nothing_is_one_line(split: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    (tmp_path / "bad.opus").write_bytes(b"OggS but not really")
    write_manifest(tmp_path / "m.tsv", [Utterance(tmp_path / "bad.opus", 1.0, "s:1", split, "", "CC0", "x")])
    assert corpus.main(["pack", str(tmp_path / "m.tsv"), "--out", str(out), "--workers", "1"]) == 1
    assert says in capsys.readouterr().err.strip().splitlines()[-1]
    with pytest.raises(CorpusError, match="no packed corpus"):
        PackedCorpus(out)


def test_noise_that_nobody_hears_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noises = tmp_path / "noises"
    noises.mkdir()
    soundfile.write(noises / "hiss.wav", np.random.default_rng(0).normal(0, 0.1, 16000), SAMPLE_RATE_HZ)
    assert corpus.main(["pack-noise", str(noises), "--out", str(tmp_path / "out")]) == 0
    soundfile.write(noises / "hiss.wav", np.zeros(16000), SAMPLE_RATE_HZ)
    capsys.readouterr()
    assert corpus.main(["pack-noise", str(noises), "--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "silent or cannot be decoded" in line
    with pytest.raises(CorpusError, match="no packed corpus"):  # nor the one before: its samples are gone
        PackedCorpus(tmp_path / "out")


@pytest.mark.parametrize("samples", [None, 0, 100])
def test_an_empty_or_truncated_corpus_names_the_cure(samples: int | None, tmp_path: Path) -> None:
    (tmp_path / "samples.i16").write_bytes(bytes(100 if samples else 0))  # 50 of the 100 samples
    write_index(tmp_path, [] if samples is None else [Entry(0, samples, -20.0, "s:1", "x", "")])
    with pytest.raises(CorpusError, match="pack again"):
        PackedCorpus(tmp_path)


def test_missing_corpora_and_programs_name_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CorpusError, match=r"python -m codec\.data\.corpus pack"):
        PackedCorpus(tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SynthesisError, match="apt-get install flite espeak-ng"):
        require_programs()


def test_synthetic_speech_is_resumable_and_carries_phone_times(tmp_path: Path) -> None:
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("The boat came into the harbour at night.\nNobody saw the lamp on the old pier.\n")
    made = synthesize(sentences, tmp_path / "out", hours=0.001, seed=1, workers=2)
    assert read_manifest(tmp_path / "out" / "speech.tsv") == [item for item in made]
    timed = [item for item in made if item.speaker.startswith("flite")]
    assert 0.2 < len(timed) / len(made) < 0.8
    assert all(abs(float(item.alignment.split(":")[-1]) - item.seconds) < 0.3 for item in timed)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.flac")}
    again = synthesize(sentences, tmp_path / "out", hours=0.001, seed=1, workers=2)
    assert [item.path for item in again] == [item.path for item in made]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.flac")} == stamps  # nothing was spoken twice


def test_levels_ignore_pauses() -> None:
    speech = speech_like(2.0)
    assert active_level_db(np.concatenate([speech, np.zeros_like(speech)])) == pytest.approx(active_level_db(speech), abs=3)
