"""Files to be damaged, one of every format that can be written here, and what damage does to them. Pure but for the seeds."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from stream.content import Control, Repair, Voice
from stream.frame import CODE_DIMENSIONS
from stream.packet import Framing
from stream.profile import PROFILES
from stream.protection import Protection
from stream.ruler import DECODER_ID

SECONDS = 0.25
NARROW = (
    "GSM610",
    "G721_32",
    "NMS_ADPCM_16",
    "NMS_ADPCM_24",
    "NMS_ADPCM_32",
    "G723_24",
    "G723_40",
    "ALAW",
)  # 8 kHz only, some of them
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF)
HEADER_BYTES = 128
PROTECTIONS = (Protection(), Protection(4, 1), Protection(repeat=2))

Change = Callable[[np.random.Generator, bytearray], None]


def sound_seeds() -> dict[str, bytes]:
    """A quarter of a second in every format and subtype that the library writes, and WAVs that it does not."""
    rng = np.random.default_rng(1)
    sound = (0.1 * rng.standard_normal(round(8000 * SECONDS))).astype(np.float32)
    seeds = {}
    with tempfile.TemporaryDirectory() as folder:
        for form in soundfile.available_formats():
            for subtype in soundfile.available_subtypes(form) if form != "RAW" else ():
                path = Path(folder) / "seed"
                try:
                    soundfile.write(path, sound, 8000 if subtype in NARROW else 16000, subtype, format=form)
                    seeds[f"{form} {subtype}"] = path.read_bytes()
                except (soundfile.LibsndfileError, ValueError):  # a subtype that is only read
                    continue
    samples = (sound * 32767).astype("<i2").tobytes()
    chunks = b"LIST" + struct.pack("<I", 5) + b"abcde\0" + b"PEAK" + struct.pack("<I", 40) + bytes(40)
    form_chunk = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    seeds["WAV of chunks"] = (
        b"RIFF" + bytes(4) + b"WAVE" + chunks + form_chunk + b"data" + struct.pack("<I", len(samples)) + samples
    )
    return seeds


def packet_seeds() -> list[tuple[Protection, bytes]]:
    """Twenty packets of each profile and some protections, back to back, and the protection."""
    rng = np.random.default_rng(2)
    seeds = []
    for profile in PROFILES.values():
        for protection in PROTECTIONS:
            framing = Framing(DECODER_ID, protection)
            packets = [framing.build(Control(1, False, rng.bytes(framing.body_bytes(profile))), profile)]
            for sequence in range(20):
                codes = rng.integers(0, 4, (profile.frames, CODE_DIMENSIONS)).astype(np.uint8)
                packets.append(framing.build(Voice(1, sequence, codes, sequence == 19), profile))
                if protection.block and sequence % protection.block == protection.block - 1:
                    packets.append(framing.build(Repair(1, sequence, 0, False, rng.bytes(profile.code_bytes)), profile))
            seeds.append((protection, b"".join(packets)))
    return seeds


def mutate(rng: np.random.Generator, data: bytes) -> bytes:
    """One to six changes, most of them near the beginning, where headers are."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 7))):
        if changed:
            CHANGES[int(rng.integers(len(CHANGES)))](rng, changed)
    return bytes(changed)


def _place(rng: np.random.Generator, data: bytearray) -> int:
    return int(rng.integers(min(len(data), HEADER_BYTES) if rng.random() < 0.8 else len(data)))


def _byte(rng: np.random.Generator, data: bytearray) -> None:
    data[_place(rng, data)] = int(rng.integers(256))


def _bit(rng: np.random.Generator, data: bytearray) -> None:
    data[_place(rng, data)] ^= 1 << int(rng.integers(8))


def _extreme(rng: np.random.Generator, data: bytearray) -> None:
    place, value = _place(rng, data), int(rng.choice(EXTREMES))
    number = value.to_bytes(4, "little" if rng.random() < 0.7 else "big")[: int(rng.choice([1, 2, 4]))]
    data[place : place + len(number)] = number


def _cut(rng: np.random.Generator, data: bytearray) -> None:
    place = _place(rng, data)
    del data[place : place + int(rng.choice([1, 2, 3, 4, 8, 40]))]


def _insert(rng: np.random.Generator, data: bytearray) -> None:
    place = _place(rng, data)
    data[place:place] = rng.bytes(int(rng.choice([1, 2, 3, 4, 8, 40])))


def _end(rng: np.random.Generator, data: bytearray) -> None:
    del data[_place(rng, data) :]


def _again(rng: np.random.Generator, data: bytearray) -> None:
    """A piece of the header comes twice."""
    start, place = _place(rng, data), _place(rng, data)
    data[place:place] = data[start : start + int(rng.integers(1, 48))]


def _lines(rng: np.random.Generator, data: bytearray) -> None:
    """What a transfer as text does."""
    data[:] = data.replace(b"\n", b"\r\n")


CHANGES: tuple[Change, ...] = (_byte, _byte, _bit, _extreme, _extreme, _extreme, _cut, _insert, _end, _again, _lines)


def scratch_folder() -> str | None:
    """Where files come and go without a disk, if there is such a place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
