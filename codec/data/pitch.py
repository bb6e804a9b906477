"""Pitch of speech, frame by frame.

Boersma 1993 (Proc. Inst. Phonetic Sciences Amsterdam 17): the autocorrelation of each windowed frame is divided by that
of the window, its highest peaks are candidates, and dynamic programming picks the path that jumps least. The costs are
that paper's. A library does the same (Praat through parselmouth, under the GPL); these few lines need none.
"""

from __future__ import annotations

import numpy as np

from stream.frame import SAMPLE_RATE_HZ

HOP_SAMPLES = 160  # 10 ms
LOWEST_HZ, HIGHEST_HZ = 65.0, 400.0
WINDOW_SAMPLES = 768  # 48 ms, three periods of the lowest pitch
CANDIDATES = 5  # peaks per frame, beside "unvoiced"
VOICING_THRESHOLD = 0.45
SILENCE_THRESHOLD = 0.03  # of the recording's highest peak
OCTAVE_COST = 0.01  # per octave below the highest pitch: of equal peaks the first counts
JUMP_COST = 0.35  # per octave from frame to frame
VOICING_COST = 0.14  # to begin or end voicing


def _autocorrelation(frames: np.ndarray, longest: int) -> np.ndarray:
    """Normalised autocorrelation [T, longest + 1] of frames [T, W]; 0 for silent frames."""
    spectrum = np.fft.rfft(frames, 2 * WINDOW_SAMPLES)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, : longest + 1]
    energy = correlation[:, :1]
    return np.divide(correlation, energy, out=np.zeros_like(correlation), where=energy > 1e-12)


def _candidates(correlation: np.ndarray, shortest: int) -> tuple[np.ndarray, np.ndarray]:
    """The CANDIDATES best peaks of correlations [T, lags]: pitch in Hz and strength, [T, CANDIDATES] each.

    Where a frame has fewer peaks the strength is -inf.
    """
    before, here, after = correlation[:, shortest - 1 : -2], correlation[:, shortest:-1], correlation[:, shortest + 1 :]
    curve = before - 2 * here + after
    is_peak = (here > before) & (here >= after) & (here > 0)
    # The parabola through three samples: a lag is a fraction of a sample.
    offset = np.divide(before - after, 2 * curve, out=np.zeros_like(here), where=is_peak)
    height = np.minimum(here - (before - after) * offset / 4, 1)
    pitch_hz = np.clip(SAMPLE_RATE_HZ / (np.arange(here.shape[1]) + shortest + offset), LOWEST_HZ, HIGHEST_HZ)
    strength = np.where(is_peak, height - OCTAVE_COST * np.log2(HIGHEST_HZ / pitch_hz), -np.inf)
    best = np.argsort(-strength, axis=1, kind="stable")[:, :CANDIDATES]
    return np.take_along_axis(pitch_hz, best, 1), np.take_along_axis(strength, best, 1)


def _best_path(pitch_hz: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Pitch [T] of the strongest path through candidates [T, K]; candidate 0 is "unvoiced", pitch 0."""
    voiced = pitch_hz > 0
    octaves = np.log2(np.where(voiced, pitch_hz, 1))
    score, back = strength[0], np.zeros(pitch_hz.shape, dtype=int)
    for frame in range(1, len(pitch_hz)):
        jump = JUMP_COST * np.abs(octaves[frame - 1][:, None] - octaves[frame])
        both, change = voiced[frame - 1][:, None] & voiced[frame], voiced[frame - 1][:, None] != voiced[frame]
        reached = score[:, None] - np.where(both, jump, 0) - VOICING_COST * change
        back[frame] = np.argmax(reached, axis=0)
        score = np.max(reached, axis=0) + strength[frame]
    path = [int(np.argmax(score))]
    for frame in range(len(pitch_hz) - 1, 0, -1):
        path.append(int(back[frame, path[-1]]))
    found: np.ndarray = pitch_hz[np.arange(len(pitch_hz)), path[::-1]]
    return found


def track_pitch(samples: np.ndarray) -> np.ndarray:
    """Pitch in Hz [T] of samples [N] at 16 kHz, one per started 10 ms; 0 where the speech is unvoiced."""
    half = WINDOW_SAMPLES // 2
    count = -(-len(samples) // HOP_SAMPLES)
    padded = np.pad(samples.astype(np.float64), (half, half + HOP_SAMPLES))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[HOP_SAMPLES // 2 :: HOP_SAMPLES][:count]
    frames = frames - frames.mean(axis=1, keepdims=True)
    peaks = np.abs(frames).max(axis=1)
    window = np.hanning(WINDOW_SAMPLES + 1)[:-1]
    shortest, longest = int(SAMPLE_RATE_HZ / HIGHEST_HZ), int(np.ceil(SAMPLE_RATE_HZ / LOWEST_HZ))
    correlation = _autocorrelation(frames * window, longest + 1) / _autocorrelation(window[None], longest + 1)
    pitch_hz, strength = _candidates(correlation, shortest)
    loudness = peaks / max(float(peaks.max(initial=0)), 1e-9)
    unvoiced = VOICING_THRESHOLD + np.maximum(0, 2 - loudness * (1 + VOICING_THRESHOLD) / SILENCE_THRESHOLD)
    return _best_path(np.c_[np.zeros(count), pitch_hz], np.c_[unvoiced, strength])
