"""Judge decoded speech of people that no training heard: the command `clari-eval`.

    clari-eval --manifest speech.tsv
    clari-eval --manifest speech.tsv --corpus LibriSpeech --utterances 150 --judge whisper --judge pocketsphinx \\
        --conditions clean loss other --noise noise/ --results codec/RESULTS.md

The tables go to stdout, everything else to stderr. The same seed, model and programs give the same digits; what was judged
and measured is kept in a cache, so that a run that was broken off goes on, and one with a new model only does what is new.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile

from codec.data.manifest import read_manifest
from codec.data.noises import Noises
from codec.evaluate.evaluation import DEFAULT_METRICS, METRICS, Keep, evaluate, read_phones
from codec.evaluate.judge import Cache, CachedJudge, default_cache, open_judge
from codec.evaluate.report import Condition, command_line, heading, health_section, phones_section, section
from codec.evaluate.summary import Score, compare, summarize, write_comparisons, write_rows, write_scores
from codec.evaluate.systems import (
    NOISY,
    PROFILE,
    SYSTEM_NAMES,
    ClariSystem,
    PhoneReader,
    System,
    Unchanged,
    build_systems,
)
from codec.evaluate.trials import MALE_BELOW_HZ, Trial, in_noise, make_trials, male_speakers, select_utterances
from codec.network.health import code_health
from stream.errors import FileError, UsageError, run_command
from stream.frame import SAMPLE_RATE_HZ
from stream.options import check_writable, command_parser, number, whole
from stream.profile import PROFILES

DESCRIPTION = """Compare codecs on held-out speakers: tables on stdout.

examples:
  clari-eval --manifest speech.tsv
  clari-eval --manifest speech.tsv --corpus LibriSpeech --utterances 60 --judge whisper --judge pocketsphinx --out results
  clari-eval --manifest speech.tsv --model base --model runs/mine --noise noise/ --conditions clean loss other"""
CLEAN, MALE, NOISE, LOSS, OTHER = "clean", "male", "noise", "loss", "other"
WEIGHTS = Path("codec/weights/base.safetensors")
BESIDE_LOSS = "codec2-3200"  # undamaged, what damaged clari should not fall behind


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("clari-eval", DESCRIPTION)
    parser.add_argument("--manifest", type=Path, required=True, help="tab separated list of recordings")
    parser.add_argument("--corpus", default="", metavar="SUBSTRING", help="only corpora whose name contains this")
    parser.add_argument(
        "--utterances", type=whole(1, 1_000_000), metavar="N", help="how many, spread over speakers; all if not given"
    )
    parser.add_argument("--seed", type=whole(0, 2**32), default=1, help="of the selection, the noise and the intervals")
    names = ", ".join(SYSTEM_NAMES)
    systems = f"rows of the tables, of {names}; the original is always one"
    parser.add_argument("--systems", nargs="+", choices=SYSTEM_NAMES, default=SYSTEM_NAMES, metavar="NAME", help=systems)
    parser.add_argument(
        "--model", action="append", metavar="NAME", help="name or folder of clari's graphs; several times compares (default: base)"
    )
    parser.add_argument("--profile", choices=tuple(PROFILES), default=PROFILE, help="clari's frames per packet")
    parser.add_argument(
        "--judge",
        action="append",
        metavar="NAME",
        help="whisper, whisper:FOLDER (or a size, like small.en), or pocketsphinx; several times for several (default: whisper)",
    )
    metrics = f"of {', '.join(METRICS)}; those from stoi on compare with the original's voice, which clari has not"
    parser.add_argument("--metrics", nargs="+", choices=tuple(METRICS), default=DEFAULT_METRICS, metavar="NAME", help=metrics)
    conditions = parser.add_argument_group("what is heard")
    conditions.add_argument(
        "--conditions",
        nargs="+",
        choices=(CLEAN, LOSS, OTHER),
        default=[CLEAN],
        metavar="NAME",
        help="of clean; loss: every tenth of clari's packets, two in a row; other: the corpus of --other-corpus",
    )
    conditions.add_argument("--other-corpus", default="Common Voice", metavar="SUBSTRING", help="of the condition other")
    conditions.add_argument(
        "--noise", type=Path, metavar="PATH", help="adds the condition noise: folder of recordings or list with a column path, "
        "of which those are taken that training leaves out by their names"
    )  # fmt: skip
    conditions.add_argument("--snr-db", type=number(-30, 60), default=10.0, metavar="DB", help="speech to noise, with --noise")
    parts = parser.add_argument_group("where words are lost")
    oracles = "phone classifier (codec/weights/phone-times.pt): adds rows of true phones, and a table of phones"
    parts.add_argument("--oracles", type=Path, metavar="FILE", help=oracles)
    weights = "of the codec, for --oracles (default: %(default)s)"
    parts.add_argument("--weights", type=Path, metavar="FILE", default=WEIGHTS, help=weights)
    parser.add_argument("--workers", type=whole(1, 4096), default=2, help="cores that measure and recognise")
    parser.add_argument("--cache", type=Path, default=default_cache(), metavar="DIR", help="what was judged and measured")
    parser.add_argument("--results", type=Path, metavar="FILE", help="also write the tables to this file")
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write figures, differences and utterances here as CSV")
    parser.add_argument("--save-audio", action="store_true", help="also write the decoded speech below --out")
    return parser


def _say(text: str) -> None:
    print(f"clari-eval: {text}", file=sys.stderr, flush=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, soundfile.LibsndfileError) as error:
        raise FileError(f"{path}: cannot be written ({error}); choose another place") from None


@dataclass(frozen=True)
class _Plan:
    """One condition to come: its name and title, what is special about it, who speaks, and through which systems."""

    name: str
    title: str
    text: str
    trials: Sequence[Trial]
    systems: Sequence[System]


def _is_installed(metric: str) -> bool:
    package = METRICS[metric].package
    if package and find_spec(package) is None:
        extra = "pesq" if package == "pesq" else "eval"
        _say(f"{metric} left out: package {package} not found; install: pip install 'clari[{extra}]'")
        return False
    return True


def _open_judges(args: argparse.Namespace, cache: Cache) -> list[CachedJudge]:
    judges = [CachedJudge(open_judge(name, args.workers), cache) for name in dict.fromkeys(args.judge or ["whisper"])]
    if len({judge.kind for judge in judges}) < len(judges):
        raise UsageError("two judges of one kind would share their columns; give one --judge of each kind")
    return judges


def _plans(args: argparse.Namespace, systems: Sequence[System]) -> list[_Plan]:
    """The conditions that were asked for, with everything loaded that can be missing; raises FileError, UsageError."""
    utterances = read_manifest(args.manifest)
    noises = None if args.noise is None else Noises(args.noise, held_out=True)
    clean = make_trials(select_utterances(utterances, args.corpus, args.utterances, args.seed))
    plans = []
    if CLEAN in args.conditions:
        plans.append(_Plan(CLEAN, "Clean speech", f"Corpus: {args.corpus or 'all'}.", clean, systems))
    if noises is not None:
        text = (
            f"The same utterances with {args.noise.name} at {args.snr_db:g} dB: {len(noises.recordings)} recordings that training "
            f"leaves out by their names. Every system but `original` heard the noise, which row `{NOISY}` is before any codec; all "
            "figures are against the clean original."
        )
        noisy = in_noise(clean, noises, args.snr_db, args.seed)
        plans.append(_Plan(NOISE, f"Noise at {args.snr_db:g} dB", text, noisy, [systems[0], Unchanged(NOISY), *systems[1:]]))
    if LOSS in args.conditions:
        text = (
            f"The same utterances; of clari's packets (profile {args.profile}, no repair) every tenth is lost, two in a row, "
            "always the same ones. The other rows are undamaged."
        )
        damaged = [system.with_losses() for system in systems if isinstance(system, ClariSystem)]
        others = [system for system in systems[1:] if isinstance(system, ClariSystem) or system.name == BESIDE_LOSS]
        plans.append(_Plan(LOSS, "Lost packets", text, clean, [systems[0], *damaged, *others]))
    if OTHER in args.conditions:
        trials = make_trials(select_utterances(utterances, args.other_corpus, args.utterances, args.seed))
        plans.append(_Plan(OTHER, args.other_corpus, f"Corpus: {args.other_corpus}.", trials, systems))
    return plans


def _amount(trials: Sequence[Trial]) -> str:
    speakers = len({trial.utterance.speaker for trial in trials})
    minutes = sum(len(trial.clean) for trial in trials) / SAMPLE_RATE_HZ / 60
    return f"{len(trials)} held-out utterances, {speakers} speakers, {minutes:.1f} minutes."


def _male(plan: _Plan, scores: Sequence[Score], seed: int) -> Condition | None:
    """What men alone are worth in a condition that was heard; None without men."""
    speakers = male_speakers(plan.trials)
    own = [score for score in scores if score.speaker in speakers]
    if not own:
        return None
    text = (
        f"Of the speakers above those whose median pitch is below {MALE_BELOW_HZ:g} Hz, which stands for their sex, as no manifest "
        f"tells it: {', '.join(sorted(speakers))}."
    )
    return Condition(f"{plan.title}, male speakers", text, summarize(own, seed), [])


def _keep(folder: Path, trials: Sequence[Trial]) -> Keep:
    def keep(system: str, index: int, samples: np.ndarray) -> None:
        path = folder / system / f"{index:04d}-{trials[index].utterance.path.stem}.wav"
        with _writing(folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, samples, SAMPLE_RATE_HZ)

    return keep


def _write(out: Path, scores: dict[str, list[Score]], conditions: dict[str, Condition]) -> None:
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_rows(out / "rows.csv", {name: each.rows for name, each in conditions.items()})
        write_comparisons(out / "comparisons.csv", {name: each.comparisons for name, each in conditions.items()})
        write_scores(out / "utterances.csv", scores)


def _run(args: argparse.Namespace, given: Sequence[str]) -> int:
    if args.save_audio and args.out is None:
        raise UsageError("--save-audio needs a folder; add --out DIR")
    check_writable(None if args.results is None else str(args.results))
    names = args.model or ["base"]
    systems, skipped = build_systems(args.systems, names, args.profile)
    for name, reason in skipped.items():
        _say(f"{name} left out: {reason}")
    plans = _plans(args, systems)
    readers: list[PhoneReader] = []
    if args.oracles is not None:
        from codec.evaluate.oracles import oracle_rows  # brings torch

        rows, readers = oracle_rows(args.weights, args.oracles)
        plans[0] = replace(plans[0], systems=[*plans[0].systems, *rows])
    cache = Cache(args.cache)
    judges, metrics = _open_judges(args, cache), list(filter(_is_installed, dict.fromkeys(args.metrics)))
    models = [system for system in systems if isinstance(system, ClariSystem)]
    scores: dict[str, list[Score]] = {}
    conditions: dict[str, Condition] = {}
    parts: list[str] = []
    for plan in plans:
        keep = _keep(args.out / plan.name, plan.trials) if args.save_audio else None
        _say(f"condition {plan.name}: {len(plan.trials)} utterances")
        for model in models:
            model.sent.clear()
        found = evaluate(plan.trials, plan.systems, judges, metrics, cache, _say, args.workers, keep)
        scores[plan.name] = found
        text = f"{_amount(plan.trials)} {plan.text}"
        conditions[plan.name] = Condition(plan.title, text, summarize(found, args.seed), compare(found, args.seed))
        if plan.name == CLEAN:
            male = _male(plan, found, args.seed)
            conditions |= {} if male is None else {MALE: male}
            parts = [health_section(model.name, code_health(np.concatenate(model.sent))) for model in models]
    if readers:
        parts.insert(0, phones_section(read_phones(plans[0].trials, readers, _say), args.seed))
    kinds = [judge.kind for judge in judges]
    head = heading(command_line(given), models, [judge.name for judge in judges])
    report = "\n\n".join([head, *(section(each, kinds) for each in conditions.values()), *parts]) + "\n"
    print(report, end="")
    if args.results is not None:
        with _writing(args.results):
            args.results.write_text(report, encoding="utf-8")
    if args.out is not None:
        _write(args.out, scores, conditions)
    return 0


def main(argv: list[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else argv
    return run_command("clari-eval", lambda: _run(build_parser().parse_args(given), given))


if __name__ == "__main__":
    sys.exit(main())
