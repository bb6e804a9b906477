"""Everything that is measured on one decoded utterance without listening to its words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codec.metrics import intelligibility, mel_distance, perceptual_quality, spectral_distance_db
from codec.data.pitch import pitch_correlation, track_pitch, voicing_error
from codec.voice import voiceprint


@dataclass(frozen=True)
class Profile:
    """What an original is compared by: pitch in Hz [T], 0 where unvoiced, and voiceprint [D]."""

    pitch_hz: np.ndarray
    voiceprint: np.ndarray


@dataclass(frozen=True)
class Pair:
    """Original and decoded samples [N] and the original's profile."""

    original: np.ndarray
    profile: Profile
    decoded: np.ndarray


@dataclass(frozen=True)
class Figures:
    """The figures of a pair; NaN where one is not defined. See the functions of the same names."""

    stoi: float
    estoi: float
    pesq: float
    mel_distance: float
    spectral_distance_db: float
    pitch_correlation: float
    voicing_error: float
    voiceprint: np.ndarray


def profile(samples: np.ndarray) -> Profile:
    """Pitch and voiceprint of samples [N]."""
    pitch_hz = track_pitch(samples)
    return Profile(pitch_hz, voiceprint(samples, pitch_hz))


def measure(pair: Pair) -> Figures:
    """Every figure of one utterance."""
    original, decoded = pair.original, pair.decoded
    heard = profile(decoded)
    return Figures(
        stoi=intelligibility(original, decoded),
        estoi=intelligibility(original, decoded, extended=True),
        pesq=perceptual_quality(original, decoded),
        mel_distance=mel_distance(original, decoded),
        spectral_distance_db=spectral_distance_db(original, decoded),
        pitch_correlation=pitch_correlation(pair.profile.pitch_hz, heard.pitch_hz),
        voicing_error=voicing_error(pair.profile.pitch_hz, heard.pitch_hz),
        voiceprint=heard.voiceprint,
    )
