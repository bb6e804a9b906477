"""Transcripts for speech that has none: what Moonshine writes of it.

python -m codec.data.transcripts --corpus runs/corpus
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from codec.data.alignment import level_gain
from codec.data.corpus import PackedCorpus, write_index
from codec.pretrained.moonshine import Writer
from stream.errors import run_command

LONGEST_S = 30.0
FEWEST_LETTERS_PER_S, MOST_LETTERS_PER_S = 4.0, 30.0  # beyond these the writer runs in circles, or hears little


def fill(folder: Path) -> int:
    """Write the missing transcripts of a packed corpus into its index; returns how many."""
    corpus, writer, entries, filled = PackedCorpus(folder), Writer(), [], 0
    for entry in corpus.entries:
        seconds = entry.samples / 16_000
        if not entry.transcript and seconds < LONGEST_S:
            text = writer.write(corpus.audio(entry) * level_gain(entry)).replace("\t", " ")
            if FEWEST_LETTERS_PER_S < len(text) / seconds < MOST_LETTERS_PER_S:
                entry, filled = replace(entry, transcript=text), filled + 1
        entries.append(entry)
    write_index(folder, entries)
    return filled


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m codec.data.transcripts", description="Let Moonshine write what is said.")
    parser.add_argument("--corpus", type=Path, required=True, help="packed corpus; its index gains the transcripts")
    args = parser.parse_args(argv)

    def command() -> int:
        print(f"{fill(args.corpus)} transcripts written into {args.corpus}")
        return 0

    return run_command("codec.data.transcripts", command)


if __name__ == "__main__":
    sys.exit(main())
