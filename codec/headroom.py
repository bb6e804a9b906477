"""How much better the same decoder could be understood if the encoder knew better, heard by a recogniser without a part in it.

    python -m codec.headroom --config codec/configs/rl-search.toml --batches 8 --judge moonshine
    python -m codec.headroom --config codec/configs/rl-search.toml --judge moonshine 'rl.reference="heard"'

Searches codes for utterances of the speakers set aside, from what the encoder sends, by the reward (`codec/search.py`); then
rounded and found codes are spoken and judged. If the judge understands no more, the reward is deceived; if it does, there
is something to learn. With `rl.reference = "heard"` the search knows no transcript, only what the reward's recogniser makes
of the clean original.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from codec.config import Config, ConfigError, load_config
from codec.evaluate.judge import Cache, CachedJudge, default_cache, open_judge, to_int16
from codec.evaluate.words import text_errors
from codec.heard import Decoded, Reference
from codec.rewards import REWARDS
from codec.rl import PolicyTask
from codec.teacher import speak
from codec.text import letters_to_text
from codec.train import build_parser
from codec.weights import SHIPPED, load_vocoder
from stream.bootstrap import paired_difference, ratio_interval
from stream.errors import run_command
from stream.options import whole
from stream.tables import markdown_table

SYSTEMS = ("original", "rounded", "found")
SEED = 1


class Headroom:
    """Audio and rewards of rounded and found codes."""

    def __init__(self, config: Config, vocoder: Path):
        self.task = PolicyTask(config, torch.device("cpu"))
        if self.task.validation is None:
            raise ConfigError("no speakers are set aside, so there is nobody to listen to; see data.validation_speakers")
        self.vocoder = load_vocoder(vocoder, config.model)
        self.names = sorted(config.reward)
        self.rewards: dict[str, list[np.ndarray]] = {name: [] for name in self.names}  # [utterances, found, rounded and original]
        self.changed: list[float] = []
        self.transcripts: list[str] = []
        self.audio: dict[str, list[np.ndarray]] = {system: [] for system in SYSTEMS}

    @torch.no_grad()
    def add(self, step: int) -> None:
        """Search one batch."""
        torch.manual_seed(step)
        task = self.task
        assert task.validation is not None
        batch = task.validation.draw(step, 0.0)
        heard, clean = task.listener.mels(batch)
        codes = task.search(batch, task.model.encoder.listen(heard)[0], clean)
        decoded, reference = task.listener.listen(task.model.decoder, codes, batch, clean)
        heard_originals = as_decoded(reference)
        for name in self.names:
            both = [REWARDS[name].whole(each, reference).numpy() for each in (decoded, heard_originals)]
            self.rewards[name].append(np.concatenate(both, axis=1))
        self.changed.append(float((codes[:, 0] != codes[:, 1]).float().mean()))
        for row, samples in enumerate(batch.samples):
            self.transcripts.append(letters_to_text(batch.letters[row]))
            self.audio["original"].append(to_int16(batch.clean[row, :samples]))
            for version, system in enumerate(("found", "rounded")):
                self.audio[system].append(to_int16(speak(self.vocoder, decoded.mel[row, version, None])[0].numpy()[:samples]))


def as_decoded(reference: Reference) -> Decoded:
    """The original as if it had been decoded, one version of each utterance."""
    samples, taught = (None if each is None else each[:, None] for each in (reference.samples, reference.taught))
    scores = (reference.phone_scores[:, None], reference.letter_scores[:, None])
    written = reference.written.scores[:, None] if reference.written is not None else None
    return Decoded(reference.mel[:, None], *scores, reference.frames, samples, taught, written)


def report(headroom: Headroom, judge: CachedJudge) -> str:
    """Two tables: rewards, and what the judge understood."""
    rows = []
    for name, parts in headroom.rewards.items():
        found, rounded, original = np.concatenate(parts).mean(0) + 0.0  # no minus before a zero
        rows.append((name, f"{original:.3f}", f"{rounded:.3f}", f"{found:.3f}"))
    counts = {
        system: [text_errors(text, said) for text, said in zip(headroom.transcripts, judge.transcribe(audio), strict=True)]
        for system, audio in headroom.audio.items()
    }
    words, letters = ([getattr(each, kind) for each in counts["rounded"]] for kind in ("words", "letters"))
    errors = {system: ([each.errors for each in found], [each.letter_errors for each in found]) for system, found in counts.items()}

    def percent(parts: list[int], wholes: list[int]) -> str:
        interval = ratio_interval(parts, wholes, SEED)
        return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"

    judged = [(system, percent(errors[system][0], words), percent(errors[system][1], letters)) for system in SYSTEMS]
    difference, p = paired_difference(errors["found"][0], errors["rounded"][0], words, SEED)
    changed = f"{np.mean(headroom.changed):.1%} of the codes changed"
    gain = f"{100 * difference.value:.1f} [{100 * difference.low:.1f}, {100 * difference.high:.1f}] points"
    return (
        f"{len(headroom.transcripts)} utterances of the speakers set aside, {changed}\n\n"
        f"{markdown_table(('reward', 'original', 'rounded', 'found'), rows)}\n\n"
        f"{markdown_table((judge.name, 'WER % [95 % CI]', 'CER % [95 % CI]'), judged)}\n\n"
        f"WER of found minus rounded: {gain}, p = {p:.4f} (paired bootstrap)"
    )


def main(argv: list[str] | None = None) -> int:
    parser = build_parser("codec.headroom", "Measure what a better encoder could gain.")
    parser.add_argument(
        "--vocoder", type=Path, default=SHIPPED / "base.safetensors", help="weights that speak (default: the shipped ones)"
    )
    parser.add_argument("--batches", type=whole(1, 10_000), default=8, help="batches to search (default: %(default)s)")
    parser.add_argument("--judge", default="pocketsphinx", help="who listens, as of clari-eval (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=default_cache(), metavar="DIR", help="hypotheses")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)

    def command() -> int:
        config = load_config(args.config, args.overrides)
        if not config.rl.rounds:
            raise ConfigError("rl.rounds is 0, so nothing is searched; use codec/configs/rl-search.toml")
        judge = CachedJudge(open_judge(args.judge, workers=1), Cache(args.cache))
        headroom = Headroom(config, args.vocoder)
        for step in range(args.batches):
            headroom.add(step)
            print(f"codec.headroom: {step + 1} of {args.batches} batches searched", file=sys.stderr, flush=True)
        print(report(headroom, judge))
        return 0

    return run_command("codec.headroom", command)


if __name__ == "__main__":
    sys.exit(main())
