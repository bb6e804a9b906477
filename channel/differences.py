"""Which encoder is understood better over the same links: paired differences, because all of them met the same weather."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from channel.job import ORIGINAL, Cell
from channel.results import INTERVAL_SEED
from stream.bootstrap import NOTHING, Interval, paired_difference
from stream.tables import cell, markdown_table


@dataclass(frozen=True)
class Difference:
    """An encoder minus the first one over one link; NaN where nobody listened."""

    link: str
    profile: str
    protection: str
    encoder: str
    other: str
    utterances: int
    stoi: Interval
    stoi_p: float
    wer_percent: Interval
    wer_p: float
    other_wer_percent: float

    @property
    def wer_relative_percent(self) -> float:
        """The difference as a share of the other's word errors."""
        return 100 * self.wer_percent.value / self.other_wer_percent if self.other_wer_percent else math.nan

    def flat(self) -> dict[str, Any]:
        """Names and values, the intervals with their ends."""
        values: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Interval):
                values |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
            else:
                values[name] = value
        return values


def differences_of(cells: Sequence[Cell]) -> list[Difference]:
    """Every encoder minus the one whose cells come first, link by link; none where there is one encoder."""
    groups: dict[tuple[str, str, str], dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for each in cells:
        if each.link != ORIGINAL:
            groups[each.link, each.profile, each.protection][each.encoder].append(each)
    found = []
    for way, encoders in groups.items():
        first, *others = encoders
        found += [_difference(way, encoders[first], encoders[other]) for other in others]
    return found


def _difference(way: tuple[str, str, str], before: Sequence[Cell], after: Sequence[Cell]) -> Difference:
    # The unit is the utterance: what its passages through different weather gave is added first.
    names = list(dict.fromkeys(each.utterance for each in before))
    sums = {name: [0.0] * 6 for name in names}  # errors, other's errors, words, STOI, other's STOI, passages
    for one, other in zip(_sorted(after), _sorted(before), strict=True):
        known = one.decoded and math.isfinite(one.stoi) and math.isfinite(other.stoi)
        more = (one.word_errors, other.word_errors, one.words, *((one.stoi, other.stoi, 1) if known else (0, 0, 0)))
        for place, value in enumerate(more):
            sums[one.utterance][place] += value
    errors, other_errors, words, mine, others, passages = (list(column) for column in zip(*sums.values(), strict=True))
    percent, other_percent = [100 * each for each in errors], [100 * each for each in other_errors]
    nothing = NOTHING, math.nan
    wer, wer_p = paired_difference(percent, other_percent, words, INTERVAL_SEED) if sum(words) else nothing
    stoi, stoi_p = paired_difference(mine, others, passages, INTERVAL_SEED) if sum(passages) else nothing
    other_wer = sum(other_percent) / sum(words) if sum(words) else math.nan
    return Difference(*way, after[0].encoder, before[0].encoder, len(names), stoi, stoi_p, wer, wer_p, other_wer)


def _sorted(cells: Sequence[Cell]) -> list[Cell]:
    return sorted(cells, key=lambda each: (each.utterance, each.seed))


def difference_table(differences: Sequence[Difference]) -> str:
    """Markdown."""
    head = ["link", "packets", "protection", "difference", "STOI", "p STOI", "WER points", "of the other's WER %", "p WER"]
    return markdown_table(
        head,
        [
            [
                each.link,
                each.profile,
                each.protection,
                f"{each.encoder} - {each.other}",
                cell(each.stoi, 3, True),
                f"{each.stoi_p:.2g}",
                cell(each.wer_percent, 1, True),
                f"{each.wer_relative_percent:.1f}",
                f"{each.wer_p:.2g}",
            ]
            for each in differences
        ],
    )
