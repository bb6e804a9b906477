"""Forged, replayed and truncated packets against a sealed link: how many are heard."""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from stream.errors import UsageError
from stream.fec import parity
from stream.options import write_json
from stream.packet import PROFILES, ForgedPacketError, Framing, PacketError, ReplayedPacketError, Voice
from stream.seal import TAG_BYTES, Opener, Sealer

HELP = "forged, replayed and truncated packets against a sealed link: how many are heard"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packets", type=int, default=1_000_000, help="packets to try")
    parser.add_argument("--tag-bytes", type=int, choices=TAG_BYTES, default=4, help="size of the tag")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON; - is stdout")


def forgery_figures(packets: int, tag_bytes: int, seed: int = 0) -> dict[str, dict[str, int]]:
    """Try `packets` hostile packets, evenly of every kind, on the receiver of a sealed link that hears a sender.

    Returns:
        for every kind: packets, forged, replayed, rejected (no packet at all), heard.
    """
    rng, profile, key = np.random.default_rng(seed), PROFILES["fast"], bytes(range(32))
    epochs = itertools.count(2)
    sender = Framing(7, seal=Sealer(key, tag_bytes, lambda step: next(epochs)))
    stranger = Framing(7, seal=Sealer(bytes(32), tag_bytes, lambda step: 2))
    receiver = Framing(7, seal=Opener(key, tag_bytes))
    body_bytes = sender.packet_bytes(profile) - profile.parity_bytes
    heard: list[bytes] = []
    kinds = ("random bytes", "random with parity", "changed with parity", "another key", "replayed", "truncated")
    figures = {kind: dict.fromkeys(("packets", "forged", "replayed", "rejected", "heard"), 0) for kind in kinds}

    def with_parity(data: bytes) -> bytes:
        return data + parity(data, profile.parity_bytes)

    def hostile(kind: str) -> bytes:
        genuine = heard[int(rng.integers(len(heard)))]
        if kind == "random bytes":
            return rng.bytes(len(genuine))
        if kind == "random with parity":
            return with_parity(rng.bytes(body_bytes))
        if kind == "changed with parity":
            data = bytearray(genuine[:body_bytes])
            data[int(rng.integers(body_bytes))] ^= int(rng.integers(1, 256))
            return with_parity(bytes(data))
        if kind == "another key":
            return stranger.build(Voice(0, int(rng.integers(1024)), codes, False), profile)
        return genuine if kind == "replayed" else genuine[: int(rng.integers(len(genuine)))]

    for number in range(packets):
        codes = rng.integers(0, 4, (profile.frames, 8)).astype(np.uint8)
        if number % 100 == 0:  # a genuine packet now and then, so that there is something to replay
            heard.append(sender.build(Voice(0, number // 100 % 1024, codes, False), profile))
            receiver.parse(heard[-1])
        figure = figures[kind := kinds[number % len(kinds)]]
        figure["packets"] += 1
        try:
            receiver.parse(hostile(kind))
            figure["heard"] += 1
        except ForgedPacketError:
            figure["forged"] += 1
        except ReplayedPacketError:
            figure["replayed"] += 1
        except PacketError:
            figure["rejected"] += 1
    return figures


def run(args: argparse.Namespace) -> int:
    if args.packets < 100:
        raise UsageError(f"--packets {args.packets} is too few to say anything; give at least 100")
    figures = forgery_figures(args.packets, args.tag_bytes)
    if args.json != "-":
        columns = ("packets", "forged", "replayed", "rejected", "heard")
        print(f"{'':<22}" + "".join(f"{column:>10}" for column in columns))
        for kind, figure in figures.items():
            print(f"{kind:<22}" + "".join(f"{figure[column]:>10}" for column in columns))
    write_json(args.json, {"schema_version": 1, "tag_bytes": args.tag_bytes, "kinds": figures})
    return 0
