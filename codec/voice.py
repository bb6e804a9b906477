"""How alike two voices sound to a simple measure, which knows no speaker and has no trained weights.

A voiceprint is the long-term mean and deviation of mel cepstra 1 to 12 over the active frames, and of log pitch: vocal
tract and pitch, in the way of speaker recognition before trained embeddings (Furui 1981, IEEE TASSP 29). Only the band
up to 4 kHz counts, so that a narrow codec is not another speaker. Each dimension is measured in deviations of the
originals of the run, and the similarity of two voiceprints is their cosine. What a value is worth is said by two others
from the same run: the mean similarity of different speakers (the floor) and of one speaker's different utterances,
which no codec needs to exceed (the ceiling).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codec.config import HOP_SAMPLES
from codec.metrics import log_mel
from stream.frame import SAMPLE_RATE_HZ

CEPSTRA = 12
HIGHEST_HZ = 4000.0
ACTIVE_DB = 30.0  # below the loud frames begins what is no speech
FEWEST_ORIGINALS = 3  # whose deviation means anything


def _bands(mels: int) -> int:
    """How many of `mels` bands lie below HIGHEST_HZ."""
    from codec.frontend import FFT_SAMPLES, mel_filters

    centres_hz = mel_filters(mels, FFT_SAMPLES, SAMPLE_RATE_HZ).argmax(axis=0) * SAMPLE_RATE_HZ / FFT_SAMPLES
    return int(np.sum(centres_hz < HIGHEST_HZ))


def voiceprint(samples: np.ndarray, pitch_hz: np.ndarray) -> np.ndarray:
    """Voiceprint [2 * CEPSTRA + 2] of samples [N] with their pitch track [T]; pitch is NaN where nothing is voiced."""
    mel = log_mel(samples)[0].numpy().astype(np.float64)
    mel = mel[:, : _bands(mel.shape[1])]
    hops = np.pad(samples.astype(np.float64), (0, -len(samples) % HOP_SAMPLES)).reshape(-1, HOP_SAMPLES)
    level_db = 10 * np.log10(np.mean(hops**2, axis=1) + 1e-12)
    active = mel[level_db > np.quantile(level_db, 0.95) - ACTIVE_DB]
    angles = np.pi * np.outer(np.arange(mel.shape[1]) + 0.5, np.arange(1, CEPSTRA + 1)) / mel.shape[1]
    cepstra = active @ np.cos(angles)
    log_pitch = np.log(pitch_hz[pitch_hz > 0])
    pitch = (log_pitch.mean(), log_pitch.std()) if len(log_pitch) else (np.nan, np.nan)
    return np.concatenate([cepstra.mean(axis=0), cepstra.std(axis=0), pitch])


class Voices:
    """The originals of a run: the scale on which voices are compared."""

    def __init__(self, voiceprints: Sequence[np.ndarray], speakers: Sequence[str]):
        """Take one voiceprint [D] and speaker per original."""
        prints = np.stack(voiceprints)
        known = np.isfinite(prints)
        counts = np.maximum(known.sum(axis=0), 1)
        self.mean = np.where(known, prints, 0).sum(axis=0) / counts
        self.deviation = np.sqrt(np.where(known, (prints - self.mean) ** 2, 0).sum(axis=0) / counts)
        self.enough = len(prints) >= FEWEST_ORIGINALS
        directions = np.stack([self._direction(each) for each in prints])
        pairs = np.triu_indices(len(prints), 1)
        likeness = (directions @ directions.T)[pairs]
        same = np.equal.outer(speakers, speakers)[pairs]
        self.floor, self.ceiling = (self._mean(likeness[chosen]) for chosen in (~same, same))

    def _mean(self, values: np.ndarray) -> float:
        return float(np.mean(values)) if self.enough and len(values) else float("nan")

    def _direction(self, voiceprint: np.ndarray) -> np.ndarray:
        """Unit vector [D] from the average voice to this one; 0 for the average voice."""
        # An unknown pitch says nothing: it counts as the average one.
        distances = np.nan_to_num(voiceprint - self.mean)
        placed = np.divide(distances, self.deviation, out=np.zeros_like(distances), where=self.deviation > 1e-9)
        direction: np.ndarray = placed / max(float(np.linalg.norm(placed)), 1e-9)
        return direction

    def similarity(self, one: np.ndarray, two: np.ndarray) -> float:
        """Cosine, -1 to 1, of two voiceprints [D] seen from the average voice; NaN with too few originals."""
        return float(self._direction(one) @ self._direction(two)) if self.enough else float("nan")
