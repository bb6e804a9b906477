"""Frames varied beyond what one synthetic voice does: rougher timing, other pitch ranges and levels. No audio."""

from __future__ import annotations

import numpy as np

from codec.data.frames import Frames

TEMPO = (0.75, 1.3)  # of a sentence
ROUGHNESS = 0.28  # standard deviation of the logarithm of a phone's duration
MELODY = (0.6, 1.5)  # the range of the pitch around its median, widened or narrowed
SIZE_OCTAVES = (-1.25, 0.6)  # men to children, the voice itself at 0
UNFIT_OCTAVES = 0.15  # a speaker's pitch and the size heard for it differ by about so much
ENERGY_SHARE = (0.8, 1.2)
PAUSE_SHARE = 0.1  # of the silences are cut or lengthened
LONGEST_PAUSE = 40  # frames


def roughened(frames: Frames, rng: np.random.Generator) -> Frames:
    """The same phones with other durations, at least one frame each."""
    edges = np.concatenate(([0], np.flatnonzero(np.diff(frames.phones)) + 1, [len(frames)]))
    lengths = np.diff(edges)
    factors = rng.uniform(*TEMPO) * np.exp(ROUGHNESS * rng.standard_normal(len(lengths)))
    silent = frames.phones[edges[:-1]] == 0
    new = np.maximum(1, np.floor(lengths * factors + rng.random(len(lengths)))).astype(int)
    redrawn = silent & (rng.random(len(lengths)) < PAUSE_SHARE)
    new[redrawn] = rng.integers(1, LONGEST_PAUSE, int(redrawn.sum()))
    runs = zip(edges[:-1], lengths, new, strict=True)
    take = np.concatenate([begin + (np.arange(count) + 0.5) * length / count for begin, length, count in runs])
    index = take.astype(int)
    place = np.arange(len(frames)) + 0.5
    pitch, energy = (np.interp(take, place, curve).astype(np.float32) for curve in (frames.pitch, frames.energy))
    return Frames(frames.phones[index], frames.stress[index], pitch, frames.voiced[index], energy)


def revoiced(frames: Frames, rng: np.random.Generator) -> tuple[Frames, float]:
    """The same words by a speaker of another size, pitch range and effort; returns frames and size."""
    size = rng.uniform(*SIZE_OCTAVES)
    centre = frames.pitch.mean()
    pitch = (frames.pitch - centre) * rng.uniform(*MELODY) + centre - frames.size + size + UNFIT_OCTAVES * rng.standard_normal() / 2
    floor = frames.energy.min(initial=0.0)
    energy = (frames.energy - floor) * rng.uniform(*ENERGY_SHARE) + floor
    return Frames(frames.phones, frames.stress, pitch.astype(np.float32), frames.voiced, energy.astype(np.float32)), float(size)
