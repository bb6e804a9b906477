"""Forced alignment: when each phone of a transcript was spoken, found by the recogniser itself.

    python -m codec.phone_times --recognizer runs/recognizer --corpus runs/corpus-real

Synthetic speech comes with exact phone times, real speech does not. A recogniser that learned frames from the one and
words from both aligns the other well enough to learn frames from it too, which teaches far more per hour of computing
than CTC alone: the bootstrap by which hidden Markov models were trained (Rabiner 1989).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from codec.alignment import forced_path
from codec.config import HOP_SAMPLES
from codec.data.corpus import Entry, PackedCorpus, write_index
from codec.frontend import LogMel
from codec.phones import PHONE_INDEX
from codec.recognizer import REDUCTION, Recognizer
from codec.weights import load_recognizer, read_weights
from stream.errors import run_command
from stream.frame import SAMPLE_RATE_HZ

FRAME_S = HOP_SAMPLES * REDUCTION / SAMPLE_RATE_HZ
SILENCE = "pau"
TEACHABLE_LEVEL_DB = -26.0  # the level that the recogniser hears most often in training


def alignment_text(path: np.ndarray, phones: list[str]) -> str:
    """`phone:end_s` pairs of a path of places in `phones`, silence included, as synthetic speech has them."""
    ends = [*(np.flatnonzero(np.diff(path)) + 1), len(path)]
    names = [SILENCE if path[end - 1] < 0 else phones[path[end - 1]] for end in ends]
    return " ".join(f"{name}:{end * FRAME_S:.2f}" for name, end in zip(names, ends, strict=True))


def align(recognizer: Recognizer, frontend: LogMel, samples: np.ndarray, phones: list[str]) -> str:
    """Alignment of one recording [N] at 16 kHz; empty where it has too few frames for its phones."""
    padded = np.pad(samples, (0, -len(samples) % (HOP_SAMPLES * REDUCTION)))
    with torch.no_grad():
        mel, _ = frontend(torch.from_numpy(padded)[None], frontend.initial_state(1))
        _, frames, _ = recognizer.heads(recognizer.hidden(mel)[-1])
    found = forced_path(frames[0].numpy(), [PHONE_INDEX[phone] for phone in phones], repeats_apart=False)
    return "" if found is None else alignment_text(found[1], phones)


def align_corpus(folder: Path, recognizer: Recognizer, mels: int) -> int:
    """Write phone times of all real speech with a transcript into a packed corpus's index; returns how many."""
    corpus, frontend = PackedCorpus(folder), LogMel(mels)
    entries: list[Entry] = []
    aligned = 0
    for number, entry in enumerate(corpus.entries):
        if entry.phones and not entry.synthetic:
            audio = corpus.audio(entry) * np.float32(10 ** ((TEACHABLE_LEVEL_DB - entry.level_db) / 20))
            entry = entry.with_alignment(align(recognizer, frontend, np.clip(audio, -1, 1), entry.phones.split()))
            aligned += bool(entry.alignment)
        entries.append(entry)
        if number % 1000 == 0:
            print(f"{number}/{len(corpus.entries)} recordings", flush=True)
    write_index(folder, entries)
    return aligned


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m codec.phone_times", description="Find the phone times of real speech.")
    parser.add_argument("--recognizer", type=Path, required=True, help="run folder or weights file")
    parser.add_argument("--corpus", type=Path, required=True, help="packed corpus, whose index gains the phone times")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 is every core")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)

    def command() -> int:
        mels = read_weights(args.recognizer)[1].model.mels
        print(f"{align_corpus(args.corpus, load_recognizer(args.recognizer, mels), mels)} recordings aligned")
        return 0

    return run_command("codec.phone_times", command)


if __name__ == "__main__":
    sys.exit(main())
