"""Hostile and mutated packets against everything that reads packets, for minutes.

Receivers of every profile and protection, open and sealed, live as long as the run, each beside a sender of its own.
What the sender builds is mutated, reordered, repeated, mixed with bytes from nowhere and with packets that are right to
the last check bit and mean nothing; then it goes to the receiver, to its playout, and as a file to the player of files.
Nothing may raise, no sample may be loud beyond the decoder's, and memory must not grow.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import time
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from stream.benches import hostile
from stream.content import Content, Control, Epoch, Repair, Voice
from stream.errors import ClariError, LinkError
from stream.frame import Pcm
from stream.options import number, write_json
from stream.packet import Framing
from stream.playback import play_packets
from stream.playout_clock import LONGEST_DELAY_S
from stream.process import resident_mb
from stream.profile import PROFILES, Profile
from stream.protection import Protection
from stream.receiver import Receiver
from stream.ruler import DECODER_ID, RulerDecoder
from stream.seal import Opener, Sealer
from stream.sinks import NullSink
from stream.trace import Trace

HELP = "hostile packets against parser, repair, seal, playout and receiver: nothing may raise or grow"
KEY = bytes(range(32))
BLOCKS = (Protection(4, 1), Protection(8, 2), Protection(4, 4), Protection(32, 4))
PROTECTIONS = (Protection(), *BLOCKS, Protection(repeat=1), Protection(repeat=16))
TAGS = (0, 4, 8)  # 0: an open link
FILE_EVERY = 25  # bursts
LONGEST_CODEWORD_BYTES = 255  # of Reed-Solomon over bytes; packets that grow by mutation become longer
LOUDEST = 1.5  # the ruler's samples are at most 0.75
MOST_WAITING = 100_000  # frames; a packet further ahead than 30 s is not kept beside others
MEASUREMENTS = 5
RESTARTS = 0.002  # of a receiver, per burst
GAPS = ((0.0, 0.2), (0.01, 0.2), (0.32, 0.3), (0.96, 0.24), (3.0, 0.05), (40.0, 0.01))  # seconds between packets, and how often
NEWEST_EPOCH = (1 << 64) - 1


@dataclass
class Pair:
    """A sender's framing and the receiver that hears it, with the packets of the last bursts to mutate."""

    sender: Framing
    receiver: Receiver
    now_s: float = 0.0
    sequence: int = 0
    recent: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Measurement:
    """Where the run stood."""

    seconds: float
    packets: int
    traced_mb: float  # by tracemalloc: what Python holds
    resident_mb: float


class Fuzzer:
    """The receivers, and the chance that decides what they get."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.counts: Counter[str] = Counter()
        self._bursts = 0
        self._decoder = RulerDecoder()
        self._pairs = [self._pair(self._sender(*each)) for each in itertools.product(PROTECTIONS, TAGS)]

    @property
    def receivers(self) -> int:
        """How many receivers live."""
        return len(self._pairs)

    def burst(self) -> None:
        """Some packets to one of the receivers, with time between them, and now and then as a file.

        Raises:
            ClariError: a sample that no decoder gives, or more frames waiting than any link can fill.
        """
        rng, place = self.rng, int(self.rng.integers(len(self._pairs)))
        if rng.random() < RESTARTS:
            self._pairs[place] = self._pair(self._pairs[place].sender)
            self.counts["restarts"] += 1
        pair = self._pairs[place]
        self._bursts += 1
        profile = list(PROFILES.values())[int(rng.integers(3))]
        packets = [self._packet(pair, profile) for _ in range(int(rng.integers(1, 30)))]
        for packet in packets:
            pair.now_s += float(rng.choice([gap_s for gap_s, _ in GAPS], p=[share for _, share in GAPS]))
            unsure = [int(place) for place in rng.integers(-3, 130, int(rng.integers(0, 8)))] if rng.random() < 0.2 else ()
            pair.receiver.arrive(pair.now_s, packet, unsure)
            self.counts["packets"] += 1
            if rng.random() < 0.7:
                for pcm in pair.receiver.play(pair.now_s):
                    self._check(pcm)
        if pair.receiver.playout.waiting > MOST_WAITING:
            raise ClariError(f"{pair.receiver.playout.waiting} frames wait to be heard")
        if self._bursts % FILE_EVERY == 0:
            self._file(pair, packets, profile)

    def _pair(self, sender: Framing) -> Pair:
        tag = sender.seal.tag_bytes if sender.seal else 0
        framing = Framing(DECODER_ID, sender.protection, Opener(KEY, tag) if tag else None)
        trace = Trace(os.devnull, framing.sequence_count)
        receiver = Receiver(self._decoder, 0.2, framing, ceiling_s=LONGEST_DELAY_S, trace=trace)
        receiver.keep_pauses = bool(tag)
        return Pair(sender, receiver)

    @staticmethod
    def _sender(protection: Protection, tag: int) -> Framing:
        epochs = itertools.count(2)
        return Framing(DECODER_ID, protection, Sealer(KEY, tag, lambda step: next(epochs)) if tag else None)

    def _packet(self, pair: Pair, profile: Profile) -> bytes:
        rng = self.rng
        make = (self._genuine, self._senseless, self._old, self._mutated, self._foreign)
        packet = make[int(rng.choice(len(make), p=[0.35, 0.2, 0.1, 0.25, 0.1]))](pair, profile)
        pair.recent = [*pair.recent, packet][-40:]
        return packet

    def _genuine(self, pair: Pair, profile: Profile) -> bytes:
        """A packet as a sender may build it, with numbers that mostly go on."""
        rng, protection = self.rng, pair.sender.protection
        pair.sequence += int(rng.choice([0, 1, 1, 1, 2, 700]))
        sequence, end, stream = pair.sequence % protection.sequence_count, bool(rng.random() < 0.1), int(rng.random() < 0.1)
        body = rng.bytes(pair.sender.body_bytes(profile))
        codes = rng.integers(0, 4, (2, profile.frames, 8)).astype(np.uint8)
        content: Content = Voice(stream, sequence, codes[0], end, codes[1] if protection.repeat and rng.random() < 0.8 else None)
        chance = rng.random()
        if protection.repairs and chance < 0.4:
            content = Repair(stream, sequence, int(rng.integers(protection.repairs)), end, body)
        elif chance < 0.5:
            content = Control(stream, bool(rng.random() < 0.8), body)
        elif pair.sender.seal and chance < 0.55:
            content = Epoch()
        return pair.sender.build(content, profile)

    def _senseless(self, pair: Pair, profile: Profile) -> bytes:
        """A packet with the right check and parity whose header and body say anything at all."""
        rng = self.rng
        header, body = int(rng.integers(1 << 16)), rng.bytes(pair.sender.body_bytes(profile))
        epoch = NEWEST_EPOCH if rng.random() < RESTARTS else int(rng.integers(70))
        return pair.sender.assemble(header, body, profile, epoch)

    def _old(self, pair: Pair, profile: Profile) -> bytes:
        return pair.recent[int(self.rng.integers(len(pair.recent)))] if pair.recent else b""

    def _mutated(self, pair: Pair, profile: Profile) -> bytes:
        rng, packet = self.rng, self._old(pair, profile) or self._genuine(pair, profile)
        if not packet:
            return packet
        kind = int(rng.integers(6))
        if kind == 0:
            return hostile.flipped_bits(rng, packet, profile) if 8 * len(packet) > hostile.MOST_FLIPS else packet[::-1]
        if kind == 1:
            return hostile.truncated(rng, packet, profile)
        if kind == 2:
            return packet + rng.bytes(int(rng.integers(1, 40)))
        if kind == 3:  # half of one packet, half of another
            return packet[: len(packet) // 2] + self._old(pair, profile)[len(packet) // 2 :]
        if kind == 4 and profile.parity_bytes < len(packet) <= LONGEST_CODEWORD_BYTES:
            return hostile.byte_with_parity(rng, packet, profile)
        place = int(rng.integers(len(packet)))
        return packet[:place] + rng.bytes(1) + packet[place + 1 :]

    def _foreign(self, pair: Pair, profile: Profile) -> bytes:
        """Bytes of any size, or a packet of another link."""
        rng = self.rng
        if rng.random() < 0.5:
            return rng.bytes(int(rng.choice([0, 1, 2, 15, 16, 17, 26, 32, 255, 256, 1024])))
        return self._genuine(self._pairs[int(rng.integers(len(self._pairs)))], profile)

    def _file(self, pair: Pair, packets: list[bytes], profile: Profile) -> None:
        """The packets back to back, as a file whose reader gets pieces of any size."""
        opener = Opener(KEY, pair.sender.seal.tag_bytes) if pair.sender.seal else None
        receiver = Receiver(self._decoder, 0.2, Framing(DECODER_ID, pair.sender.protection, opener))
        receiver.keep_pauses = True
        stream, size = io.BytesIO(b"".join(packets)), int(self.rng.integers(1, 200))
        self.counts["files"] += 1
        try:
            play_packets(receiver, lambda: stream.read(size), NullSink(), profile if self.rng.random() < 0.5 else None)
        except LinkError:
            self.counts["files without a packet"] += 1

    def _check(self, pcm: Pcm) -> None:
        self.counts["slots"] += 1
        if not np.isfinite(pcm).all() or np.abs(pcm).max(initial=0.0) > LOUDEST:
            raise ClariError("samples that no decoder gives were played")


def fuzz(seconds: float, seed: int) -> tuple[list[Measurement], Counter[str]]:
    """Fuzz for so long; memory at the beginning, once every cache is warm, and from then on evenly to the end.

    Raises:
        ClariError: something that must not happen did; the message names seed and burst.
    """
    tracemalloc.start()
    fuzzer, began_s, bursts = Fuzzer(seed), time.monotonic(), 0
    measurements: list[Measurement] = []
    try:
        while (passed_s := time.monotonic() - began_s) < seconds or len(measurements) < MEASUREMENTS:
            if passed_s >= seconds * (len(measurements) + 1) / (MEASUREMENTS + 1):
                traced_mb = tracemalloc.get_traced_memory()[0] / 2**20
                measurements.append(Measurement(passed_s, fuzzer.counts["packets"], traced_mb, resident_mb()))
            bursts += 1
            try:
                fuzzer.burst()
            except Exception as error:
                raise ClariError(f"burst {bursts} of seed {seed}: {type(error).__name__}: {error}") from error
        measurements.append(
            Measurement(passed_s, fuzzer.counts["packets"], tracemalloc.get_traced_memory()[0] / 2**20, resident_mb())
        )
    finally:
        tracemalloc.stop()
    return measurements, fuzzer.counts


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=number(0.01, 10_000), default=10.0, help="how long")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same packets")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON; - is stdout")


def run(args: argparse.Namespace) -> int:
    measurements, counts = fuzz(60 * args.minutes, args.seed)
    if args.json != "-":
        print(f"{'seconds':>8}{'packets':>10}{'Python MB':>11}{'resident MB':>13}")
        for each in measurements:
            print(f"{each.seconds:>8.0f}{each.packets:>10}{each.traced_mb:>11.2f}{each.resident_mb:>13.1f}")
        print(", ".join(f"{count} {name}" for name, count in counts.items()) + "; nothing raised")
    write_json(args.json, {"schema_version": 1, "counts": counts, "measurements": [each.__dict__ for each in measurements]})
    return 0
