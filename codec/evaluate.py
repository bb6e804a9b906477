"""Judge decoded speech of people that no training heard: the command `clari-eval`.

    clari-eval --manifest speech.tsv
    clari-eval --manifest speech.tsv --corpus LibriSpeech --utterances 150 --out results --save-audio

The table goes to stdout, everything else to stderr. The same seed, model and programs give the same digits; hypotheses
are kept in a cache, so a second run with a new model only recognises what is new.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

import numpy as np
import soundfile

from codec.config import SAMPLE_RATE_HZ
from codec.corpus import load_audio
from codec.judge import CachedJudge, Judge, PocketsphinxJudge, default_cache, to_int16
from codec.manifest import ManifestError, Utterance, read_manifest
from codec.metrics import intelligibility, mel_distance, word_errors
from codec.report import Score, report, write_scores
from codec.systems import SYSTEM_NAMES, System, build_systems
from codec.text import normalize
from codec.weights import SHIPPED
from stream.errors import FileError, UsageError, run_command
from stream.options import command_parser

DESCRIPTION = """Compare codecs on held-out speakers: one table on stdout.

examples:
  clari-eval --manifest speech.tsv
  clari-eval --manifest speech.tsv --corpus LibriSpeech --utterances 60 --out results --save-audio"""
SAY_EVERY = 25  # recognised utterances


def select_utterances(utterances: Sequence[Utterance], corpus: str, count: int | None, seed: int) -> list[Utterance]:
    """Held-out utterances with a transcript, `count` of them spread over the speakers as evenly as they allow.

    Raises:
        UsageError: none is left.
    """
    heldout = [item for item in utterances if item.split == "heldout" and normalize(item.transcript)]
    if not heldout:
        raise UsageError("no held-out utterance with a transcript; mark some speakers' lines `heldout` in the manifest")
    chosen = [item for item in heldout if corpus.casefold() in item.corpus.casefold()]
    if not chosen:
        corpora = ", ".join(sorted({item.corpus for item in heldout}))
        raise UsageError(f"no held-out utterance of a corpus like {corpus!r}; choose from: {corpora}")
    speakers = defaultdict(list)
    for item in sorted(chosen, key=lambda item: item.path.as_posix()):
        speakers[item.speaker].append(item)
    # Every speaker has random numbers of their own, so that one more speaker changes no other's utterances.
    for speaker, items in speakers.items():
        random.Random(f"{seed} {speaker}").shuffle(items)
    order = sorted(speakers)
    random.Random(seed).shuffle(order)
    rounds = [item for turn in zip_longest(*(speakers[speaker] for speaker in order)) for item in turn if item is not None]
    return sorted(rounds[:count], key=lambda item: item.path.as_posix())


def load_utterance(utterance: Utterance) -> np.ndarray:
    """Samples [N] at 16 kHz.

    Raises:
        FileError: the file is missing, damaged or empty, or holds samples that are no numbers.
    """
    try:
        samples = load_audio(utterance.path)
    except (OSError, soundfile.LibsndfileError):
        raise FileError(f"{utterance.path}: missing or no audio; repair the manifest") from None
    if not len(samples) or not np.isfinite(samples).all():
        raise FileError(f"{utterance.path}: empty or not finite; remove it from the manifest")
    return samples


def evaluate(
    utterances: Sequence[Utterance],
    systems: Sequence[System],
    judge: Judge,
    say: Callable[[str], None],
    keep: Callable[[str, int, np.ndarray], None] | None = None,
) -> list[Score]:
    """Send every utterance through every system and judge it; the first system is the original.

    keep: called with system, number of the utterance and decoded int16 samples [N].
    """
    scores: list[Score] = []
    own: list[str] = []
    for system in systems:
        heard, figures = [], []
        for number, utterance in enumerate(utterances):
            original = load_utterance(utterance)
            decoded = system.decode(original)
            heard.append(to_int16(decoded.samples))
            stoi, estoi = (intelligibility(original, decoded.samples, extended) for extended in (False, True))
            figures.append((decoded.bits, decoded.coded_s, stoi, estoi, mel_distance(original, decoded.samples)))
            if keep is not None:
                keep(system.name, number, heard[-1])
        say(f"{system.name}: {len(heard)} utterances decoded")
        hypotheses = []
        for hypothesis in judge.transcribe(heard):
            hypotheses.append(normalize(hypothesis))
            if len(hypotheses) % SAY_EVERY == 0 or len(hypotheses) == len(heard):
                say(f"{system.name}: {len(hypotheses)}/{len(heard)} recognised")
        own = own or hypotheses
        for utterance, audio, (bits, coded_s, stoi, estoi, mel), hypothesis, reference in zip(
            utterances, heard, figures, hypotheses, own, strict=True
        ):
            wrong, own_wrong = word_errors(utterance.transcript, hypothesis), word_errors(reference, hypothesis)
            scores.append(
                Score(
                    system=system.name,
                    path=utterance.path.as_posix(),
                    speaker=utterance.speaker,
                    seconds=len(audio) / SAMPLE_RATE_HZ,
                    bits=bits,
                    coded_s=coded_s,
                    errors=wrong.errors,
                    words=wrong.words,
                    own_errors=own_wrong.errors,
                    own_words=own_wrong.words,
                    stoi=stoi,
                    estoi=estoi,
                    mel_distance=mel,
                    transcript=normalize(utterance.transcript),
                    hypothesis=hypothesis,
                )
            )
    return scores


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("clari-eval", DESCRIPTION)
    parser.add_argument("--manifest", type=Path, required=True, help="tab separated list of recordings")
    parser.add_argument("--corpus", default="", metavar="SUBSTRING", help="only corpora whose name contains this")
    parser.add_argument("--utterances", type=_positive, metavar="N", help="how many, spread over speakers; all if not given")
    parser.add_argument("--seed", type=int, default=1, help="of the selection and of the intervals")
    names = ", ".join(SYSTEM_NAMES)
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=SYSTEM_NAMES,
        default=SYSTEM_NAMES,
        metavar="NAME",
        help=f"rows of the table, of {names}; the original is always one",
    )
    parser.add_argument("--model", default="base", help="name or folder of clari's graphs")
    parser.add_argument(
        "--vocoder",
        type=Path,
        default=SHIPPED / "base.safetensors",
        metavar="FILE",
        help="weights file or run folder for the row `vocoder`",
    )
    parser.add_argument("--workers", type=_positive, default=2, help="recogniser processes")
    parser.add_argument("--cache", type=Path, default=default_cache(), metavar="DIR", help="hypotheses")
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write table.md and utterances.csv here")
    parser.add_argument("--save-audio", action="store_true", help="also write the decoded speech below --out")
    return parser


def _say(text: str) -> None:
    print(f"clari-eval: {text}", file=sys.stderr, flush=True)


def _read(manifest: Path) -> list[Utterance]:
    try:
        return read_manifest(manifest)
    except (ManifestError, UnicodeDecodeError) as error:
        text = str(error) if isinstance(error, ManifestError) else f"{manifest}: not a text file; give a tab separated manifest"
        raise FileError(text) from None


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, soundfile.LibsndfileError) as error:
        raise FileError(f"{folder}: cannot be written ({error}); choose another --out") from None


def _run(args: argparse.Namespace) -> int:
    if args.save_audio and args.out is None:
        raise UsageError("--save-audio needs a folder; add --out DIR")
    utterances = select_utterances(_read(args.manifest), args.corpus, args.utterances, args.seed)
    systems, skipped = build_systems(args.systems, args.model, args.vocoder)
    for name, reason in skipped.items():
        _say(f"{name} left out: {reason}")
    judge = CachedJudge(PocketsphinxJudge(args.workers), args.cache)
    if args.out is not None:
        with _writing(args.out):
            args.out.mkdir(parents=True, exist_ok=True)

    def keep(system: str, number: int, samples: np.ndarray) -> None:
        folder = args.out / system
        with _writing(args.out):
            folder.mkdir(exist_ok=True)
            soundfile.write(folder / f"{number:04d}-{utterances[number].path.stem}.wav", samples, SAMPLE_RATE_HZ)

    scores = evaluate(utterances, systems, judge, _say, keep if args.save_audio else None)
    table = report(scores, args.manifest, judge.name, args.seed)
    print(table, end="")
    if args.out is not None:
        with _writing(args.out):
            (args.out / "table.md").write_text(table, encoding="utf-8")
            write_scores(args.out / "utterances.csv", scores)
    return 0


def main(argv: list[str] | None = None) -> int:
    return run_command("clari-eval", lambda: _run(build_parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
