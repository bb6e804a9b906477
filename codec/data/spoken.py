"""Speech by hibari with everything known about it: samples, and phones, stress, pitch and energy at 50 Hz.

    python -m codec.data.spoken --sentences sentences.txt --count 8000 --out runs/spoken

A third is its own voice; the rest is resampled, which gives other throats and paces, and all of it is spoken at several speeds.
The phone classifier learns from it first, decoder and ear ever after.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soxr

from codec.data.corpus import INDEX_FILE, SAMPLES_FILE, Entry, active_level_db, write_index
from codec.data.frames import FRAMES_FILE, Frames, at_phone_rate, spoken_frames, write_frames
from codec.data.phonemes import text_to_ids
from codec.pretrained import hibari
from codec.pretrained.hibari import Hibari
from stream.errors import ClariError, run_command
from stream.frame import SAMPLE_RATE_HZ

FEWEST_TOKENS, MOST_TOKENS = 8, 300
SHORTEST, LONGEST = 10, 180  # characters of a sentence
OWN_THROAT = 1 / 3
THROATS = (0.8, 1.2)  # the sound is this many times as fast and high
SPEEDS = (0.75, 1.35)  # of speaking
EAR_SAMPLES = SAMPLE_RATE_HZ // 50


@functools.cache
def _voice() -> Hibari:
    return Hibari()


def stretched(frames: Frames, factor: float) -> Frames:
    """The same frames `factor` times as fast, pitch with it."""
    count = int(len(frames) / factor)
    take = np.minimum(((np.arange(count) + 0.5) * factor).astype(int), len(frames) - 1)
    pitch = at_phone_rate(frames.pitch, 50 * factor, count) + np.float32(np.log2(factor))
    energy = at_phone_rate(frames.energy, 50 * factor, count)
    return Frames(frames.phones[take], frames.stress[take], pitch, frames.voiced[take], energy)


def speak(text: str, seed: int) -> tuple[np.ndarray, Frames] | None:
    """A sentence -> int16 samples at 16 kHz and its frames, as a random throat says it; None where there is little to say."""
    rng = np.random.default_rng(seed)
    ids = text_to_ids(text)
    if not FEWEST_TOKENS <= len(ids) <= MOST_TOKENS:
        return None
    spoken = _voice().speak(ids, float(rng.uniform(*SPEEDS)))
    throat = 1.0 if rng.random() < OWN_THROAT else float(rng.uniform(*THROATS))
    samples = soxr.resample(spoken.samples(seed), hibari.SAMPLE_RATE_HZ, SAMPLE_RATE_HZ / throat)
    frames = stretched(spoken_frames(spoken), throat)
    count = min(len(frames), len(samples) // EAR_SAMPLES)
    return (np.clip(samples[: count * EAR_SAMPLES], -1, 1) * 32767).astype(np.int16), frames.cut(0, count)


def read_sentences(path: Path, count: int, seed: int) -> list[str]:
    """`count` sentences of a text file in random order, more than once if there are too few.

    Raises:
        ClariError: the file cannot be read or holds none.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ClariError(f"{path}: cannot be read ({error}); give a text file with one sentence a line") from None
    lines = [line for line in lines if SHORTEST <= len(line) <= LONGEST]
    if not lines:
        raise ClariError(f"{path}: no sentences of {SHORTEST} to {LONGEST} characters; give one a line")
    order = np.random.default_rng(seed).permutation(len(lines))
    return [lines[order[index % len(lines)]] for index in range(count)]


def synthesize(sentences: list[str], out: Path, workers: int, seed: int = 1) -> int:
    """Speak sentences into a corpus folder; returns how many were spoken."""
    out.mkdir(parents=True, exist_ok=True)
    (out / INDEX_FILE).unlink(missing_ok=True)
    entries: list[Entry] = []

    def written() -> Iterator[Frames]:
        start = 0
        with (out / SAMPLES_FILE).open("wb") as file, ProcessPoolExecutor(workers) as pool:
            seeds = range(seed, seed + len(sentences))
            for text, made in zip(sentences, pool.map(speak, sentences, seeds, chunksize=20), strict=True):
                if made is None:
                    continue
                samples, frames = made
                file.write(samples.tobytes())
                level_db = active_level_db(samples.astype(np.float32) / 32768)
                entries.append(Entry(start, len(samples), level_db, "hibari", "synthetic", text))
                start += len(samples)
                yield frames

    made = write_frames(out / FRAMES_FILE, written())
    write_index(out, entries)
    return made


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m codec.data.spoken", description="Let hibari speak sentences.")
    parser.add_argument("--sentences", type=Path, required=True, help="text file, one sentence a line")
    parser.add_argument("--count", type=int, default=8000, help="how many (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the corpus")
    parser.add_argument("--seed", type=int, default=1, help="another seed speaks others (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes at once (default: %(default)s)")
    args = parser.parse_args(argv)

    def command() -> int:
        made = synthesize(read_sentences(args.sentences, args.count, args.seed), args.out, args.workers, args.seed)
        print(f"{made} sentences in {args.out}")
        return 0

    return run_command("codec.data.spoken", command)


if __name__ == "__main__":
    sys.exit(main())
