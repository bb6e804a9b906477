"""What the voice is to say of real speech: its phones when they were said, the speaker's own pitch and energy.

    python -m codec.data.targets --classifier runs/phone-times.pt --corpus runs/corpus --picture runs/targets.png

Writes frames.npz beside the packed corpus. Utterances without a transcript, and the few per cent whose alignment is least
probable, get no frames.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from codec.data.alignment import forced_path, level_gain, load_classifier, log_probabilities, transcript_tokens, utterance_features
from codec.data.corpus import Entry, PackedCorpus
from codec.data.frames import FRAMES_FILE, QUIET_ENERGY, Frames, at_phone_rate, continuous_pitch, with_room, write_frames
from codec.data.pitch import track_pitch
from codec.network.phones import SILENCE
from stream.errors import ClariError, run_command

PITCH_RATE_HZ = 100
WINDOW_SAMPLES, HOP_SAMPLES = 640, 320  # of the energy
LOUD_QUANTILE = 0.95
LOUD_ENERGY, ENERGY_PER_DB = 1.55, 0.042  # hibari's energy of its own loud frames, and how it falls with their level
UNSURE_SHARE = 0.06
NOTHING = Frames(*(np.zeros(0, kind) for kind in (np.uint8, np.uint8, np.float32, np.uint8, np.float32)))


def energy_of(samples: np.ndarray, count: int) -> np.ndarray:
    """Energy [count] at 50 Hz of samples [N] on the scale of hibari's channel, whatever the recording's level."""
    padded = np.pad(samples, (WINDOW_SAMPLES // 4, WINDOW_SAMPLES))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES][:count]
    level_db = 10 * np.log10(np.mean(windows**2, axis=1) + 1e-9)
    loud = float(np.quantile(level_db, LOUD_QUANTILE)) if count else 0.0
    energy: np.ndarray = np.clip(LOUD_ENERGY + ENERGY_PER_DB * (level_db - loud), QUIET_ENERGY, 2.0)
    return energy.astype(np.float32)


def frames_of(samples: np.ndarray, phones: np.ndarray, stress: np.ndarray) -> Frames:
    """Frames of a recording [N] of known phones and stress [T]."""
    count = len(phones)
    pitch_hz = at_phone_rate(track_pitch(samples).astype(np.float32), PITCH_RATE_HZ, count, nearest=True)
    pitch_hz[phones == SILENCE] = 0
    pitch, voiced = continuous_pitch(pitch_hz)
    energy = energy_of(samples, count)
    energy[phones == SILENCE] = QUIET_ENERGY
    phones, stress = with_room(phones, stress)
    return Frames(phones.astype(np.uint8), stress.astype(np.uint8), pitch, voiced, energy)


def _aligned(index: int, folder: Path, classifier: Path) -> tuple[Frames, float]:
    """Frames of one entry of a corpus and the score of its alignment; NOTHING where there is none."""
    corpus, ear, (model, prior) = _tools(folder, classifier)
    entry: Entry = corpus.entries[index]
    if not entry.transcript:
        return NOTHING, -np.inf
    samples = corpus.audio(entry) * level_gain(entry)
    try:
        tokens = transcript_tokens(entry.transcript.capitalize())
    except ClariError:
        return NOTHING, -np.inf
    found = forced_path(log_probabilities(model, utterance_features(ear, samples), prior), tokens)
    if found is None:
        return NOTHING, -np.inf
    path, score = found
    return frames_of(samples, tokens.phones[path], tokens.stress[path]), score


_TOOLS: dict[Path, tuple[PackedCorpus, object, tuple[object, np.ndarray]]] = {}


def _tools(folder: Path, classifier: Path):  # type: ignore[no-untyped-def]
    """What every process loads once."""
    from codec.pretrained.moonshine import load_ear

    if folder not in _TOOLS:
        torch.set_num_threads(1)
        _TOOLS[folder] = (PackedCorpus(folder), load_ear(), load_classifier(classifier))
    return _TOOLS[folder]


def make_targets(folder: Path, classifier: Path, workers: int) -> tuple[int, float]:
    """Write frames.npz of a packed corpus; returns how many utterances have frames, and their mean score."""
    count = len(PackedCorpus(folder).entries)
    made: list[tuple[Frames, float]] = []
    with ProcessPoolExecutor(workers) as pool:
        for item in pool.map(partial(_aligned, folder=folder, classifier=classifier), range(count), chunksize=32):
            made.append(item)
            if len(made) % 1000 == 0:
                print(f"{len(made)}/{count} recordings", flush=True)
    scores = np.array([score for _, score in made])
    least = float(np.quantile(scores[np.isfinite(scores)], UNSURE_SHARE))
    kept = [frames if score > least else NOTHING for frames, score in made]
    write_frames(folder / FRAMES_FILE, kept)
    return sum(len(frames) > 0 for frames in kept), float(np.mean(scores[np.isfinite(scores)]))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m codec.data.targets", description="What the voice is to say of real speech.")
    parser.add_argument("--classifier", type=Path, required=True, help="file that codec.data.alignment wrote")
    parser.add_argument("--corpus", type=Path, required=True, help="packed corpus; frames.npz is written there")
    parser.add_argument("--picture", type=Path, help="PNG of one utterance: spectrogram, phones over time, pitch")
    parser.add_argument("--workers", type=int, default=2, help="processes at once (default: %(default)s)")
    args = parser.parse_args(argv)

    def command() -> int:
        made, score = make_targets(args.corpus, args.classifier, args.workers)
        print(f"{made} utterances of {args.corpus} aligned, mean score {score:.2f}")
        if args.picture:
            from codec.data.picture import draw_targets

            draw_targets(args.corpus, args.picture)
        return 0

    return run_command("codec.data.targets", command)


if __name__ == "__main__":
    sys.exit(main())
