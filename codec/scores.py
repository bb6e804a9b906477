"""What one utterance scored through one system, and the file of all of them."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Score:
    """One utterance through one system; a line of utterances.csv.

    `own_*` counts against what the judge made of the original instead of the transcript. Figures are NaN where they are
    not defined.
    """

    system: str
    path: str
    speaker: str
    seconds: float
    bits: int | None
    coded_s: float
    errors: int
    words: int
    letter_errors: int
    letters: int
    own_errors: int
    own_words: int
    own_letter_errors: int
    own_letters: int
    stoi: float
    estoi: float
    pesq: float
    mel_distance: float
    spectral_distance_db: float
    pitch_correlation: float
    voicing_error: float
    speaker_similarity: float
    transcript: str
    hypothesis: str


def by_system(scores: Sequence[Score]) -> dict[str, list[Score]]:
    """Scores of each system, systems and utterances in their order."""
    systems: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        systems[score.system].append(score)
    return dict(systems)


def write_scores(path: Path, scores: Sequence[Score]) -> None:
    """utterances.csv: one line per utterance and system."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Score))
        for score in scores:
            writer.writerow(f"{value:.6f}" if isinstance(value, float) else value for value in astuple(score))
