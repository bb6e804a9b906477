"""What a campaign needs of this package: utterances to send, and how well they were understood. No torch.

`channel.campaign` knows this module by its name alone, for the channel may not know the codec.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codec.data.manifest import read_manifest
from codec.evaluate.distances import intelligibility
from codec.evaluate.judge import Cache, CachedJudge, default_cache, open_judge, to_int16
from codec.evaluate.trials import load_utterance, select_utterances
from codec.evaluate.words import normalize, text_errors

STOI_DIGITS = 9  # what is beyond depends on the order in which a machine adds


def utterances(manifest: Path, corpus: str, count: int, seed: int, longest_s: float) -> list[tuple[str, str, str, np.ndarray]]:
    """Held-out utterances of at most `longest_s` seconds: (name, speaker, transcript, samples [N] at 16 kHz) of each.

    Raises:
        FileError: the manifest or a recording cannot be used.
        UsageError: no utterance is left.
    """
    items = [item for item in read_manifest(manifest) if item.seconds <= longest_s]
    return [
        (item.path.name.removesuffix(item.path.suffix), item.speaker, normalize(item.transcript), load_utterance(item))
        for item in select_utterances(items, corpus, count, seed)
    ]


class Assessor:
    """Intelligibility by STOI, and words by a recogniser if it is given one; one per process."""

    def __init__(self, judge: str | None, cache: Path | None = None):
        """`judge` as `clari-eval --judge` knows it, None for none.

        Raises:
            ClariError: it is not installed.
            UsageError: there is no such judge.
        """
        # Campaigns have processes of their own: the recogniser listens in the one that asks.
        self._judge = None if judge is None else CachedJudge(open_judge(judge, workers=0), Cache(cache or default_cache()))
        self.name = None if self._judge is None else self._judge.name

    def stoi(self, original: np.ndarray, placed: np.ndarray) -> float:
        """STOI of samples [N] against the original [N]; 0 where nothing is heard, NaN where it is not defined."""
        return round(intelligibility(original, placed), STOI_DIGITS) if np.any(placed) else 0.0

    def words(self, transcript: str, heard: np.ndarray) -> tuple[int, int]:
        """Words wrong and words said, of samples [N]; raises FileError if the cache cannot be written."""
        if self._judge is None:
            return 0, 0
        (hypothesis,) = self._judge.transcribe([to_int16(heard)])
        found = text_errors(transcript, hypothesis)
        return found.errors, found.words
