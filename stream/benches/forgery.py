"""How many hostile packets a receiver takes for genuine ones, against how many it should by the size of its check.

On an open link the CRC of 16 bits stands against damage: what passes Reed-Solomon passes it once in 65,536. On a sealed
link the tag of 4 or 8 bytes stands against everybody without the key, tried for nine key epochs at most.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import asdict, dataclass

import numpy as np

from stream.benches import hostile
from stream.content import Voice
from stream.errors import UsageError
from stream.options import write_json
from stream.packet import ForgedPacketError, Framing, PacketError, ReplayedPacketError
from stream.profile import CRC_BYTES, PROFILES, Profile, find_profile
from stream.seal import EPOCHS_AHEAD, STREAMS, TAG_BYTES, Opener, Sealer

HELP = "random, damaged, forged, replayed and cut packets: how many a receiver takes, and how many it should"
DECODER_ID = 7
GENUINE_EVERY = 100  # hostile packets
EPOCHS_TRIED = EPOCHS_AHEAD // STREAMS + 1
HEARD_TYPES = 1 / 2  # of four packet types an open link without protection knows voice and control


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packets", type=int, default=1_000_000, help="packets to try, evenly of every kind")
    parser.add_argument(
        "--tag-bytes", type=int, choices=(0, *TAG_BYTES), default=4, help="of a sealed link; 0: an open link with its CRC"
    )
    parser.add_argument("-p", "--profile", default="fast", help=f"packet size: {', '.join(PROFILES)}")
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same packets")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON; - is stdout")


@dataclass
class Figure:
    """What became of the hostile packets of one kind."""

    packets: int = 0
    rejected: int = 0  # no packet, or damaged beyond repair
    forged: int = 0  # by the tag
    replayed: int = 0
    repaired: int = 0  # taken, and what was sent is what was read
    wrong: int = 0  # taken, and nobody ever sent it
    expected_wrong: float = 0.0

    def as_dict(self) -> dict[str, float]:
        low, high = poisson_interval(self.wrong)
        return {**asdict(self), "wrong_low": low, "wrong_high": high}


def poisson_interval(count: int, level: float = 0.95) -> tuple[float, float]:
    """The mean counts that a count does not contradict (Garwood, Biometrika 28, 1936), both tails alike."""

    def at_most(number: int, mean: float) -> float:
        return sum(math.exp(each * math.log(mean) - mean - math.lgamma(each + 1)) for each in range(number + 1)) if mean else 1.0

    def solve(number: int, share: float) -> float:
        low, high = 0.0, count + 10 * math.sqrt(count + 1) + 10
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if at_most(number, middle) > share else (low, middle)
        return low

    tail = (1 - level) / 2
    return (solve(count - 1, 1 - tail) if count else 0.0), solve(count, tail)


def open_figures(packets: int, profile: Profile, seed: int = 0) -> dict[str, Figure]:
    """Try hostile packets, evenly of every kind, on the receiver of a link with a CRC."""
    rng, framing = np.random.default_rng(seed), Framing(DECODER_ID)
    size, crc = framing.packet_bytes(profile), 256.0**-CRC_BYTES
    near = hostile.decodable_share(size, profile.parity_bytes)
    makers = {
        "random bytes": (hostile.random_bytes, near * crc * HEARD_TYPES),
        "random with parity": (hostile.random_with_parity, crc * HEARD_TYPES),
        "body with parity": (hostile.body_with_parity, crc),
        "byte with parity": (hostile.byte_with_parity, 0.0),  # a CRC finds every burst that is not longer than itself
        "1 to 40 bits flipped": (hostile.flipped_bits, near * crc),
        "truncated": (hostile.truncated, 0.0),
    }
    figures = {kind: Figure() for kind in makers}
    genuine = [framing.build(_voice(rng, number, profile), profile) for number in range(100)]
    for number, (kind, (make, chance)) in zip(range(packets), itertools.cycle(makers.items())):
        figure, sent = figures[kind], genuine[number // len(makers) % len(genuine)]
        packet = make(rng, sent, profile)
        figure.packets += 1
        errors = sum(a != b for a, b in zip(packet, sent, strict=False))
        if kind != "1 to 40 bits flipped" or errors > profile.parity_bytes // 2:
            figure.expected_wrong += chance
        try:
            content = framing.parse(packet).content
        except PacketError:
            figure.rejected += 1
            continue
        right = packet[:2] == sent[:2] or errors <= profile.parity_bytes // 2
        right &= isinstance(content, Voice) and framing.build(content, profile) == sent
        figure.repaired += right
        figure.wrong += not right
    return figures


def sealed_figures(packets: int, tag_bytes: int, profile: Profile, seed: int = 0) -> dict[str, Figure]:
    """Try hostile packets, evenly of every kind, on the receiver of a sealed link that hears a genuine sender meanwhile."""
    rng, key = np.random.default_rng(seed), bytes(range(32))
    epochs = itertools.count(2)
    sender = Framing(DECODER_ID, seal=Sealer(key, tag_bytes, lambda step: next(epochs)))
    stranger = Framing(DECODER_ID, seal=Sealer(bytes(32), tag_bytes, lambda step: 2))
    receiver = Framing(DECODER_ID, seal=Opener(key, tag_bytes))
    tag = EPOCHS_TRIED * 256.0**-tag_bytes
    near = hostile.decodable_share(sender.packet_bytes(profile), profile.parity_bytes)
    makers = {
        "random bytes": (hostile.random_bytes, near * tag),
        "random with parity": (hostile.random_with_parity, tag),
        "body with parity": (hostile.body_with_parity, tag),
        "byte with parity": (hostile.byte_with_parity, tag),
        "1 to 40 bits flipped": (hostile.flipped_bits, near * tag),
        "another key": (lambda rng, sent, profile: stranger.build(_voice(rng, int(rng.integers(1024)), profile), profile), tag),
        "replayed": (lambda rng, sent, profile: sent, 0.0),
        "truncated": (hostile.truncated, 0.0),
    }
    figures = {kind: Figure() for kind in makers}
    heard: list[bytes] = []
    for number, (kind, (make, chance)) in zip(range(packets), itertools.cycle(makers.items())):
        if number % GENUINE_EVERY == 0:  # so that there is something to replay, and to change
            heard.append(sender.build(_voice(rng, number // GENUINE_EVERY % 1024, profile), profile))
            receiver.parse(heard[-1])
        packet = make(rng, heard[int(rng.integers(len(heard)))], profile)
        figure = figures[kind]
        figure.packets += 1
        figure.expected_wrong += chance
        try:
            receiver.parse(packet)
            figure.wrong += 1
        except ForgedPacketError:
            figure.forged += 1
        except ReplayedPacketError:
            figure.replayed += 1
        except PacketError:
            figure.rejected += 1
    return figures


def table(figures: dict[str, Figure]) -> str:
    """A line per kind, and one for all of them."""
    total = Figure(*(sum(column) for column in zip(*(asdict(each).values() for each in figures.values()), strict=True)))
    columns = "".join(f"{name:>9}" for name in ("packets", "rejected", "forged", "replayed", "repaired"))
    lines = [f"{'':<22}{columns}{'wrong':>7}{'expected':>10}  95 % interval"]
    for kind, each in (*figures.items(), ("all", total)):
        low, high = poisson_interval(each.wrong)
        lines.append(
            f"{kind:<22}{each.packets:>9}{each.rejected:>9}{each.forged:>9}{each.replayed:>9}{each.repaired:>9}{each.wrong:>7}"
            f"{each.expected_wrong:>10.2g}  {low:.1f} to {high:.1f}"
        )
    return "\n".join(lines)


def _voice(rng: np.random.Generator, number: int, profile: Profile) -> Voice:
    return Voice(0, number, rng.integers(0, 4, (profile.frames, 8)).astype(np.uint8))


def run(args: argparse.Namespace) -> int:
    if args.packets < 100:
        raise UsageError(f"--packets {args.packets} is too few to say anything; give at least 100")
    profile, tag = find_profile(args.profile), args.tag_bytes
    figures = sealed_figures(args.packets, tag, profile, args.seed) if tag else open_figures(args.packets, profile, args.seed)
    if args.json != "-":
        print(table(figures))
    kinds = {kind: figure.as_dict() for kind, figure in figures.items()}
    write_json(args.json, {"schema_version": 2, "tag_bytes": tag, "profile": profile.name, "kinds": kinds})
    return 0
