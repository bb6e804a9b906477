"""A listening sheet: clips that a person hears without knowing through which system they came, and what the person wrote.

A folder holds the clips `01.wav`..., `sheet.csv` to write in, and `key.csv`, which tells what each clip is.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import soundfile

from codec.evaluate.words import TextErrors, normalize, text_errors
from stream.bootstrap import Interval, ratio_interval
from stream.errors import FileError
from stream.frame import SAMPLE_RATE_HZ
from stream.tables import cell, markdown_table

SHEET, KEY = "sheet.csv", "key.csv"
HEAD = ("clip", "heard")
MORE = "more"  # what stands behind the last column
FOLLOWED_SHARE = 0.75  # of its words: whoever gets as many right has followed the sentence
INTERVAL_SEED = 1


@dataclass(frozen=True)
class Clip:
    """What one clip is; a line of key.csv."""

    clip: str
    system: str
    speaker: str
    path: str
    transcript: str


@dataclass(frozen=True)
class Answer:
    """What a person wrote of a clip."""

    clip: Clip
    heard: str

    @property
    def errors(self) -> TextErrors:
        return text_errors(self.clip.transcript, self.heard)


def write_sheet(folder: Path, clips: Mapping[Clip, np.ndarray]) -> None:
    """Write clips (int16 [N] at 16 kHz), an empty sheet and the key into a new folder.

    Raises:
        FileError: a sheet lies there already, or the folder cannot be written.
    """
    if (folder / SHEET).exists():
        raise FileError(f"{folder / SHEET} exists and may hold answers; choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for clip, samples in clips.items():
            soundfile.write(folder / clip.clip, samples, SAMPLE_RATE_HZ)
        _write(folder / KEY, [each.name for each in fields(Clip)], [astuple(clip) for clip in clips])
        _write(folder / SHEET, HEAD, [(clip.clip, "") for clip in clips])  # last: its presence says that the rest is there
    except (OSError, soundfile.LibsndfileError) as error:
        raise FileError(f"{folder}: cannot be written ({error}); choose another --out") from None


def _write(path: Path, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])


def _read(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a table as an editor or a spreadsheet program leaves it: commas, semicolons or tabs, with or without a mark in
    front."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise FileError(f"{path}: not UTF-8 text; save it as CSV in UTF-8") from None
    except OSError as error:
        raise FileError(f"{path}: {(error.strerror or 'error').lower()}; name the folder that clari-listen wrote") from None
    head = text.partition("\n")[0]
    rows = csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=head.count), restkey=MORE)
    missing = [each for each in columns if each not in (rows.fieldnames or ())]
    if missing:
        raise FileError(f"{path}: column {missing[0]} missing; the first line must be {','.join(columns)}")
    try:
        # Who writes with an editor puts no quotes around a text with commas.
        return [{name: row[name] or "" for name in columns} | {MORE: " ".join(row.get(MORE) or ())} for row in rows]
    except csv.Error as error:
        raise FileError(f"{path}: not CSV ({error}); save it as CSV in UTF-8") from None


def read_answers(folder: Path) -> tuple[list[Answer], list[str]]:
    """What was written, in the sheet's order, and the clips of which nothing was: those are left out.

    A clip that was heard and not understood is answered by a hyphen.

    Raises:
        FileError: sheet or key is missing or no such table, or the sheet names a clip twice or one that the key does not know.
    """
    names = [each.name for each in fields(Clip)]
    key = {row["clip"]: Clip(*(row[name] for name in names)) for row in _read(folder / KEY, names)}
    answers, unanswered, seen = [], [], set()
    for row in _read(folder / SHEET, HEAD):
        clip, heard = row["clip"].strip(), f"{row['heard']} {row[MORE]}".strip()
        if clip not in key:
            raise FileError(f"{folder / SHEET}: there is no clip {clip!r}; write in the column heard only")
        if clip in seen:
            raise FileError(f"{folder / SHEET}: {clip} stands twice; leave one answer")
        seen.add(clip)
        if heard:
            answers.append(Answer(key[clip], heard))
        else:
            unanswered.append(clip)
    return answers, [*unanswered, *(name for name in key if name not in seen)]


def _percent(parts: Sequence[float], wholes: Sequence[float]) -> str:
    share = ratio_interval(parts, wholes, INTERVAL_SEED)
    return cell(Interval(100 * share.value, 100 * share.low, 100 * share.high), 1, True)


def score(answers: Sequence[Answer]) -> str:
    """Markdown: per system the words and letters that were wrong, and the sentences that were followed, with 95 % bootstrap
    intervals over sentences."""
    head = ["system", "sentences", "speakers", "WER % [95 % CI]", "CER %", "followed % [95 % CI]", "every word right %"]
    rows = []
    for system in sorted({answer.clip.system for answer in answers}, reverse=True):  # the original before clari
        own = [answer for answer in answers if answer.clip.system == system]
        errors, ones = [answer.errors for answer in own], [1.0] * len(own)
        wrong, words = [each.errors for each in errors], [each.words for each in errors]
        followed = [float(each.errors <= (1 - FOLLOWED_SHARE) * each.words) for each in errors]
        rows.append(
            [
                system,
                str(len(own)),
                str(len({answer.clip.speaker for answer in own})),
                _percent(wrong, words),
                f"{100 * sum(each.letter_errors for each in errors) / max(sum(each.letters for each in errors), 1):.1f}",
                _percent(followed, ones),
                f"{100 * sum(not each.errors for each in errors) / len(own):.1f}",
            ]
        )
    return markdown_table(head, rows)


def describe(answers: Sequence[Answer]) -> str:
    """Markdown: every sentence, what was said and what was written."""
    lines = []
    for answer in answers:
        clip = answer.clip
        lines += [f"* {clip.clip}, {clip.system}, {clip.speaker}: {answer.errors.errors} errors in {answer.errors.words} words"]
        lines += [f"  * said: {normalize(clip.transcript)}", f"  * heard: {normalize(answer.heard) or '(nothing)'}"]
    return "\n".join(lines)
