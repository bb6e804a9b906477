"""The options of `clari-sim`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from channel.engines import ENGINES
from stream.options import command_parser, number, whole
from stream.playout_clock import LONGEST_DELAY_S, SHORTEST_DELAY_S
from stream.profile import PROFILES
from stream.seal import TAG_BYTES

NAME = "clari-sim"
DESCRIPTION = """Send speech through simulated links with the real sender and receiver, in virtual time: tables and pictures.

examples:
  clari-sim --manifest speech.tsv --corpus LibriSpeech --utterances 8 --report RESULTS.md
  clari-sim --in speech.wav --preset hf-poor --protection none 4+1 --no-wer
  clari-sim --link-only --loss 0 0.05 0.1 0.2 --burst-s 0.5
an interrupted campaign goes on when the same command is given again"""
DEFAULT_PROTECTIONS = ("none", "4+1", "8+2", "repeat-1")
SHORTEST_S = 1.0  # less speech is no utterance, and STOI is not defined for it


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser(NAME, DESCRIPTION)
    what = parser.add_argument_group("what is said")
    source = what.add_mutually_exclusive_group(required=True)
    source.add_argument("--manifest", type=Path, metavar="FILE", help="tab separated list of recordings; held-out ones are taken")
    source.add_argument("--in", dest="files", nargs="+", metavar="FILE", help="recordings, without words to compare with")
    source.add_argument("--link-only", action="store_true", help="random codes and no codec: packets are counted, nobody listens")
    what.add_argument("--corpus", default="", metavar="SUBSTRING", help="of the manifest: only corpora whose name contains this")
    what.add_argument("--utterances", type=whole(1, 100_000), default=8, metavar="N", help="of the manifest, or streams of codes")
    what.add_argument("--longest-s", type=number(SHORTEST_S, 1e5), default=30.0, metavar="S", help="of an utterance")
    what.add_argument("--stream-s", type=number(SHORTEST_S, 1e6), default=600.0, metavar="S", help="with --link-only: of a stream")
    what.add_argument("--seed", type=whole(0, 2**32), default=1, help="of the choice of utterances")
    how = parser.add_argument_group("how it is sent")
    how.add_argument("--preset", nargs="+", default=[], metavar="NAME", help="links; all unless --loss is given")
    how.add_argument("--loss", nargs="+", type=number(0, 1), default=[], metavar="SHARE", help="links that lose so many packets")
    how.add_argument("--burst-s", type=number(0, 1e4), default=0.0, metavar="S", help="with --loss: mean duration of a loss")
    how.add_argument(
        "--protection", nargs="+", default=DEFAULT_PROTECTIONS, metavar="P", help="none, K+R (repair packets) or repeat-D"
    )
    names = ", ".join(PROFILES)
    how.add_argument(
        "--profile", nargs="+", default=("standard", "narrow"), metavar="P", help=f"of {names}: the first that fits the link"
    )
    how.add_argument("--tag-bytes", type=int, choices=TAG_BYTES, default=0, help="sealed packets, with a tag of that size")
    how.add_argument("--model", action="append", metavar="NAME", help="name or folder of graphs; several times compares")
    how.add_argument("--delay-ms", type=number(0, 10_000), default=SHORTEST_DELAY_S * 1000, help="playout delay, as of clari-rx")
    how.add_argument("--max-delay-ms", type=number(0, 10_000), default=LONGEST_DELAY_S * 1000, help="as of clari-rx")
    how.add_argument("--seeds", type=whole(1, 10_000), default=1, metavar="N", help="passages of every utterance, judged")
    how.add_argument("--link-seeds", type=whole(0, 100_000), default=0, metavar="N", help="further ones whose packets are counted")
    judge = parser.add_argument_group("who listens")
    judge.add_argument("--no-wer", action="store_true", help="nobody writes down what was said: STOI only, much faster")
    judge.add_argument("--judge", default="pocketsphinx", help="or whisper, whisper:FOLDER")
    judge.add_argument("--cache", type=Path, metavar="DIR", help="hypotheses; the user's cache folder if not given")
    work = parser.add_argument_group("who computes, and what is written")
    work.add_argument("--engine", choices=tuple(ENGINES), default="local", help="ray: a cluster, see RAY_ADDRESS")
    work.add_argument("--workers", type=whole(1, 4096), default=os.cpu_count() or 1, help="cells at a time")
    work.add_argument("--out", type=Path, default=Path("clari-sim"), metavar="DIR", help="tables, pictures and what is finished")
    work.add_argument("--report", metavar="FILE", help="also write the report here; it goes to stdout in any case")
    return parser
