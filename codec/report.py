"""The tables of an evaluation in Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from codec.health import DEAD_SHARE, CodeHealth
from codec.summary import Comparison, Row
from stream.tables import cell, markdown_table

# Title of the column, name of the measure, digits, whether the interval is shown.
Columns = tuple[tuple[str, str, int, bool], ...]
INTELLIGIBILITY: Columns = (
    ("WER % [95 % CI]", "wer_percent", 1, True),
    ("CER % [95 % CI]", "cer_percent", 1, True),
    ("WER % vs own", "own_wer_percent", 1, False),
    ("CER % vs own", "own_cer_percent", 1, False),
    ("STOI", "stoi", 3, True),
    ("ESTOI", "estoi", 3, True),
)
QUALITY: Columns = (
    ("PESQ wb", "pesq", 2, True),
    ("mel distance", "mel_distance", 3, False),
    ("LSD dB", "spectral_distance_db", 2, False),
    ("F0 correlation", "pitch_correlation", 3, True),
    ("voicing error %", "voicing_error_percent", 1, False),
    ("speaker similarity", "speaker_similarity", 3, True),
)
COMPARED: tuple[Columns, ...] = (
    (("WER", "wer_percent", 1, True), ("CER", "cer_percent", 1, True), ("STOI", "stoi", 3, True)),
    (("ESTOI", "estoi", 3, True), ("PESQ wb", "pesq", 2, True), ("mel distance", "mel_distance", 3, True)),
)


@dataclass(frozen=True)
class Setting:
    """What was judged: heads the tables."""

    manifest: Path
    utterances: int
    speakers: int
    seconds: float
    judge: str
    seed: int
    noise: Path | None
    snr_db: float
    similarity_floor: float
    similarity_ceiling: float


def _heading(setting: Setting) -> str:
    minutes = setting.seconds / 60
    heading = (
        f"Held-out speech of {setting.manifest}: {setting.utterances} utterances, {setting.speakers} speakers, "
        f"{minutes:.1f} minutes; judge {setting.judge}; seed {setting.seed}; 95 % bootstrap intervals over utterances."
    )
    if setting.noise is not None:
        heading += (
            f" Every system but `original` heard noise of {setting.noise} at {setting.snr_db:g} dB SNR, which row `noisy` "
            "is before any codec; all figures are against the clean original."
        )
    if setting.judge.startswith("moonshine"):
        heading += " Moonshine taught the shipped models (codec/teacher.py): of clari its figures are no evidence."
    return heading


def _systems_table(rows: Sequence[Row], columns: Columns) -> str:
    head = ["system", "bits sent", "bps", *(title for title, _, _, _ in columns)]
    lines = []
    for row in rows:
        sent = ["-", "-"] if row.bits is None else [str(row.bits), f"{row.bits_per_s:.0f}"]
        lines.append([row.system, *sent, *(cell(row.figures[name], digits, shown) for _, name, digits, shown in columns)])
    return markdown_table(head, lines)


def _similarity_note(setting: Setting) -> str:
    floor, ceiling = (
        f"{value:.3f}" if math.isfinite(value) else "unknown" for value in (setting.similarity_floor, setting.similarity_ceiling)
    )
    return (
        "Speaker similarity is the cosine of long-term cepstra and pitch below 4 kHz, without a trained model: in this run "
        f"different speakers' originals have {floor} (floor), one speaker's other utterances {ceiling}."
    )


def _comparison_table(comparisons: Sequence[Comparison], columns: Columns) -> str:
    head = ["clari minus other", *(text for title, _, _, _ in columns for text in (f"{title} [95 % CI]", f"p {title}"))]
    lines = []
    for each in comparisons:
        cells = [f"{each.system} - {each.other}"]
        for _, name, digits, shown in columns:
            difference, p_value = each.differences[name]
            cells += [cell(difference, digits, shown), f"{p_value:.4f}" if math.isfinite(p_value) else "-"]
        lines.append(cells)
    return markdown_table(head, lines)


def _health(name: str, health: CodeHealth) -> str:
    dead = ", ".join(f"{dimension}:{level}" for dimension, level in health.dead) or "none"
    joint = f"{health.joint_bits:.1f}" if math.isfinite(health.joint_bits) else "unknown"
    head = ["dimension", *(f"level {level} %" for level in range(len(health.use[0]))), "entropy bits"]
    lines = [
        [str(dimension), *(f"{100 * share:.1f}" for share in use), f"{entropy:.2f}"]
        for dimension, (use, entropy) in enumerate(zip(health.use, health.entropy_bits, strict=True))
    ]
    return (
        f"Codes of {name} over {health.frames} frames: marginal entropy {health.marginal_bits:.2f} of 16 bits; joint "
        f"entropy {joint} (Chao-Shen estimate, too low while its coverage, {health.coverage:.2f}, is below a half); "
        f"levels sent in less than {100 * DEAD_SHARE:g} % of the frames (dimension:level): {dead}.\n\n"
        + markdown_table(head, lines)
    )


def report(setting: Setting, rows: Sequence[Row], comparisons: Sequence[Comparison], healths: Mapping[str, CodeHealth]) -> str:
    """Heading, two tables of the same systems, differences, use of the codes: what goes to stdout."""
    parts = [
        _heading(setting),
        "Intelligibility; `vs own`: against what the judge made of the original.",
        _systems_table(rows, INTELLIGIBILITY),
        "Quality, against the original.",
        _systems_table(rows, QUALITY),
        _similarity_note(setting),
    ]
    if comparisons:
        parts.append("Differences in points (WER, CER) and units; two-sided p-values of the paired bootstrap.")
        parts += [_comparison_table(comparisons, columns) for columns in COMPARED]
    parts += [_health(name, health) for name, health in healths.items()]
    return "\n\n".join(parts) + "\n"


def write_health(path: Path, healths: Mapping[str, CodeHealth]) -> None:
    """codes.json: the health of each model's codes; what is not known is null."""
    known = {
        name: {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(health).items()}
        for name, health in healths.items()
    }
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
