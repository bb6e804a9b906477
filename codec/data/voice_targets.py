"""What the voice is to learn from a sentence of hibari's: its inputs at 50 Hz, and the envelopes of tone and air at 100 Hz.

hibari adds three things: pulses through a filter (lh, and the phases theta, which cost no naturalness to drop: DistillMOS 4.66
and 4.58), noise (ln, inaudible) and spectra with phases of their own (lr, phi), which hold nearly all of the air: bursts,
aspiration, fricatives. Those phases are not kept; air becomes noise that is shaped in windows of 20 ms: DistillMOS 4.2, in
hibari's 50 ms, which smear a burst, 3.6. The filter is read where hibari has harmonics and drawn straight between them; what it
holds elsewhere was never heard, and a deeper voice would make it heard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codec.data.phonemes import frame_labels
from codec.network.envelope import knot_frequencies_hz
from codec.network.phones import PHONE_RATE_HZ, SILENCE
from codec.network.synthesis import (
    AIR_BIN_HZ,
    AIR_BINS,
    AIR_LAG_SAMPLES,
    AIR_WINDOW,
    FRAME_HOPS,
    HOP,
    PITCH_UNIT_HZ,
    REFERENCE_HZ,
    TONE_BINS,
    TONE_LAG_SAMPLES,
    TONE_WINDOW,
)
from codec.network.synthesis import SAMPLE_RATE_HZ as RATE_HZ
from codec.pretrained.hibari import ENERGY_CHANNEL, FRAME_RATE_HZ, Spoken
from codec.pretrained.hibari import SAMPLE_RATE_HZ as HIBARI_RATE_HZ
from codec.pretrained.hibari_decoder import BIN_HZ, BINS

TONE_FLOOR, AIR_FLOOR = (
    -15.0,
    -14.0,
)  # natural logarithms of amplitudes: -130 and -122 dB; higher ones buzz in pauses
STEP_SAMPLES = RATE_HZ // FRAME_RATE_HZ  # 200 between hibari's spectra
PULSE_GAIN = 1 / 300  # exp(lh) times this is the amplitude of a harmonic
_HIBARI_SCALE = 2 / 3  # of a spectrum of the same sound in fewer samples
_QUIET = 10 ** (-45 / 20)  # against the loudest frame of the sentence
_QUIET_FRAMES = 3
_SMOOTH = 20  # samples at 24 kHz
VOICED = 0.6  # periodicity


@dataclass(frozen=True)
class Lesson:
    """T frames of 20 ms, silence at both ends."""

    phones: np.ndarray  # uint8 [T]
    stress: np.ndarray  # uint8 [T]
    pitch: np.ndarray  # float32 [T], log2(Hz / 200), held through unvoiced frames
    voicing: np.ndarray  # float32 [T], 0 or 1
    energy: np.ndarray  # float32 [T], hibari's channel
    tone: np.ndarray  # float32 [2 T, KNOTS], the spectrum of hop m as Synthesis has it
    air: np.ndarray  # float32 [2 T, KNOTS]


def lesson(spoken: Spoken, seed: int = 0) -> Lesson:
    """The inputs and targets of a sentence; the seed draws the inaudible noise."""
    phones, stress = frame_labels(spoken.ids, spoken.durations)
    frames = len(phones)
    pitch_hz = spoken.pitch_hz
    middles = (np.arange(frames) + 0.5) / PHONE_RATE_HZ * FRAME_RATE_HZ - 0.5  # hibari's pitch is at the middle of a step
    lh, ln, lr, phi = (spoken.spectra[name] for name in ("lh", "ln", "lr", "phi"))
    sound = air_sound(ln, lr, phi, np.random.default_rng(seed))
    tone = tone_knots(lh, pitch_hz, FRAME_HOPS * frames)
    air = air_knots(sound, FRAME_HOPS * frames)
    level = np.sqrt(np.exp(2 * tone).sum(1) + np.exp(2 * air).sum(1))
    ahead = round((TONE_LAG_SAMPLES + HOP) / HOP)
    level = np.append(level[ahead:], np.full(ahead, level[-1]))[: FRAME_HOPS * frames].reshape(frames, FRAME_HOPS).max(1)
    quiet = level < _QUIET * level.max()
    first_hz = PITCH_UNIT_HZ * np.exp2(_at(held(pitch_hz)[None], middles)[0])
    voiced = periodicity(spoken.samples(seed), first_hz) > VOICED
    voiced &= ~quiet & (_at((pitch_hz > 0)[None].astype(np.float32), middles)[0] > 0.5)
    silent = _silent(phones, quiet)
    phones, stress = np.where(silent, SILENCE, phones), np.where(silent, 0, stress)
    return Lesson(
        phones.astype(np.uint8),
        stress.astype(np.uint8),
        held(np.where(voiced, first_hz, 0)),
        voiced.astype(np.float32),
        _at(spoken.decoder_input[[ENERGY_CHANNEL]], middles)[0],
        tone,
        air,
    )


def held(pitch_hz: np.ndarray) -> np.ndarray:
    """Pitch [F] with 0 where unvoiced -> log2(Hz / 200) [F], straight across the gaps; the reference if nothing is voiced."""
    voiced = np.flatnonzero(pitch_hz > 0)
    if not len(voiced):
        return np.full(len(pitch_hz), np.log2(REFERENCE_HZ / PITCH_UNIT_HZ), np.float32)
    return np.interp(np.arange(len(pitch_hz)), voiced, np.log2(pitch_hz[voiced] / PITCH_UNIT_HZ)).astype(np.float32)


def periodicity(sound: np.ndarray, first_hz: np.ndarray) -> np.ndarray:
    """Sound [N] at hibari's 24 kHz, known pitch [T] -> how alike neighbouring periods are in each frame, -1..1 [T]."""
    smooth = np.convolve(sound, np.ones(_SMOOTH) / _SMOOTH, "same")  # below about 1 kHz
    smooth = np.pad(smooth, HIBARI_RATE_HZ // 20)
    found = np.zeros(len(first_hz), np.float32)
    for frame, hertz in enumerate(first_hz):
        lag = round(HIBARI_RATE_HZ / float(hertz))
        middle = HIBARI_RATE_HZ // 20 + int((frame + 0.5) / PHONE_RATE_HZ * HIBARI_RATE_HZ)
        start, length = middle - lag, max(lag, HIBARI_RATE_HZ // 100)
        a, b = smooth[start : start + length], smooth[start + lag : start + lag + length]
        if len(a) == len(b) > 0:
            found[frame] = (a @ b) / (np.sqrt((a @ a) * (b @ b)) + 1e-9)
    return found


def tone_knots(lh: np.ndarray, pitch_hz: np.ndarray, hops: int) -> np.ndarray:
    """Filter [BINS, F], pitch [F] -> [hops, KNOTS] logarithms of the amplitude that a harmonic has at REFERENCE_HZ."""
    pitch = held(pitch_hz)
    between = np.concatenate([pitch[:1], (pitch[1:] + pitch[:-1]) / 2])  # at the middle of the spectrum's window
    first_hz = PITCH_UNIT_HZ * np.exp2(between)
    count = np.floor((BINS - 2) * BIN_HZ / first_hz)
    order = np.clip(knot_frequencies_hz()[:, None] / first_hz, 1, count - 1)
    below = np.floor(order)
    low, high = (_at(lh.T, (below + more) * first_hz / BIN_HZ, along=1) for more in (0, 1))
    found = low + (high - low) * (order - below) + np.log(PULSE_GAIN) - 0.5 * np.log(first_hz / REFERENCE_HZ)
    found = np.maximum(np.where(pitch_hz > 0, found, TONE_FLOOR), TONE_FLOOR)
    return _at(found, (np.arange(hops) * HOP - TONE_LAG_SAMPLES) / STEP_SAMPLES).T


def air_sound(ln: np.ndarray, lr: np.ndarray, phi: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The part of hibari's sound that no pulse made, float64 [200 F] at 16 kHz."""
    ln, lr, phi = (part[:TONE_BINS].T for part in (ln, lr, phi))
    noise = rng.standard_normal((2, *ln.shape))
    spectra = np.exp(np.minimum(ln, 7)) * (noise[0] + 1j * noise[1]) + np.exp(np.minimum(lr, 7) + 1j * phi)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(TONE_WINDOW) / TONE_WINDOW)
    windows = np.fft.irfft(spectra * _HIBARI_SCALE, TONE_WINDOW, axis=1) * window / 1.5
    frames, overlaps = len(windows), TONE_WINDOW // STEP_SAMPLES
    total = np.zeros((frames + overlaps - 1, STEP_SAMPLES))
    for index in range(overlaps):
        total[index : index + frames] += windows.reshape(frames, overlaps, STEP_SAMPLES)[:, index]
    return np.asarray(total.ravel()[TONE_WINDOW // 2 :][: frames * STEP_SAMPLES])


def air_knots(sound: np.ndarray, hops: int) -> np.ndarray:
    """Sound [N] -> [hops, KNOTS]: logarithms of the standard deviation that white noise through the spectrum of each hop has."""
    before = AIR_LAG_SAMPLES + AIR_WINDOW // 2
    padded = np.pad(sound, (before, AIR_WINDOW))[: hops * HOP + AIR_WINDOW]
    padded = np.pad(padded, (0, hops * HOP + AIR_WINDOW - len(padded)))
    sine = np.sin(np.pi * (np.arange(AIR_WINDOW) + 0.5) / AIR_WINDOW)
    spectra = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, AIR_WINDOW)[::HOP][:hops] * sine, axis=1)
    power = (np.abs(spectra) ** 2 / (sine**2).sum()) @ _hats()
    return np.asarray(np.maximum(0.5 * np.log(power + 1e-14), AIR_FLOOR), np.float32)


def _hats() -> np.ndarray:
    """[AIR_BINS, KNOTS]: how much each bin counts for each knot; a knot above 8 kHz takes the last bins."""
    knots = np.minimum(knot_frequencies_hz(), (AIR_BINS - 1) * AIR_BIN_HZ)
    reach = np.maximum(np.gradient(knot_frequencies_hz()), AIR_BIN_HZ)
    weights = np.maximum(0, 1 - np.abs(np.arange(AIR_BINS)[:, None] * AIR_BIN_HZ - knots) / reach)
    return np.asarray(weights / weights.sum(0))


def _silent(phones: np.ndarray, quiet: np.ndarray) -> np.ndarray:
    """Frames [T] of silence: those labelled so, and quiet runs of at least 60 ms that touch them.

    hibari gives a last consonant 300 ms, most of them quiet.
    """
    silent = phones == SILENCE
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet & ~silent, [False]]).astype(np.int8)))
    for start, end in edges.reshape(-1, 2):
        touches = (start == 0 or silent[start - 1]) or (end == len(phones) or silent[end])
        if end - start >= _QUIET_FRAMES and touches:
            silent[start:end] = True
    return np.asarray(silent)


def _at(values: np.ndarray, place: np.ndarray, along: int = 0) -> np.ndarray:
    """values [K, F] at fractional frames place [P] -> [K, P]; along=1: values [F, K] at columns place [P, F] -> [P, F]."""
    place = np.clip(place, 0, values.shape[1] - 1)
    below = np.minimum(place.astype(int), max(values.shape[1] - 2, 0))
    above = np.minimum(below + 1, values.shape[1] - 1)
    if along:
        rows = np.arange(values.shape[0])
        low, high = values[rows, below], values[rows, above]
    else:
        low, high = values[:, below], values[:, above]
    return np.asarray(low + (high - low) * (place - below), np.float32)
