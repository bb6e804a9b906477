"""What a voice is to say, frame by frame at 50 Hz: phones, stress, pitch, voicing and energy; and files of it.

Decoder and voice are trained towards these; they come from a synthesiser that tells them, or from real speech by alignment and
pitch tracking.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from codec.data.phonemes import frame_labels
from codec.network.phones import PHONE_RATE_HZ, SILENCE
from codec.pretrained.hibari import ENERGY_CHANNEL, FRAME_RATE_HZ, Spoken
from stream.errors import ClariError

FRAMES_FILE = "frames.npz"
PITCH_UNIT_HZ = 200.0  # pitch is log2(Hz / PITCH_UNIT_HZ)
VOICE_PITCH_HZ = 195.0  # median of hibari's voice; size 0
QUIET_ENERGY = -1.9  # hibari's energy channel in silence
SILENT_DB = -45.0  # below a sentence's loudest frame: silence, where it touches a pause
FEWEST_VOICED = 5
LEAST_FRAMES = 3  # of a phone, where there is room: 60 ms


@dataclass(frozen=True)
class Frames:
    """One utterance at 50 Hz; every array is [T]."""

    phones: np.ndarray  # uint8, classes of codec.data.phonemes
    stress: np.ndarray  # uint8, 0 none, 1 primary, 2 secondary
    pitch: np.ndarray  # float32, log2(Hz / 200); held and interpolated where unvoiced
    voiced: np.ndarray  # uint8, 0 or 1
    energy: np.ndarray  # float32, on the scale of hibari's energy channel

    def __len__(self) -> int:
        return len(self.phones)

    @property
    def size(self) -> float:
        """Median pitch in octaves above that of hibari's voice: what the size of the vocal tract is guessed from."""
        return median_pitch(self.pitch, self.voiced) - float(np.log2(VOICE_PITCH_HZ / PITCH_UNIT_HZ))

    def cut(self, begin: int, end: int) -> Frames:
        return Frames(*(getattr(self, field.name)[begin:end] for field in fields(self)))


def median_pitch(pitch: np.ndarray, voiced: np.ndarray) -> float:
    """Median of pitch [T] where voiced, that of hibari's voice where hardly anything is."""
    found = pitch[voiced > 0]
    return float(np.median(found)) if len(found) >= FEWEST_VOICED else float(np.log2(VOICE_PITCH_HZ / PITCH_UNIT_HZ))


def continuous_pitch(pitch_hz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in Hz [T], 0 where unvoiced -> log2(Hz / 200) without gaps, and voicing, [T] each."""
    voiced = pitch_hz > 0
    place = np.flatnonzero(voiced)
    if not len(place):
        return np.full(len(pitch_hz), np.log2(VOICE_PITCH_HZ / PITCH_UNIT_HZ), np.float32), voiced.astype(np.uint8)
    curve = np.interp(np.arange(len(pitch_hz)), place, np.log2(pitch_hz[place] / PITCH_UNIT_HZ))
    return curve.astype(np.float32), voiced.astype(np.uint8)


def at_phone_rate(values: np.ndarray, rate_hz: float, count: int, *, nearest: bool = False) -> np.ndarray:
    """Values [F] at another rate -> [count] at 50 Hz, taken at the middle of each frame."""
    place = (np.arange(count) + 0.5) * rate_hz / PHONE_RATE_HZ - 0.5
    if nearest:
        found: np.ndarray = values[np.clip(np.round(place).astype(int), 0, len(values) - 1)]
        return found
    curve: np.ndarray = np.interp(place, np.arange(len(values)), values).astype(np.float32)
    return curve


def spoken_frames(spoken: Spoken) -> Frames:
    """Frames of a sentence by hibari, whose final consonants are mostly silence and are labelled so."""
    phones, stress = frame_labels(spoken.ids, spoken.durations)
    count = len(phones)
    power = np.exp(2 * np.minimum(spoken.spectra["lh"], 7)).sum(0)
    noise = np.exp(2 * np.minimum(spoken.spectra["ln"], 7)).sum(0) + np.exp(2 * np.minimum(spoken.spectra["lr"], 7)).sum(0)
    level_db = 10 * np.log10(power * (spoken.pitch_hz > 0) + noise + 1e-9)
    level_db = at_phone_rate(level_db.astype(np.float32), FRAME_RATE_HZ, count)
    quiet = level_db < level_db.max(initial=-90.0) + SILENT_DB
    for begin, end in _runs(quiet):
        touches = phones[max(begin - 1, 0)] == SILENCE or phones[min(end, count - 1)] == SILENCE or end == count
        if end - begin >= 3 and (touches or SILENCE in phones[begin:end]):
            phones[begin:end], stress[begin:end] = SILENCE, 0
    phones, stress = with_room(phones, stress)
    pitch_hz = at_phone_rate(spoken.pitch_hz, FRAME_RATE_HZ, count, nearest=True)
    pitch, voiced = continuous_pitch(pitch_hz)
    energy = at_phone_rate(spoken.decoder_input[ENERGY_CHANNEL], FRAME_RATE_HZ, count)
    return Frames(phones.astype(np.uint8), stress.astype(np.uint8), pitch, voiced, energy)


def with_room(phones: np.ndarray, stress: np.ndarray, least: int = LEAST_FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """The same phones [T] with every one at least `least` frames long where its neighbours have frames to spare.

    Rapid speech says some sounds in 20 ms, in which no voice can be understood. They get room from the longer of their
    neighbours, from silence first.
    """
    edges = np.concatenate(([0], np.flatnonzero(np.diff(phones)) + 1, [len(phones)]))
    kinds, lengths = phones[edges[:-1]], np.diff(edges)
    for _ in range(least):
        for place in np.flatnonzero((lengths < least) & (kinds != SILENCE)):
            beside = [each for each in (place - 1, place + 1) if 0 <= each < len(lengths)]
            spare = [lengths[each] - (1 if kinds[each] == SILENCE else least) + 100 * (kinds[each] == SILENCE) for each in beside]
            best = int(np.argmax(spare)) if beside else 0
            giver = beside[best] if beside else place
            if beside and lengths[giver] > (1 if kinds[giver] == SILENCE else least):
                lengths[giver] -= 1
                lengths[place] += 1
    return np.repeat(kinds, lengths), np.repeat(np.array([_common(stress[a:b]) for a, b in itertools.pairwise(edges)]), lengths)


def _common(values: np.ndarray) -> int:
    """The most frequent of small whole numbers."""
    return int(np.bincount(values.astype(int)).argmax())


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Begin and end of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def write_frames(path: Path, items: Iterable[Frames]) -> int:
    """Write the frames of utterances one after another; returns how many utterances."""
    everything = list(items)
    joined = {field.name: np.concatenate([getattr(item, field.name) for item in everything]) for field in fields(Frames)}
    joined["pitch"], joined["energy"] = (joined[name].astype(np.float16) for name in ("pitch", "energy"))
    unfinished = path.with_suffix(".part.npz")
    np.savez(unfinished, lengths=np.array([len(item) for item in everything]), **joined)  # type: ignore[arg-type]
    unfinished.replace(path)
    return len(everything)


class FrameFile:
    """Frames of many utterances, read by number."""

    def __init__(self, path: Path):
        """Raises ClariError: there is no such file."""
        if not path.is_file():
            raise ClariError(f"{path}: no frames of speech; make them: python -m codec.data.spoken or codec.data.targets")
        with np.load(path) as file:
            self._arrays = {field.name: file[field.name] for field in fields(Frames)}
            self.lengths = file["lengths"]
        self._begins = np.concatenate(([0], np.cumsum(self.lengths)))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Frames:
        begin, end = self._begins[index], self._begins[index + 1]
        cut = {name: array[begin:end] for name, array in self._arrays.items()}
        cut["pitch"], cut["energy"] = cut["pitch"].astype(np.float32), cut["energy"].astype(np.float32)
        return Frames(**cut)
