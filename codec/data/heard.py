"""What the ear is taught on: crops of recordings as a microphone may hear them, and what is said in them.

The sound is changed - speed and throat, level, rooms, noise, clipping, the telephone's band -, the target stays what was said,
at the new pace and pitch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfilt

from codec.data.alignment import TEACHING_LEVEL_DB, level_gain
from codec.data.corpus import PackedCorpus
from codec.data.effects import change_speed, in_room, room_response
from codec.data.frames import FRAMES_FILE, FrameFile, Frames
from codec.data.noises import Noises, with_noise
from codec.data.spoken import stretched
from codec.network.ear import SAMPLES_PER_EAR_FRAME

SPEED = (0.82, 1.2)
SPEED_SHARE = 0.6
LEVEL_DB = (-38.0, -14.0)  # active level; a sender's gain control, where it is on, gives -23
ROOM_SHARE = 0.2
DECAY_S, DIRECT_DB = (0.15, 0.8), (-3.0, 15.0)
NOISE_SHARE, SNR_DB = 0.4, (0.0, 30.0)
CLIP_SHARE, CLIP_OF_PEAK = 0.08, (0.15, 0.7)
TELEPHONE_SHARE = 0.12
BAND_LOW_HZ, BAND_HIGH_HZ = (60.0, 350.0), (2800.0, 7000.0)
PEAK = 0.98


@dataclass(frozen=True)
class Crop:
    """One row of a batch."""

    samples: np.ndarray  # float32 [320 T]
    parts: list[tuple[Frames, float]]  # frames of consecutive utterances and the size of who says them


class Recordings:
    """Packed corpora with frames, some of whose speakers are set aside to judge."""

    def __init__(self, folders: dict[Path, float], set_aside: int, seed: int = 7):
        """`folders`: each with its share of the crops; `set_aside`: speakers of the first folder that only judge."""
        self.corpora = [PackedCorpus(folder) for folder in folders]
        self.files = [FrameFile(folder / FRAMES_FILE) for folder in folders]
        share = np.array(list(folders.values()))
        self.share = share / share.sum()
        usable = [np.flatnonzero(file.lengths > 20) for file in self.files]
        speakers = sorted({self.corpora[0].entries[index].speaker for index in usable[0]})
        order = np.random.default_rng(seed).permutation(len(speakers))
        self.aside = {speakers[index] for index in order[:set_aside]}
        self.judges = np.array([index for index in usable[0] if self.corpora[0].entries[index].speaker in self.aside])
        usable[0] = np.array([index for index in usable[0] if self.corpora[0].entries[index].speaker not in self.aside])
        self.usable = usable
        lengths = [file.lengths[index].astype(float) for file, index in zip(self.files, usable, strict=True)]
        self.chance = [length / length.sum() for length in lengths]

    def draw(self, rng: np.random.Generator, count: int, judging: bool = False) -> tuple[np.ndarray, list[tuple[Frames, float]]]:
        """Samples [320 count] at TEACHING_LEVEL_DB, and what is said: an utterance from a random place, then its speaker's next."""
        which = 0 if judging else int(rng.choice(len(self.share), p=self.share))
        corpus, file = self.corpora[which], self.files[which]
        index = int(rng.choice(self.judges) if judging else rng.choice(self.usable[which], p=self.chance[which]))
        speaker = corpus.entries[index].speaker
        frames = file[index]
        begin = int(rng.integers(0, max(1, len(frames) - count * 2 // 3)))
        samples: list[np.ndarray] = []
        parts: list[tuple[Frames, float]] = []
        total = 0
        while total < count:
            size = frames.size
            cut = frames.cut(begin, min(len(frames), begin + count - total))
            entry = corpus.entries[index]
            first = begin * SAMPLES_PER_EAR_FRAME
            samples.append(corpus.audio(entry, first, len(cut) * SAMPLES_PER_EAR_FRAME) * level_gain(entry))
            parts.append((cut, size))
            total += len(cut)
            index, begin = index + 1, 0
            if total >= count or index >= len(file) or not len(file[index]) or corpus.entries[index].speaker != speaker:
                break
            frames = file[index]
        joined = np.concatenate(samples)
        return np.pad(joined, (0, count * SAMPLES_PER_EAR_FRAME - len(joined))), parts


class Field:
    """What happens to speech on the way to the ear."""

    def __init__(self, recordings: Recordings, noises: Noises | None, rooms: PackedCorpus | None):
        self.recordings, self.noises, self.rooms = recordings, noises, rooms

    def crop(self, rng: np.random.Generator, count: int) -> Crop:
        """`count` frames of speech as a microphone may hear it."""
        speed = float(rng.uniform(*SPEED)) if rng.random() < SPEED_SHARE else 1.0
        taken = int(np.ceil(count * speed)) + 1
        samples, parts = self.recordings.draw(rng, taken)
        if speed != 1.0:
            samples = change_speed(samples, speed)
            parts = [(stretched(frames, speed), size + float(np.log2(speed))) for frames, size in parts]
        samples = samples[: count * SAMPLES_PER_EAR_FRAME]
        samples = np.pad(samples, (0, count * SAMPLES_PER_EAR_FRAME - len(samples))).astype(np.float32)
        return Crop(self._disturb(samples, rng), parts)

    def _disturb(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < ROOM_SHARE:
            if self.rooms is not None and rng.random() < 0.3:
                entry = self.rooms.entries[int(rng.integers(len(self.rooms.entries)))]
                response = self.rooms.audio(entry)
                response = response[np.argmax(np.abs(response)) :][:16_000]
            else:
                response = room_response(rng, float(rng.uniform(*DECAY_S)), float(rng.uniform(*DIRECT_DB)))
            samples = in_room(samples, response)
        if self.noises is not None and rng.random() < NOISE_SHARE:
            samples = with_noise(samples, self.noises.draw(len(samples), rng), float(rng.uniform(*SNR_DB)))
        if rng.random() < TELEPHONE_SHARE:
            band = (float(rng.uniform(*BAND_LOW_HZ)), float(rng.uniform(*BAND_HIGH_HZ)))
            samples = sosfilt(butter(3, band, "bandpass", fs=16_000, output="sos"), samples)
        if rng.random() < CLIP_SHARE:
            limit = float(rng.uniform(*CLIP_OF_PEAK)) * float(np.abs(samples).max(initial=1e-6))
            samples = np.clip(samples, -limit, limit)
        samples = samples * 10 ** ((float(rng.uniform(*LEVEL_DB)) - TEACHING_LEVEL_DB) / 20)
        found: np.ndarray = np.clip(samples, -PEAK, PEAK).astype(np.float32)
        return found


def plain_crop(recordings: Recordings, rng: np.random.Generator, count: int) -> Crop:
    """A crop of a speaker set aside, undisturbed."""
    samples, parts = recordings.draw(rng, count, judging=True)
    return Crop(np.clip(samples, -PEAK, PEAK).astype(np.float32), parts)
