"""Let a person judge: the command `clari-listen`.

    clari-listen --manifest speech.tsv --out ear     # clips, and a sheet to write down what they say
    clari-listen --score ear                         # how much of it was understood

Every sentence is heard once, through one system: who has heard it before understands it better. Which system a clip comes
from is drawn, and stands in a file that nobody has to open. The originals among them tell how well the person hears, and
writes. With several people each gets a folder and a --seed of their own.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import numpy as np

from codec.data.manifest import read_manifest
from codec.evaluate.evaluation import fitted
from codec.evaluate.judge import to_int16
from codec.evaluate.systems import ORIGINAL, PROFILE, SYSTEM_NAMES, build_systems
from codec.evaluate.trials import load_utterance, select_utterances
from codec.listening_test.sheet import FOLLOWED_SHARE, SHEET, Clip, describe, read_answers, score, write_sheet
from stream.errors import FileError, UsageError, run_command
from stream.options import command_parser, number, whole
from stream.profile import PROFILES

DESCRIPTION = """Let a person judge how well speech is understood: clips to hear, a sheet to fill in, and its score.

examples:
  clari-listen --manifest speech.tsv --out ear
  clari-listen --manifest speech.tsv --out ear --utterances 40 --systems original clari codec2-1300
  clari-listen --score ear"""


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("clari-listen", DESCRIPTION)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--manifest", type=Path, metavar="FILE", help="list of recordings; clips are made of held-out ones")
    task.add_argument("--score", type=Path, metavar="DIR", help="folder whose sheet is filled in")
    made = parser.add_argument_group("with --manifest")
    made.add_argument("--out", type=Path, metavar="DIR", help="new folder for the clips and the sheet")
    made.add_argument("--corpus", default="", metavar="SUBSTRING", help="only corpora whose name contains this")
    made.add_argument("--utterances", type=whole(1, 10_000), default=24, metavar="N", help="clips, as many of each system")
    made.add_argument("--longest-s", type=number(0.5, 60), default=8.0, help="of a sentence; longer ones are hard to keep in mind")
    made.add_argument("--seed", type=whole(0, 2**32), default=1, help="of the choice and the order")
    made.add_argument(
        "--systems",
        nargs="+",
        choices=SYSTEM_NAMES,
        default=[ORIGINAL, "clari"],
        metavar="NAME",
        help=f"of {', '.join(SYSTEM_NAMES)}; the original is always one",
    )
    made.add_argument("--model", action="append", metavar="NAME", help="name or folder of clari's graphs; several times compares")
    made.add_argument("--profile", choices=tuple(PROFILES), default=PROFILE, help="clari's frames per packet")
    return parser


def _say(text: str) -> None:
    print(f"clari-listen: {text}", file=sys.stderr, flush=True)


def make(args: argparse.Namespace) -> None:
    """Write the folder of a listening test."""
    if args.out is None:
        raise UsageError("where to? add --out DIR")
    known = [item for item in read_manifest(args.manifest) if item.seconds <= args.longest_s]
    utterances = select_utterances(known, args.corpus, args.utterances, args.seed)
    systems, skipped = build_systems(args.systems, args.model or ["base"], args.profile)
    for name, reason in skipped.items():
        _say(f"{name} left out: {reason}")
    chance = random.Random(args.seed)
    chance.shuffle(utterances)  # they come in the order of their names: which of them are together must not tell
    ways = [systems[number % len(systems)] for number in range(len(utterances))]
    chance.shuffle(ways)
    clips: dict[Clip, np.ndarray] = {}
    for place, (utterance, system) in enumerate(zip(utterances, ways, strict=True), start=1):
        name = f"{place:0{len(str(len(utterances)))}d}.wav"
        clip = Clip(name, system.name, utterance.speaker, utterance.path.name, utterance.transcript)
        samples = load_utterance(utterance)
        clips[clip] = to_int16(fitted(system.process(samples, utterance.transcript), len(samples)))
    write_sheet(args.out, clips)
    _say(f"{len(clips)} clips in {args.out}; hear each at most twice, write its words into {args.out / SHEET}, column heard")
    _say(f"(a hyphen where nothing is understood), then: clari-listen --score {args.out}")


def _run(args: argparse.Namespace) -> int:
    if args.manifest is not None:
        make(args)
        return 0
    answers, unanswered = read_answers(args.score)
    if not answers:
        raise FileError(f"{args.score / SHEET}: no answer in column heard; hear the clips and write what they say")
    if unanswered:
        _say(f"left out without an answer: {' '.join(unanswered)}; a hyphen says that nothing is understood")
    print(f"{len(answers)} sentences; followed: at least {FOLLOWED_SHARE:.0%} of the words right\n")
    print(score(answers), end="\n\n")
    print(describe(answers))
    return 0


def main(argv: list[str] | None = None) -> int:
    return run_command("clari-listen", lambda: _run(build_parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
