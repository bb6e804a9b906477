"""`clari-sim`: speech through every link under every protection, in virtual time, as tables and pictures.

    clari-sim --manifest speech.tsv --corpus LibriSpeech --utterances 8 --report channel/RESULTS.md
    clari-sim --link-only --utterances 20 --stream-s 600 --preset hf-poor

The same command in the same folder goes on where it was interrupted: what is finished is never computed again.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from channel.campaign import ASSESSMENT, compute, compute_codes, program_digest
from channel.differences import differences_of
from channel.engines import ENGINES, Engine
from channel.job import Cell, Coder, EncodeJob, Job, Judged, Spent, Utterance
from channel.ledger import Ledger
from channel.passage import KEY
from channel.plan import jobs_of, links_of, parse_protection, ways_of
from channel.plots import draw_delay, draw_loss, draw_speech
from channel.recorded import frames_needed
from channel.report import Setting, Speed, report
from channel.results import flat_row, parquet_is_missing, rows_of, write_csv, write_parquet
from channel.sim_options import NAME, SHORTEST_S, build_parser
from stream.audio import read_file
from stream.errors import ClariError, FileError, UsageError, run_command
from stream.frame import CODE_DIMENSIONS, CODE_LEVELS, SAMPLE_RATE_HZ, Codes
from stream.options import check_writable
from stream.profile import find_profile
from stream.seal import Opener


def _say(text: str) -> None:
    print(f"{NAME}: {text}", file=sys.stderr, flush=True)


def utterances_of(args: argparse.Namespace) -> list[Utterance]:
    """What is said.

    Raises:
        FileError: a file cannot be used.
        UsageError: too short, or two of one name.
    """
    if args.link_only:
        nothing = np.zeros(0, np.float32)
        return [Utterance(f"stream-{number}", "-", "", args.stream_s, nothing) for number in range(args.utterances)]
    if args.files:
        pcm = [(Path(name).stem, "-", "", np.concatenate(list(read_file(name)))) for name in args.files]
    else:
        choose = importlib.import_module(ASSESSMENT).utterances
        pcm = choose(args.manifest, args.corpus, args.utterances, args.seed, args.longest_s)
    found = [
        Utterance(name, speaker, words, len(samples) / SAMPLE_RATE_HZ, np.asarray(samples, np.float32))
        for name, speaker, words, samples in pcm
    ]
    for each in found:
        if not SHORTEST_S <= each.seconds <= 1e5:
            raise UsageError(f"{each.name} has {each.seconds:.2f} s; give at least {SHORTEST_S:g} s of speech")
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise UsageError(f"two recordings are named {next(name for name in names if names.count(name) > 1)}; rename one")
    return found


def coders_of(models: Sequence[str]) -> list[Coder]:
    """The encoders, named by the last part of their paths.

    Raises:
        ModelError: one cannot be used.
        UsageError: two have one name.
    """
    coders = [Coder.load(Path(model).resolve().name, model) for model in models]
    if len({each.name for each in coders}) < len(coders):
        raise UsageError("two of --model have the same last part; rename one of the folders")
    return coders


def _random_codes(utterance: Utterance, number: int, coder: Coder) -> Codes:
    frames = frames_needed(round(utterance.seconds * SAMPLE_RATE_HZ), coder.meta.shift_samples)
    return np.random.default_rng(number).integers(0, CODE_LEVELS, (frames, CODE_DIMENSIONS)).astype(np.uint8)


def all_codes(
    utterances: Sequence[Utterance], coders: Sequence[Coder], sizes: Sequence[int], engine: Engine, ledger: Ledger
) -> tuple[dict[tuple[str, str, int], Codes], float]:
    """Codes of every utterance by every encoder in packets of each size, and the processor time they took.

    What the ledger holds is taken from it.
    """
    found: dict[tuple[str, str, int], Codes] = {}
    spent_s, missing = 0.0, []
    for job in (EncodeJob(*each) for each in itertools.product(utterances, coders, sizes)):
        known = ledger.find(job.key)
        if known is None:
            missing.append(job)
            continue
        codes = np.frombuffer(bytes.fromhex(known["codes"]), np.uint8).reshape(-1, CODE_DIMENSIONS)
        found[job.utterance.name, job.coder.name, job.packet_frames] = codes
        spent_s += known["encode_s"]
    for job, (codes, encode_s) in engine.run(compute_codes, missing):
        ledger.add(job.key, {"codes": codes.tobytes().hex(), "encode_s": encode_s})
        found[job.utterance.name, job.coder.name, job.packet_frames] = codes
        spent_s += encode_s
    return found, spent_s


def all_cells(jobs: Sequence[Job], engine: Engine, ledger: Ledger, speed: Speed) -> list[Cell]:
    """The results in the order of the jobs, whoever computed them and when."""
    cells: dict[str, Cell] = {}
    missing = []
    for job in jobs:
        known = ledger.find(job.key)
        if known is None:
            missing.append(job)
            continue
        cells[job.key] = Cell.from_flat(known["cell"])
        _count(speed, cells[job.key], Spent(**known["spent"]))
    with tqdm(total=len(jobs), initial=len(cells), unit="cell", disable=None, file=sys.stderr, smoothing=0.05) as bar:
        for job, (cell, spent) in engine.run(compute, missing):
            ledger.add(job.key, {"cell": cell.flat(), "spent": vars(spent)})
            cells[job.key] = cell
            _count(speed, cell, spent)
            bar.update()
    return [cells[job.key] for job in jobs]


def _count(speed: Speed, cell: Cell, spent: Spent) -> None:
    if cell.figures:
        speed.add(cell.protection, cell.figures.speech_s, spent, cell.decoded)


def _machine() -> str:
    """The processor, as its maker calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _write(args: argparse.Namespace, cells: Sequence[Cell], text: str) -> None:
    rows = rows_of(cells)
    tables: dict[str, list[dict[str, Any]]] = {"cells": [cell.flat() for cell in cells], "table": [flat_row(row) for row in rows]}
    if differences := differences_of(cells):
        tables["differences"] = [each.flat() for each in differences]
    for name, lines in tables.items():
        write_csv(args.out / f"{name}.csv", lines)
        if not parquet_is_missing():
            write_parquet(args.out / f"{name}.parquet", lines)
    passed = [row for row in rows if row.utterances and row.profile != "-"]
    draw_loss(args.out / "loss.png", passed)
    draw_delay(args.out / "delay.png", passed)
    if not args.link_only:
        draw_speech(args.out / "speech.png", passed)
    if args.report:
        try:
            Path(args.report).write_text(text, encoding="utf-8")
        except OSError as error:
            raise FileError(f"cannot write {args.report}: {(error.strerror or 'error').lower()}; choose another file") from None


def run_campaign(args: argparse.Namespace, command: str) -> int:
    """Compute what is missing, then write everything.

    Raises:
        ClariError: something cannot be used; the message names the cure.
    """
    began_s = time.monotonic()
    check_writable(args.report)
    protections = [parse_protection(text) for text in dict.fromkeys(args.protection)]
    profiles = [find_profile(name) for name in dict.fromkeys(args.profile)]
    links = links_of(args.preset, args.loss, args.burst_s)
    delays_s = args.delay_ms / 1000, args.max_delay_ms / 1000
    ways, left_out = ways_of(links, args.preset, protections, profiles, args.tag_bytes, delays_s)
    if args.tag_bytes:
        Opener(KEY, args.tag_bytes)  # the library is missed here, in one line, and not in every process
    coders = coders_of(args.model or ["base"])
    judged = Judged(decode=False)
    judge = None
    if not args.link_only:
        asked = None if args.no_wer or args.files else args.judge
        judge = _judge_name(asked, args.cache)
        judged = Judged(True, asked, args.cache, judge)
    utterances = utterances_of(args)
    for each in left_out:
        _say(f"left out: {each}")
    if parquet_is_missing():
        _say("no Parquet is written: package pyarrow not found; install: pip install 'clari[sim]'")
    speed = Speed()
    sizes = list(dict.fromkeys(way.terms.profile.frames for way in ways))
    with Ledger(args.out / "cells.jsonl") as ledger, ENGINES[args.engine](args.workers) as engine:
        if args.link_only:
            codes = {
                (each.name, coder.name, frames): _random_codes(each, number, coder)
                for number, each in enumerate(utterances)
                for coder in coders
                for frames in sizes
            }
        else:
            codes, speed.codec_cpu_s = all_codes(utterances, coders, sizes, engine, ledger)
        jobs = list(jobs_of(utterances, coders, codes, ways, args.seeds, args.link_seeds, judged, program_digest()))
        cells = all_cells(jobs, engine, ledger, speed)
    setting = Setting(
        command=command,
        utterances=utterances,
        coders=coders,
        seeds=args.seeds,
        link_seeds=args.link_seeds,
        judge=judge,
        link_only=args.link_only,
        left_out=left_out,
        machine=_machine(),
        wall_s=time.monotonic() - began_s,
        workers=args.workers,
    )
    text = report(setting, rows_of(cells), differences_of(cells), speed)
    _write(args, cells, text)
    print(text, end="")
    return 0


def _judge_name(judge: str | None, cache: Path | None) -> str | None:
    """What the recogniser calls itself; raises ClariError if it, or STOI, cannot be used."""
    try:
        importlib.import_module("pystoi")
        name: str | None = importlib.import_module(ASSESSMENT).Assessor(judge, cache).name
    except ModuleNotFoundError as error:
        raise ClariError(f"needs {error.name}; install: pip install 'clari[sim]'") from None
    return name


def _shown(argv: Sequence[str]) -> str:
    """The command as others can give it: files outside of the folder by their names alone."""
    return shlex.join([NAME, *(Path(each).name if Path(each).is_absolute() else each for each in argv)])


def main(argv: list[str] | None = None) -> int:
    said = sys.argv[1:] if argv is None else argv
    return run_command(NAME, lambda: run_campaign(build_parser().parse_args(said), _shown(said)))


if __name__ == "__main__":
    raise SystemExit(main())
