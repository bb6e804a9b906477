"""Recordings as every part of this package reads them: mono, 16 kHz, float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from stream.frame import SAMPLE_RATE_HZ

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}


def load_audio(path: Path) -> np.ndarray:
    """Read a recording as mono float32 [N] at 16 kHz.

    Raises:
        OSError, soundfile.LibsndfileError: it is missing or no audio.
    """
    samples, sample_rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono: np.ndarray = samples.mean(axis=1)
    return mono if sample_rate_hz == SAMPLE_RATE_HZ else soxr.resample(mono, sample_rate_hz, SAMPLE_RATE_HZ)
