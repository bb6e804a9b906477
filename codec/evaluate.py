"""Judge decoded speech of people that no training heard: the command `clari-eval`.

    clari-eval --manifest speech.tsv
    clari-eval --manifest speech.tsv --corpus LibriSpeech --utterances 150 --out results --save-audio

The tables go to stdout, everything else to stderr. The same seed, model and programs give the same digits; hypotheses
are kept in a cache, so a second run with a new model only recognises what is new.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from codec.cases import describe_cases
from codec.chart import draw_chart
from codec.evaluation import Evaluation, evaluate
from codec.judge import CachedJudge, default_cache, open_judge
from codec.lineup import SYSTEM_NAMES, build_systems, is_clari
from codec.data.manifest import read_manifest
from codec.metrics import pesq_is_missing
from codec.processes import measuring
from codec.report import Setting, report, write_health
from codec.scores import by_system, write_scores
from codec.summary import compare, summarize, write_comparisons, write_rows
from codec.trials import Noises, Trial, make_trials, select_utterances
from codec.weights import SHIPPED
from stream.errors import FileError, UsageError, run_command
from stream.frame import SAMPLE_RATE_HZ
from stream.options import command_parser, number, whole

DESCRIPTION = """Compare codecs on held-out speakers: tables on stdout.

examples:
  clari-eval --manifest speech.tsv
  clari-eval --manifest speech.tsv --corpus LibriSpeech --utterances 60 --out results --save-audio
  clari-eval --manifest speech.tsv --model base --model runs/mine --noise noise/ --snr-db 10"""


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("clari-eval", DESCRIPTION)
    parser.add_argument("--manifest", type=Path, required=True, help="tab separated list of recordings")
    parser.add_argument("--corpus", default="", metavar="SUBSTRING", help="only corpora whose name contains this")
    parser.add_argument(
        "--utterances", type=whole(1, 1_000_000), metavar="N", help="how many, spread over speakers; all if not given"
    )
    parser.add_argument("--seed", type=whole(0, 2**32), default=1, help="of the selection, the noise and the intervals")
    names = ", ".join(SYSTEM_NAMES)
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=SYSTEM_NAMES,
        default=SYSTEM_NAMES,
        metavar="NAME",
        help=f"rows of the tables, of {names}; the original is always one",
    )
    parser.add_argument(
        "--model", action="append", metavar="NAME", help="name or folder of clari's graphs; several times compares (default: base)"
    )
    parser.add_argument(
        "--vocoder",
        type=Path,
        default=SHIPPED / "base.safetensors",
        metavar="FILE",
        help="weights file for the rows `vocoder` and `unrounded`, or run folder for the former (default: of the shipped model)",
    )
    parser.add_argument("--noise", type=Path, metavar="DIR", help="recordings, or what pack-noise wrote, added to what is sent")
    parser.add_argument("--snr-db", type=number(-30, 60), default=10.0, metavar="DB", help="speech to noise, with --noise")
    parser.add_argument("--judge", default="pocketsphinx", help="or moonshine, faster-whisper, faster-whisper:MODEL")
    parser.add_argument("--workers", type=whole(1, 4096), default=2, help="processes that measure and recognise")
    parser.add_argument("--cache", type=Path, default=default_cache(), metavar="DIR", help="hypotheses")
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write tables, picture and utterances here")
    parser.add_argument("--save-audio", action="store_true", help="also write the decoded speech below --out")
    return parser


def _say(text: str) -> None:
    print(f"clari-eval: {text}", file=sys.stderr, flush=True)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, soundfile.LibsndfileError) as error:
        raise FileError(f"{folder}: cannot be written ({error}); choose another --out") from None


def _conclude(args: argparse.Namespace, judge: str, trials: Sequence[Trial], found: Evaluation) -> None:
    setting = Setting(
        manifest=args.manifest,
        utterances=len(trials),
        speakers=len({trial.utterance.speaker for trial in trials}),
        seconds=sum(len(trial.clean) for trial in trials) / SAMPLE_RATE_HZ,
        judge=judge,
        seed=args.seed,
        noise=args.noise,
        snr_db=args.snr_db,
        similarity_floor=found.voices.floor,
        similarity_ceiling=found.voices.ceiling,
    )
    rows, comparisons = summarize(found.scores, args.seed), compare(found.scores, args.seed)
    text = report(setting, rows, comparisons, found.healths)
    print(text, end="")
    if args.out is None:
        return
    cases = [describe_cases(name, own) for name, own in by_system(found.scores).items() if is_clari(name)]
    with _writing(args.out):
        (args.out / "table.md").write_text("\n".join([text, *cases]), encoding="utf-8")
        write_rows(args.out / "table.csv", rows)
        write_comparisons(args.out / "comparisons.csv", comparisons)
        write_scores(args.out / "utterances.csv", found.scores)
        write_health(args.out / "codes.json", found.healths)
        draw_chart(args.out / "table.png", rows)


def _run(args: argparse.Namespace) -> int:
    import torch

    torch.set_num_threads(1)  # sums in one order: the same digits on any number of cores
    if args.save_audio and args.out is None:
        raise UsageError("--save-audio needs a folder; add --out DIR")
    utterances = select_utterances(read_manifest(args.manifest), args.corpus, args.utterances, args.seed)
    noises = None if args.noise is None else Noises(args.noise)
    systems, skipped = build_systems(args.systems, args.model or ["base"], args.vocoder, noisy=noises is not None)
    for name, reason in skipped.items():
        _say(f"{name} left out: {reason}")
    if pesq_is_missing():
        _say("PESQ left out: package pesq not found; install a C compiler and: pip install 'clari[pesq]'")
    judge = CachedJudge(open_judge(args.judge, args.workers), args.cache)
    trials = make_trials(utterances, noises, args.snr_db, args.seed)
    if args.out is not None:
        with _writing(args.out):
            args.out.mkdir(parents=True, exist_ok=True)

    def keep(system: str, index: int, samples: np.ndarray) -> None:
        folder = args.out / system
        with _writing(args.out):
            folder.mkdir(exist_ok=True)
            soundfile.write(folder / f"{index:04d}-{utterances[index].path.stem}.wav", samples, SAMPLE_RATE_HZ)

    with measuring(min(args.workers, len(trials))) as run:
        found = evaluate(trials, systems, judge, _say, run, keep if args.save_audio else None)
    _conclude(args, judge.name, trials, found)
    return 0


def main(argv: list[str] | None = None) -> int:
    return run_command("clari-eval", lambda: _run(build_parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
