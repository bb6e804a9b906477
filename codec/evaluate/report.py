"""The tables of an evaluation in Markdown: one text holds everything that is known of one set of weights."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.evaluate.summary import Comparison, Row, phone_error_percent
from codec.evaluate.systems import ClariSystem, PhoneErrors
from codec.network.health import DEAD_SHARE, CodeHealth
from codec.revision import git_revision
from stream.bootstrap import Interval
from stream.tables import cell, markdown_table

# Name of the figure, title of its column, digits, whether the interval is shown.
Columns = tuple[tuple[str, str, int, bool], ...]
QUALITY: Columns = (
    ("distillmos", "DistillMOS", 2, True),
    ("dnsmos", "DNSMOS", 2, True),
    ("pitch_correlation", "pitch correlation", 3, True),
    ("voicing_error_percent", "voicing error %", 1, True),
)
LIKENESS: Columns = (
    ("stoi", "STOI", 3, True),
    ("estoi", "ESTOI", 3, True),
    ("pesq", "PESQ wb", 2, True),
    ("mel_distance", "mel distance", 3, False),
    ("spectral_distance_db", "LSD dB", 2, False),
    ("speaker_similarity", "speaker similarity", 3, True),
)
NOTES = """WER and CER are words and letters wrong against the transcript, numbers, abbreviations and spelling unified on both
sides; one utterance counts at most as wholly wrong, so that a recogniser that runs in circles on it does not outweigh the others.
`vs own` is against what the same judge writes of the original. DistillMOS and DNSMOS (overall) are networks' guesses of
listeners' marks, 1 to 5, without reference. Pitch correlation is that of the logarithms where both are voiced; voicing error the
share of 10 ms frames where one is voiced and the other is not. In brackets 95 % bootstrap intervals over utterances; differences
are paired, with two-sided p. The same manifest, seed, weights and programs give the same digits."""
LIKENESS_NOTE = (
    "Likeness to the original's waveform, spectrum and voice, by request. **clari's voice is another one by design: of clari "
    "these figures mean nothing.**"
)


@dataclass(frozen=True)
class Condition:
    """One section: what was heard, by its title and a sentence, and what came of it."""

    title: str
    text: str
    rows: Sequence[Row]
    comparisons: Sequence[Comparison]


def judge_columns(kinds: Sequence[str]) -> Columns:
    """Columns of the judges, the first in full, words alone of the others."""
    first, *others = kinds
    return (
        (f"{first}_wer_percent", f"WER % {first}", 1, True),
        (f"{first}_cer_percent", "CER %", 1, False),
        (f"{first}_own_wer_percent", "WER % vs own", 1, False),
        *((f"{kind}_wer_percent", f"WER % {kind}", 1, True) for kind in others),
    )


def command_line(arguments: Sequence[str]) -> str:
    """The command as it was given, of paths only the last part: where a manifest lay is the affair of its machine."""
    words = []
    for argument in arguments:
        option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        words.append(option + equals + (Path(value).name if "/" in value else value))
    return shlex.join(["clari-eval", *words])


def heading(command: str, models: Sequence[ClariSystem], judges: Sequence[str]) -> str:
    """What the figures belong to: weights, programs, judges."""
    lines = ["# Results", ""]
    for system in models:
        meta = system.encoder.meta
        lines += [
            f"* `{system.name}`: model {meta.name}, weights {system.sha256} (SHA-256 of encoder and decoder graph), decoder id "
            f"{meta.decoder_id}, exported at revision {meta.revision}; delay "
            f"{1000 * meta.delay_samples / meta.sample_rate_hz:.0f} ms beside the packet; packets of {system.packet_frames} frames"
        ]
    lines += [f"* judge: {name}" for name in judges]
    lines += [f"* evaluated at revision {git_revision()} by", "", f"      {command}", "", NOTES]
    return "\n".join(lines)


def _rate(bits_per_s: float | None) -> str:
    return "-" if bits_per_s is None else f"{bits_per_s:.0f}"


def _present(columns: Columns, rows: Sequence[Row]) -> Columns:
    return tuple(column for column in columns if column[0] in rows[0].figures)


def _systems_table(rows: Sequence[Row], columns: Columns) -> str:
    head = ["system", "bit/s", *(f"{title} [95 % CI]" if shown else title for _, title, _, shown in columns)]
    lines = [
        [row.system, _rate(row.bits_per_s), *(cell(row.figures[name], digits, shown) for name, _, digits, shown in columns)]
        for row in rows
    ]
    return markdown_table(head, lines)


def _difference(found: tuple[Interval, float], digits: int) -> str:
    difference, p_value = found
    return cell(difference, digits, True) + (f", p {p_value:.4f}" if math.isfinite(p_value) else "")


def _comparison_table(comparisons: Sequence[Comparison], columns: Columns) -> str:
    head = ["difference", *(title for _, title, _, _ in columns)]
    lines = [
        [f"{each.system} - {each.other}", *(_difference(each.differences[name], digits) for name, _, digits, _ in columns)]
        for each in comparisons
    ]
    return markdown_table(head, lines)


def section(condition: Condition, kinds: Sequence[str]) -> str:
    """Title, text, and the tables of one condition."""
    rows = condition.rows
    judged, quality, likeness = judge_columns(kinds), _present(QUALITY, rows), _present(LIKENESS, rows)
    parts = [f"## {condition.title}", condition.text, _systems_table(rows, judged)]
    if quality:
        parts.append(_systems_table(rows, quality))
    if condition.comparisons:
        compared = tuple(column for column in judged if column[1].startswith("WER") and "own" not in column[0])
        parts.append(_comparison_table(condition.comparisons, (*compared, *quality)))
    if likeness:
        parts += [LIKENESS_NOTE, _systems_table(rows, likeness)]
    return "\n\n".join(parts)


def phones_section(readers: Mapping[str, Sequence[PhoneErrors]], seed: int) -> str:
    """The table of phones that were read off without voice and judge."""
    lines = [
        [name, str(sum(each.phones for each in errors)), cell(phone_error_percent(errors, seed), 1, True)]
        for name, errors in readers.items()
    ]
    return "## Phones\n\n" + markdown_table(["read from", "phones", "phone error rate % [95 % CI]"], lines)


def health_section(name: str, health: CodeHealth) -> str:
    """How often each level of the code was sent."""
    dead = ", ".join(f"{dimension}:{level}" for dimension, level in health.dead) or "none"
    joint = f"{health.joint_bits:.1f}" if math.isfinite(health.joint_bits) else "unknown"
    head = ["dimension", *(f"level {level} %" for level in range(len(health.use[0]))), "entropy bits"]
    lines = [
        [str(dimension), *(f"{100 * share:.1f}" for share in use), f"{entropy:.2f}"]
        for dimension, (use, entropy) in enumerate(zip(health.use, health.entropy_bits, strict=True))
    ]
    return (
        f"## Codes of {name}\n\nOver {health.frames} frames: marginal entropy {health.marginal_bits:.2f} of 16 bits; joint "
        f"entropy {joint} (Chao-Shen estimate, too low while its coverage, {health.coverage:.2f}, is below a half); "
        f"levels sent in less than {100 * DEAD_SHARE:g} % of the frames (dimension:level): {dead}.\n\n"
        + markdown_table(head, lines)
    )
