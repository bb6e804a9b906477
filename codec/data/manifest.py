"""Manifests: which recordings there are, who speaks, and who is held out.

A manifest is a tab separated file with one header line and the columns `path seconds speaker split transcript
licence corpus`; paths are relative to the manifest. An optional column `alignment` holds `phone:end_s` pairs where
the phone times are known (synthetic speech). `split` is `train` or `heldout`; a held-out speaker never reaches a
training step, which `training_utterances` enforces.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from stream.errors import FileError

COLUMNS = ("path", "seconds", "speaker", "split", "transcript", "licence", "corpus")
SPLITS = ("train", "heldout")


class ManifestError(FileError):
    """A manifest that cannot be used; the message names file, line and cure."""


@dataclass(frozen=True)
class Utterance:
    """One recording of one speaker."""

    path: Path
    seconds: float
    speaker: str
    split: str
    transcript: str
    licence: str
    corpus: str
    alignment: str = ""


def read_manifest(path: Path) -> list[Utterance]:
    """Read every utterance of a manifest.

    Raises:
        ManifestError: the file is missing, is no text, lacks a column or holds a malformed line.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: no such manifest; give a tab separated file with the columns {' '.join(COLUMNS)}")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return _read_rows(path, file)
    except UnicodeDecodeError:
        raise ManifestError(f"{path}: not a text file; give a tab separated manifest") from None


def _read_rows(path: Path, file: TextIO) -> list[Utterance]:
    utterances = []
    rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = set(COLUMNS) - set(rows.fieldnames or ())
    if missing:
        raise ManifestError(f"{path}: column {', '.join(sorted(missing))} missing; the first line must name it")
    for row in rows:
        where = f"{path}:{rows.line_num}"
        if any(row[column] is None for column in COLUMNS):
            raise ManifestError(f"{where}: too few fields; separate {len(COLUMNS)} fields by tabs")
        try:
            seconds = float(row["seconds"])
        except ValueError:
            raise ManifestError(f"{where}: seconds is {row['seconds']!r}; write a number") from None
        if row["split"] not in SPLITS:
            raise ManifestError(f"{where}: split is {row['split']!r}; write one of {', '.join(SPLITS)}")
        utterances.append(
            Utterance(
                path=path.parent / row["path"],
                seconds=seconds,
                speaker=row["speaker"],
                split=row["split"],
                transcript=row["transcript"],
                licence=row["licence"],
                corpus=row["corpus"],
                alignment=row.get("alignment") or "",
            )
        )
    return utterances


def training_utterances(utterances: list[Utterance]) -> list[Utterance]:
    """The utterances that may be trained on.

    Raises:
        ManifestError: a speaker stands in both splits, so that training would hear a held-out voice.
    """
    heldout = {utterance.speaker for utterance in utterances if utterance.split == "heldout"}
    train = [utterance for utterance in utterances if utterance.split == "train"]
    leaked = sorted(heldout & {utterance.speaker for utterance in train})
    if leaked:
        raise ManifestError(f"speaker {leaked[0]} is in both splits; give every speaker one split")
    return train


def write_manifest(path: Path, utterances: list[Utterance]) -> None:
    """Write utterances whose paths lie below the manifest's folder."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("\t".join((*COLUMNS, "alignment")) + "\n")
        for item in utterances:
            relative = item.path.relative_to(path.parent)
            fields = (relative, f"{item.seconds:.3f}", item.speaker, item.split, item.transcript)
            file.write("\t".join(map(str, (*fields, item.licence, item.corpus, item.alignment))) + "\n")
