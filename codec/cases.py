"""Which utterances and speakers a model gets right and wrong, in words to read: what a model card's failures come from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from codec.scores import Score

SHOWN = 5  # utterances and speakers at each end


def _rate(scores: Sequence[Score]) -> float:
    return sum(score.errors for score in scores) / max(sum(score.words for score in scores), 1)


def _listed(title: str, scores: Sequence[Score]) -> list[str]:
    lines = [f"{title}:", ""]
    for score in scores:
        lines.append(f"* {score.errors} errors in {score.words} words, {score.speaker}, `{score.path.rsplit('/', 1)[-1]}`")
        lines.append(f"  * said: {score.transcript}")
        lines.append(f"  * heard: {score.hypothesis or '(nothing)'}")
    return [*lines, ""]


def describe_cases(system: str, scores: Sequence[Score]) -> str:
    """Markdown: utterances and speakers of one system with the most and the fewest words wrong, by share of words."""
    ranked = sorted(scores, key=lambda score: (-_rate([score]), -score.errors, score.path))
    worst, best = ranked[:SHOWN], ranked[SHOWN:][-SHOWN:][::-1]
    lines = [f"## Utterances of {system}", "", *_listed("Most words wrong", worst)]
    if best:
        lines += _listed("Fewest words wrong", best)
    speakers: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        speakers[score.speaker].append(score)
    order = sorted(speakers, key=lambda speaker: (-_rate(speakers[speaker]), speaker))
    shown = order if len(order) <= 2 * SHOWN else [*order[:SHOWN], *order[-SHOWN:]]
    lines.append(f"Word error rate by speaker ({len(shown)} of {len(order)}, worst first):")
    lines.append("")
    lines += [f"* {name}: {100 * _rate(speakers[name]):.1f} % in {len(speakers[name])} utterances" for name in shown]
    return "\n".join(lines) + "\n"
