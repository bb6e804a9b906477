"""A picture of what the voice is to say: spectrogram, phones over time, pitch and energy."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from codec.data.corpus import PackedCorpus
from codec.data.frames import FRAMES_FILE, PITCH_UNIT_HZ, FrameFile
from codec.network.phones import PHONES
from stream.frame import SAMPLE_RATE_HZ

SHORTEST_FRAMES, LONGEST_FRAMES = 150, 350


def draw_targets(folder: Path, out: Path, seed: int = 1) -> None:
    """Draw a random utterance of 3 to 7 s of a corpus with frames into a PNG."""
    from matplotlib.figure import Figure

    corpus, file = PackedCorpus(folder), FrameFile(folder / FRAMES_FILE)
    fitting = np.flatnonzero((file.lengths >= SHORTEST_FRAMES) & (file.lengths <= LONGEST_FRAMES))
    index = int(np.random.default_rng(seed).choice(fitting if len(fitting) else np.flatnonzero(file.lengths)))
    frames, samples = file[index], corpus.audio(corpus.entries[index])
    seconds = np.arange(len(frames)) / 50
    figure = Figure((14, 7), layout="constrained")
    top, middle, bottom = figure.subplots(3, sharex=True, height_ratios=(3, 2, 1))
    top.specgram(
        samples + 1e-5 * np.random.default_rng(0).standard_normal(len(samples)), 512, SAMPLE_RATE_HZ, noverlap=384, cmap="magma"
    )
    top.set_ylabel("Hz")
    top.set_title(corpus.entries[index].transcript)
    edges = np.concatenate(([0], np.flatnonzero(np.diff(frames.phones)) + 1, [len(frames)]))
    for begin, end in itertools.pairwise(edges):
        top.axvline(begin / 50, color="white", linewidth=0.4)
        top.text((begin + end) / 100, 7200, PHONES[frames.phones[begin]] or "·", color="white", ha="center", fontsize=9)
    middle.plot(seconds, np.where(frames.voiced > 0, PITCH_UNIT_HZ * 2.0**frames.pitch, np.nan))
    middle.set_ylabel("pitch, Hz")
    bottom.plot(seconds, frames.energy)
    bottom.set_ylabel("energy")
    bottom.set_xlabel("s")
    figure.savefig(out, dpi=80)
