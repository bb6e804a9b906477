"""Training speech in one file, and the commands that make it.

    python -m codec.data.corpus synthesize --hours 6 --sentences sentences.txt --out runs/synthetic
    python -m codec.data.corpus pack --out runs/corpus speech.tsv runs/synthetic/speech.tsv
    python -m codec.data.corpus pack-noise --out runs/noise noise/

`pack` decodes every training recording once to 16 kHz int16 in `samples.i16`, beside an index with speaker,
transcript and level. Training maps the file into memory and cuts crops from it: no audio library, no
decoding and no randomness of file order remain in the training loop.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import soundfile

from codec.data.audio import AUDIO_SUFFIXES, load_audio
from codec.data.manifest import Utterance, read_manifest, training_utterances
from codec.data.synthesis import synthesize
from stream.errors import ClariError, run_command
from stream.frame import SAMPLE_RATE_HZ

SAMPLES_FILE, INDEX_FILE = "samples.i16", "index.tsv"
INDEX_COLUMNS = ("start", "samples", "level_db", "speaker", "corpus", "transcript")


class CorpusError(ClariError):
    """A packed corpus that cannot be used; the message names the cure."""


def active_level_db(samples: np.ndarray) -> float:
    """Level of the louder half of 20 ms frames of `samples` [N] in dBFS: speech without its pauses."""
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    if not len(frames):
        return -120.0
    power = np.sort(np.mean(frames**2, axis=1))[len(frames) // 2 :]
    return float(10 * np.log10(np.mean(power) + 1e-12))


@dataclass(frozen=True)
class Entry:
    """One recording of a packed corpus."""

    start: int
    samples: int
    level_db: float
    speaker: str
    corpus: str
    transcript: str

    @property
    def synthetic(self) -> bool:
        return self.corpus == "synthetic"


def write_index(folder: Path, entries: Sequence[Entry]) -> None:
    """Write or replace the index of a packed corpus."""
    unfinished = folder / f"{INDEX_FILE}.new"
    with unfinished.open("w", encoding="utf-8") as index:
        index.write("\t".join(INDEX_COLUMNS) + "\n")
        for entry in entries:
            start, samples, level_db, *texts = astuple(entry)
            index.write("\t".join([str(start), str(samples), f"{level_db:.1f}", *texts]) + "\n")
    unfinished.replace(folder / INDEX_FILE)


class PackedCorpus:
    """A packed corpus, mapped into memory."""

    def __init__(self, folder: Path) -> None:
        index = folder / INDEX_FILE
        if not index.is_file():
            raise CorpusError(f"{folder}: no packed corpus; make it: python -m codec.data.corpus pack --out {folder} MANIFEST")
        with index.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            self.entries = [
                Entry(int(row["start"]), int(row["samples"]), float(row["level_db"]), *(row[c] for c in INDEX_COLUMNS[3:]))
                for row in rows
            ]
        samples = self.entries[-1].start + self.entries[-1].samples if self.entries else 0
        # An empty file cannot be mapped.
        if not 0 < samples <= (folder / SAMPLES_FILE).stat().st_size // np.dtype(np.int16).itemsize:
            raise CorpusError(f"{folder}: empty or truncated corpus; delete the folder and pack again")
        self.data = np.memmap(folder / SAMPLES_FILE, dtype=np.int16, mode="r")

    def audio(self, entry: Entry, start: int = 0, samples: int | None = None) -> np.ndarray:
        """Samples of one recording as float32 [N] in -1..1."""
        stop = entry.samples if samples is None else min(start + samples, entry.samples)
        return self.data[entry.start + start : entry.start + stop].astype(np.float32) / 32768


def _decoded(path: Path) -> np.ndarray | None:
    try:
        return load_audio(path)
    except soundfile.LibsndfileError as error:
        print(f"left out, cannot be decoded: {error}", file=sys.stderr, flush=True)
        return None


def _prepare(utterance: Utterance) -> tuple[np.ndarray, float] | None:
    audio = _decoded(utterance.path)
    if audio is None:
        return None
    return (np.clip(audio, -1, 1) * 32767).astype(np.int16), active_level_db(audio)


def _clear(out: Path) -> None:
    """Make `out` a folder without an index, which is written last: an interrupted pack leaves none."""
    out.mkdir(parents=True, exist_ok=True)
    (out / INDEX_FILE).unlink(missing_ok=True)


def _finish(out: Path, entries: Sequence[Entry], nothing: str) -> int:
    """Write the index of what was packed; returns how many recordings. Raises CorpusError(`nothing`) if no sample was."""
    if not any(entry.samples for entry in entries):
        (out / SAMPLES_FILE).unlink()
        raise CorpusError(nothing)
    write_index(out, entries)
    return len(entries)


def pack(manifests: list[Path], out: Path, workers: int) -> int:
    """Pack the training utterances of `manifests` into `out`; returns how many. Held-out speakers stay outside.

    Raises:
        CorpusError: there is nothing to pack.
    """
    everything = [item for manifest in manifests for item in read_manifest(manifest)]
    utterances = training_utterances(everything)
    names = ", ".join(map(str, manifests))
    if not utterances:
        raise CorpusError(f"{names}: no training speech; give the recordings to train on the split `train`")
    _clear(out)
    start = 0
    entries = []
    with (out / SAMPLES_FILE).open("wb") as file, ProcessPoolExecutor(workers) as pool:
        for number, (item, prepared) in enumerate(zip(utterances, pool.map(_prepare, utterances, chunksize=16), strict=True)):
            if prepared is None:
                continue
            samples, level_db = prepared
            file.write(samples.tobytes())
            entries.append(Entry(start, len(samples), level_db, item.speaker, item.corpus, item.transcript))
            start += len(samples)
            if number % 1000 == 0:
                print(f"{number}/{len(utterances)} recordings, {start / SAMPLE_RATE_HZ / 3600:.2f} h", flush=True)
    return _finish(out, entries, f"{names}: no recording could be decoded; check the paths, which are relative to the manifest")


def pack_noise(folder: Path, out: Path) -> int:
    """Pack every audio file below `folder` as one noise recording each; returns how many.

    Raises:
        CorpusError: there is nothing to pack.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not files:
        raise CorpusError(f"{folder}: no audio files; give a folder that holds {' '.join(sorted(AUDIO_SUFFIXES))}")
    _clear(out)
    entries, start = [], 0
    with (out / SAMPLES_FILE).open("wb") as file:
        for path in files:
            audio = _decoded(path)
            level_db = -120.0 if audio is None else active_level_db(audio)
            if audio is None or level_db < -70:  # digital silence scales up to nothing but rounding noise
                continue
            samples = (np.clip(audio, -1, 1) * 32767).astype(np.int16)
            file.write(samples.tobytes())
            entries.append(Entry(start, len(samples), level_db, path.name, "noise", ""))
            start += len(samples)
    return _finish(out, entries, f"{folder}: every recording is silent or cannot be decoded; give a folder of noises to be heard")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m codec.data.corpus", description="Make training speech.")
    commands = parser.add_subparsers(dest="command", required=True)
    speak = commands.add_parser("synthesize", help="let flite and espeak-ng speak sentences")
    speak.add_argument("--hours", type=float, required=True, help="hours of speech to make")
    speak.add_argument("--sentences", type=Path, required=True, help="text file, one sentence per line")
    speak.add_argument("--out", type=Path, required=True, help="folder for FLAC files and speech.tsv")
    speak.add_argument("--seed", type=int, default=1, help="another seed speaks other sentences (default: %(default)s)")
    speak.add_argument("--workers", type=int, default=2, help="processes at once (default: %(default)s)")
    packing = commands.add_parser("pack", help="decode the training speech of manifests into one file")
    packing.add_argument("manifests", type=Path, nargs="+")
    packing.add_argument("--out", type=Path, required=True)
    packing.add_argument("--workers", type=int, default=2, help="processes at once (default: %(default)s)")
    noise = commands.add_parser("pack-noise", help="decode a folder of noises into one file")
    noise.add_argument("folder", type=Path)
    noise.add_argument("--out", type=Path, required=True)
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)

    def command() -> int:
        if args.command == "synthesize":
            made = len(synthesize(args.sentences, args.out, args.hours, args.seed, args.workers))
        elif args.command == "pack":
            made = pack(args.manifests, args.out, args.workers)
        else:
            made = pack_noise(args.folder, args.out)
        print(f"{made} recordings in {args.out}")
        return 0

    return run_command("codec.data.corpus", command)


if __name__ == "__main__":
    sys.exit(main())
