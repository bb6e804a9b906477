"""What decoded speech has kept of its original: melody and voicing, and by request envelope, spectrum and speaker.

Every function is pure; the same input gives the same digits. clari speaks with a voice of its own: STOI, PESQ, the spectral
distances and the likeness of speakers, which want the original's waveform or voice back, tell nothing of it.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec

import numpy as np

from codec.data.pitch import HOP_SAMPLES, track_pitch
from stream.frame import SAMPLE_RATE_HZ

FEWEST_FRAMES = 20  # voiced in both recordings, for a correlation
SPECTRUM_SAMPLES = 512
SPECTRUM_RANGE_DB = 60.0  # below the original's strongest bin everything counts as equally silent
MELS = 80
MEL_FLOOR = 1e-4  # of a full-scale sine's magnitude: -80 dBFS
CEPSTRA = 12
HIGHEST_HZ = 4000.0  # of a voiceprint, so that a narrow codec is not another speaker
ACTIVE_DB = 30.0  # below the loud frames begins what is no speech
FEWEST_ORIGINALS = 3  # whose deviation means anything

_numpy_random = threading.Lock()  # of the state that pystoi draws from


def pitch_correlation(original_hz: np.ndarray, decoded_hz: np.ndarray) -> float:
    """Pearson correlation of the logarithms of two pitch tracks [T] over the frames where both are voiced.

    NaN where fewer than 20 frames are, or one track is constant.
    """
    both = (original_hz > 0) & (decoded_hz > 0)
    if np.sum(both) < FEWEST_FRAMES:
        return float("nan")
    first, second = np.log(original_hz[both]), np.log(decoded_hz[both])
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def voicing_error(original_hz: np.ndarray, decoded_hz: np.ndarray) -> float:
    """Share of the frames of two pitch tracks [T] of which one is voiced and the other is not (Nakatani et al. 2008)."""
    return float(np.mean((original_hz > 0) != (decoded_hz > 0)))


def intelligibility(original: np.ndarray, decoded: np.ndarray, extended: bool = False) -> float:
    """STOI, or extended STOI, of decoded against original samples, both [N] at 16 kHz: about 0 to 1.

    Taal et al. 2011 (IEEE TASLP 19), Jensen and Taal 2016 (IEEE TASLP 24). NaN where less than 384 ms remain once
    silence is removed: the measure is not defined there.
    """
    import pystoi  # of the extra eval

    # Extended STOI adds noise of 1e-16 before it normalises, which decides the figure where the output is silent.
    with _numpy_random:
        random_state = np.random.get_state()
        np.random.seed(0)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message="Not enough STFT frames", category=RuntimeWarning)
                return float(pystoi.stoi(original, decoded, SAMPLE_RATE_HZ, extended=extended))
        except RuntimeWarning:
            return float("nan")
        finally:
            np.random.set_state(random_state)


def perceptual_quality(original: np.ndarray, decoded: np.ndarray) -> float:
    """Wideband PESQ of samples [N] and [N] at 16 kHz: about 1 (bad) to 4.6 (the original).

    ITU-T P.862.2, in the `pesq` package. NaN without that package, and where it finds no utterance, like in silence or
    in less than a quarter of a second.
    """
    if find_spec("pesq") is None or not np.any(decoded) or not np.any(original):
        return float("nan")
    from pesq import PesqError, pesq

    value = float(pesq(SAMPLE_RATE_HZ, original, decoded, "wb", on_error=PesqError.RETURN_VALUES))
    return value if value > 0 else float("nan")  # its error codes are negative


def _magnitudes(samples: np.ndarray) -> np.ndarray:
    """Magnitude spectra [T, bins] of samples [N], one per started 10 ms, windows of 32 ms; a full-scale sine has about 1."""
    frames = -(-len(samples) // HOP_SAMPLES)
    around = np.pad(samples.astype(np.float64), (SPECTRUM_SAMPLES // 2, SPECTRUM_SAMPLES // 2 + HOP_SAMPLES))
    windows = np.lib.stride_tricks.sliding_window_view(around, SPECTRUM_SAMPLES)[::HOP_SAMPLES][:frames]
    window = np.hanning(SPECTRUM_SAMPLES + 1)[:-1]
    found: np.ndarray = np.abs(np.fft.rfft(windows * (window * 2 / window.sum())))
    return found


@cache
def _mel_filters() -> tuple[np.ndarray, np.ndarray]:
    """Triangular filters [bins, MELS] with peak 1 on Slaney's scale, linear below 1 kHz, and their centres in Hz [MELS]."""
    top = 15 + 27 * np.log(SAMPLE_RATE_HZ / 2 / 1000) / np.log(6.4)
    mels = np.linspace(0, top, MELS + 2)
    edges_hz = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(np.maximum(mels - 15, 0) * np.log(6.4) / 27))
    bins_hz = np.arange(SPECTRUM_SAMPLES // 2 + 1) * SAMPLE_RATE_HZ / SPECTRUM_SAMPLES
    rising = (bins_hz[:, None] - edges_hz[None, :-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    falling = (edges_hz[None, 2:] - bins_hz[:, None]) / (edges_hz[2:] - edges_hz[1:-1])
    return np.maximum(0, np.minimum(rising, falling)), edges_hz[1:-1]


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Natural logarithm of mel magnitudes [T, 80] of samples [N], one frame per started 10 ms, not below -80 dBFS."""
    found: np.ndarray = np.log(np.maximum(_magnitudes(samples) @ _mel_filters()[0], MEL_FLOOR))
    return found


def mel_distance(original: np.ndarray, decoded: np.ndarray) -> float:
    """Mean absolute difference of the log-mel of samples [N] and [N], in nepers (natural logarithm) per bin."""
    return float(np.abs(log_mel(original) - log_mel(decoded)).mean())


def spectral_distance_db(original: np.ndarray, decoded: np.ndarray) -> float:
    """Log-spectral distance of samples [N] and [N] in dB: per frame the root mean square over bins, then the mean.

    Gray and Markel 1976 (IEEE TASSP 24). What lies more than 60 dB below the original's strongest bin counts as lying
    60 dB below it: otherwise the figure would tell how silent the pauses are.
    """
    spectra = _magnitudes(original), _magnitudes(decoded)
    floor = max(float(spectra[0].max()), 1e-9) * 10 ** (-SPECTRUM_RANGE_DB / 20)
    levels_db = [20 * np.log10(np.maximum(each, floor)) for each in spectra]
    return float(np.mean(np.sqrt(np.mean((levels_db[0] - levels_db[1]) ** 2, axis=1))))


def voiceprint(samples: np.ndarray) -> np.ndarray:
    """Voiceprint [2 * CEPSTRA + 2] of samples [N]: mean and deviation of mel cepstra 1 to 12 below 4 kHz over the active
    frames, and of log pitch, which is NaN where nothing is voiced.

    Vocal tract and pitch, in the way of speaker recognition before trained embeddings (Furui 1981, IEEE TASSP 29).
    """
    pitch_hz = track_pitch(samples)
    mel = log_mel(samples)[:, _mel_filters()[1] < HIGHEST_HZ]
    hops = np.pad(samples.astype(np.float64), (0, -len(samples) % HOP_SAMPLES)).reshape(-1, HOP_SAMPLES)
    level_db = 10 * np.log10(np.mean(hops**2, axis=1) + 1e-12)
    active = mel[level_db > np.quantile(level_db, 0.95) - ACTIVE_DB]
    angles = np.pi * np.outer(np.arange(mel.shape[1]) + 0.5, np.arange(1, CEPSTRA + 1)) / mel.shape[1]
    cepstra = active @ np.cos(angles)
    log_pitch = np.log(pitch_hz[pitch_hz > 0])
    pitch = (log_pitch.mean(), log_pitch.std()) if len(log_pitch) else (np.nan, np.nan)
    return np.concatenate([cepstra.mean(axis=0), cepstra.std(axis=0), pitch])


class Voices:
    """The originals of a run: the scale on which voices are compared, each dimension in their deviations.

    What a similarity is worth is said by two others from the same run: the mean similarity of different speakers (the
    floor) and of one speaker's different utterances (the ceiling), which no codec needs to exceed.
    """

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
