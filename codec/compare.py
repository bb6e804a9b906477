"""Two models on the same utterances: how large the difference is and how sure.

    clari-eval --manifest speech.tsv --systems clari --model base --out runs/eval-base
    clari-eval --manifest speech.tsv --systems clari --model rl --out runs/eval-rl
    python -m codec.compare runs/eval-base runs/eval-rl

Pairs the utterances of two evaluations and resamples them together (paired bootstrap, Bisani and Ney 2004, ICASSP).
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from pathlib import Path

from codec.bootstrap import RESAMPLES, paired_difference, ratio_interval
from codec.report import markdown_table

HEAD = ("figure", "before", "after", "difference [95 % CI]", "relative %", "p")
FIGURES = ("stoi", "estoi", "mel_distance")


class CompareError(ValueError):
    """Evaluations that cannot be compared; the message names the cure."""


def read_scores(folder: Path, system: str) -> dict[str, dict[str, float]]:
    """Scores of one system in `folder`/utterances.csv, by recording.

    Raises:
        CompareError: no such file, no list of scores, or nothing of that system in it.
    """
    path = folder / "utterances.csv"
    cure = f"write it with clari-eval --out {folder}"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = [row for row in csv.DictReader(file) if row["system"] == system]
        scores = {row["path"]: {name: float(row[name]) for name in ("errors", "words", *FIGURES)} for row in lines}
    except OSError:
        raise CompareError(f"{path}: cannot be read; {cure}") from None
    except (KeyError, TypeError, ValueError, csv.Error):
        raise CompareError(f"{path} is no list of scores; {cure}") from None
    if not scores:
        raise CompareError(f"{path} holds no line of {system!r}; evaluate it, or choose another --system")
    return scores


def compare(before: dict[str, dict[str, float]], after: dict[str, dict[str, float]], seed: int) -> str:
    """A Markdown table of the utterances that both evaluations hold; a figure that one lacks is left out of its row.

    Raises:
        CompareError: they have none in common.
    """
    both = sorted(before.keys() & after.keys())
    if not both:
        raise CompareError("the evaluations have no utterance in common; evaluate with the same --manifest, --corpus and --seed")
    rows = []
    for name, column, scale, digits in (("WER %", "errors", 100, 1), *((name.replace("_", " "), name, 1, 3) for name in FIGURES)):
        known = [path for path in both if not math.isnan(before[path][column] + after[path][column])]
        old, new = ([scores[path][column] for path in known] for scores in (before, after))
        wholes = [before[path]["words"] if column == "errors" else 1.0 for path in known]
        difference, p_value = paired_difference(new, old, wholes, seed)
        first, second = (ratio_interval(values, wholes, seed).value for values in (old, new))
        ends = ", ".join(f"{scale * end:.{digits}f}" for end in (difference.low, difference.high))
        rows.append(
            (
                name,
                f"{scale * first:.{digits}f}",
                f"{scale * second:.{digits}f}",
                f"{scale * difference.value:.{digits}f} [{ends}]",
                f"{100 * difference.value / first:.1f}" if first else "-",
                f"{p_value:.4f}",
            )
        )
    left_out = len(before) + len(after) - 2 * len(both)
    note = f", {left_out} in one evaluation only" if left_out else ""
    head = f"{len(both)} utterances{note}; paired bootstrap over utterances, {RESAMPLES} resamples, seed {seed}."
    return f"{head}\n\n{markdown_table(HEAD, rows)}\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m codec.compare", description="Compare two evaluations of the same utterances.")
    parser.add_argument("before", type=Path, help="folder that clari-eval --out wrote")
    parser.add_argument("after", type=Path, help="another")
    parser.add_argument("--system", default="clari", help="row of the evaluations (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the resampling (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        print(compare(read_scores(args.before, args.system), read_scores(args.after, args.system), args.seed), end="")
    except CompareError as error:
        print(f"codec.compare: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
