"""Markers for measuring delay: chirps that a speech codec of 200 bit/s keeps apart, and how they are found again.

What such a codec gives back of a chirp is no chirp: correlating what is heard with what was said is off by tens of
milliseconds. But the codec is deterministic. The codes on their way say exactly what has to be heard: decoded here,
without any delay, they are a reference that agrees with the heard samples one by one (`locate`). And the codes say
where the sender's frames began: encoded here from another place in the signal, fewer of them agree (`sender_offset`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.engine import Decoder, Encoder
from stream.frame import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm
from stream.jitter import LARGE_STEP_SAMPLES, SMALL_STEP_SAMPLES

CHIRP_S = 0.3
SPACING_S = 0.5  # from one chirp to the next, and up to a frame more: they begin everywhere in frames and packets
TAIL_S = 2.0  # of silence, so that the packet of the last one is complete
LEVEL = 0.3
PITCHES_HZ = (90.0, 260.0)
FORMANTS_HZ = ((300.0, 800.0), (900.0, 2000.0), (2000.0, 3200.0))
FORMANT_WIDTH_HZ = 80.0
HIGHEST_HZ = 5000.0
RAMP_S = 0.01
WINDOW_SAMPLES = round(0.2 * SAMPLE_RATE_HZ)  # of the reference that is looked for
REACH_SAMPLES = round(0.3 * SAMPLE_RATE_HZ)  # around the place where it is expected
LEAST_CORRELATION, SURE_CORRELATION = 0.7, 0.95
SILENT = 1e-9  # energy squared below which nothing is like anything
STEPS_SAMPLES = (0, SMALL_STEP_SAMPLES, -SMALL_STEP_SAMPLES, LARGE_STEP_SAMPLES, -LARGE_STEP_SAMPLES)  # longer, per frame
SEARCHED_FRAMES = 48
SKIPPED_FRAMES = 8  # in which the encoder's state is still that of its beginning
SLOPE_SAMPLES = 80  # 5 ms beside the best offset the codes are still compared, to find the middle


def chirp(rng: np.random.Generator) -> Pcm:
    """A voice that glides: harmonics of a pitch that moves by a random interval, below formants that move as well.

    float32 [4800], no two alike.
    """
    time_s = np.arange(round(CHIRP_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    course = time_s / CHIRP_S
    low_hz, high_hz = np.array(FORMANTS_HZ).T
    start_hz, end_hz = rng.uniform(low_hz, high_hz), rng.uniform(low_hz, high_hz)
    formants_hz = start_hz[:, None] * (end_hz / start_hz)[:, None] ** course
    first_hz, last_hz = rng.uniform(*PITCHES_HZ, size=2)
    pitch_hz = first_hz * (last_hz / first_hz) ** course
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    voice = np.zeros(len(time_s))
    for harmonic in range(1, int(HIGHEST_HZ / pitch_hz.min())):
        here_hz = harmonic * pitch_hz
        gain = 0.02 + np.sum(1 / (1 + ((here_hz - formants_hz) / FORMANT_WIDTH_HZ) ** 2), axis=0)
        voice += np.where(here_hz < HIGHEST_HZ, gain, 0.0) * np.sin(harmonic * phase)
    ramp = np.minimum(1.0, np.arange(len(time_s)) / (RAMP_S * SAMPLE_RATE_HZ))
    voice *= ramp * ramp[::-1] * LEVEL / np.abs(voice).max()
    return voice.astype(np.float32)


def marker_signal(count: int, lead_s: float, seed: int = 0) -> tuple[Pcm, NDArray[np.int64]]:
    """Silence, then `count` chirps.

    Returns:
        samples float32 [N]; the place [count] at which each chirp begins.
    """
    rng = np.random.default_rng(seed)
    places = (np.arange(count) * SPACING_S + lead_s) * SAMPLE_RATE_HZ
    starts = places.astype(np.int64) + rng.integers(0, SAMPLES_PER_FRAME, count)
    samples = np.zeros(starts[-1] + round(TAIL_S * SAMPLE_RATE_HZ), np.float32)
    for start in starts:
        sound = chirp(rng)
        samples[start : start + len(sound)] += sound
    return samples, starts


def encode(encoder: Encoder, samples: Pcm, packet_frames: int) -> NDArray[np.uint8]:
    """Codes [frames, 8] of the whole packets in samples [N]."""
    stream, packet_samples = encoder.stream(), packet_frames * SAMPLES_PER_FRAME
    whole = len(samples) // packet_samples * packet_samples
    return np.concatenate([stream.encode(packet) for packet in samples[:whole].reshape(-1, packet_samples)])


def decode(decoder: Decoder, codes: NDArray[np.uint8]) -> Pcm:
    """Samples [frames * 1280] of codes [frames, 8]."""
    return decoder.stream().decode_many(codes)


def locate(heard: Pcm, wanted: Pcm, expected: int) -> int | None:
    """The place in `heard` where `wanted` [M] begins, REACH_SAMPLES around the expected one; None if it is not there.

    By normalised cross-correlation, so that loudness does not matter. What is not found as it is may have been played a
    little faster or slower, as playout does to change its delay.
    """
    first = max(0, expected - REACH_SAMPLES)
    part = heard[first : expected + REACH_SAMPLES + len(wanted)].astype(np.float64)
    best, best_likeness = 0, 0.0
    for step in STEPS_SAMPLES:
        samples = round(len(wanted) * (1 + step / SAMPLES_PER_FRAME))
        if len(part) < samples:
            continue
        played = np.interp(np.linspace(0, len(wanted) - 1, samples), np.arange(len(wanted)), wanted)
        sums = np.concatenate([[0.0], np.cumsum(part**2)])
        energies = (sums[samples:] - sums[:-samples]) * np.sum(played**2)
        likeness = np.correlate(part, played, "valid") / np.sqrt(np.maximum(energies, SILENT))
        place = int(np.argmax(likeness))
        if likeness[place] > best_likeness:
            best, best_likeness = first + place, float(likeness[place])
        if best_likeness >= SURE_CORRELATION:
            break
    return best if best_likeness >= LEAST_CORRELATION else None


def coarse_lag(heard: Pcm, wanted: Pcm) -> int:
    """By how many samples the whole of `wanted` lies later in `heard`; negative: earlier."""
    size = 1 << (len(heard) + len(wanted)).bit_length()
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size)), size)
    best = int(np.argmax(product))
    return best if best < len(heard) else best - size


def sender_offset(encoder: Encoder, spoken: Pcm, codes: NDArray[np.uint8], packet_frames: int, low: int, high: int) -> int:
    """The place in `spoken` [N], between `low` and `high`, at which the packet of codes[0] began.

    Packets of a sender begin anywhere in what a microphone hears. From the right place our own encoder makes the same
    codes of the same speech; the further from it, the more of them differ, equally on both sides.
    """

    def difference(offset: int) -> float:
        part = spoken[max(0, offset) :][: SEARCHED_FRAMES * SAMPLES_PER_FRAME]
        found = encode(encoder, np.concatenate([np.zeros(max(0, -offset), np.float32), part]), packet_frames)
        frames = min(len(found), len(codes))
        levels = found[SKIPPED_FRAMES:frames].astype(float) - codes[SKIPPED_FRAMES:frames]
        return float(np.mean(np.abs(levels)))

    near = min(range(low, high + 1, 4 * SLOPE_SAMPLES), key=difference)
    best = min(range(near - 3 * SLOPE_SAMPLES, near + 4 * SLOPE_SAMPLES, SLOPE_SAMPLES), key=difference)
    before, here, after = (difference(best + step) for step in (-SLOPE_SAMPLES, 0, SLOPE_SAMPLES))
    # Both slopes are equally steep: the line of the lower side, mirrored, meets the other one in the middle.
    rise = max(before, after) - here
    return best + round(SLOPE_SAMPLES * (before - after) / (2 * rise)) if rise > 0 else best
