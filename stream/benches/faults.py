"""What stalls, cuts, late starts, clocks that jump and processes that are held up cost in delay, before and after, in virtual time.

Packets, receiver and playout run as they are, with a stand-in for the codec that numbers frames: delays are those of the
frames that are heard, from mouth to ear, without what the codec and sound cards take.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from stream.content import Voice
from stream.frame import FRAME_S, SAMPLES_PER_FRAME
from stream.level import LevelMeter
from stream.options import number, write_json
from stream.packet import Framing
from stream.playout_clock import LONGEST_DELAY_S, SHORTEST_DELAY_S
from stream.profile import PROFILES, Profile, find_profile
from stream.protection import SEQUENCE_COUNT
from stream.receiver import Receiver
from stream.ruler import DECODER_ID, RulerDecoder, RulerEncoder, heard_frame
from stream.view import ReceiverView

HELP = "delay before and after stalls, cuts, late starts, clock jumps and suspended processes"

LINK_S = 0.3  # that every packet takes
AT_S, AFTER_S = 20.0, 60.0  # of speech before the fault, and after its end
SETTLED_S = 2.0  # after its end, for the figures of "2 s later"
TURN_S = 0.04
SENDER_QUEUE, SOCKET_QUEUE = 8, 24  # packets that wait for a receiver that was not there, and for one that does not read


@dataclass(frozen=True)
class Fault:
    """What happens to a link, and for how long; for clocks, by how much they jump."""

    kind: str  # late start, stall, cut, suspended, clock
    seconds: float

    @property
    def name(self) -> str:
        words = {
            "late start": "receiver starts {0:g} s after the sender",
            "stall": "link holds packets up for {0:g} s",
            "cut": "link loses packets for {0:g} s",
            "suspended": "receiver suspended for {0:g} s",
            "clock": "receiver's clock jumps by {1:+g} h",
        }
        return words[self.kind].format(self.seconds, self.seconds / 3600)

    @property
    def ends_s(self) -> float:
        return self.seconds if self.kind == "late start" else AT_S + (0.0 if self.kind == "clock" else self.seconds)


FAULTS = (
    *(Fault("late start", seconds) for seconds in (2.0, 5.0, 11.0, 60.0)),
    *(Fault("stall", seconds) for seconds in (0.7, 2.0, 5.0, 20.0, 75.0)),
    *(Fault("cut", seconds) for seconds in (2.0, 20.0, 75.0)),
    *(Fault("suspended", seconds) for seconds in (0.7, 2.0, 12.0, 60.0)),
    *(Fault("clock", seconds) for seconds in (3600.0, -3600.0)),
)


@dataclass(frozen=True)
class Outcome:
    """What one fault cost. Delays are from mouth to ear, of the frame heard last at that time."""

    fault: str
    before_s: float  # NaN where nothing was heard before
    after_s: float  # of the first frame heard after the fault
    settled_s: float  # SETTLED_S later
    shown_s: float  # what the receiver itself says then, and the link's own
    live_s: float  # from the end of the fault until playout is within one packet of live, and stays so
    skipped_frames: int
    concealed_frames: int


def arrivals(fault: Fault, profile: Profile, count: int) -> list[tuple[float, int]]:
    """When the receiver gets which packet, in order."""
    begins_s, held = (0.0 if fault.kind == "late start" else AT_S), fault.kind != "cut"
    came: list[tuple[float, int]] = []
    waiting: list[int] = []
    for k in range(count):
        arrival_s = (k + 1) * profile.packet_s + LINK_S
        if fault.kind == "clock" or not begins_s <= arrival_s < fault.ends_s:
            came.append((arrival_s, k))
        elif held:
            waiting.append(k)
    kept = waiting[-(SENDER_QUEUE if fault.kind == "late start" else SOCKET_QUEUE) :]
    return sorted([*came, *((fault.ends_s, k) for k in kept)])


def outcome(fault: Fault, profile: Profile, delay_s: float, ceiling_s: float) -> Outcome:
    """Let it happen."""
    framing, encoder = Framing(DECODER_ID), RulerEncoder().stream()
    none = np.zeros(profile.frames * SAMPLES_PER_FRAME, np.float32)
    until_s = fault.ends_s + AFTER_S
    waiting = arrivals(fault, profile, int(until_s / profile.packet_s))
    codes = [encoder.encode(none) for _ in range(int(until_s / profile.packet_s))]
    receiver = Receiver(RulerDecoder(), delay_s, framing, ceiling_s=ceiling_s)
    view = ReceiverView(receiver, LevelMeter(), "ruler", 0.0)
    heard: list[tuple[float, float]] = []
    shown_s = math.nan
    for turn in range(int(until_s / TURN_S)):
        now_s = turn * TURN_S
        if fault.kind in ("late start", "suspended") and (AT_S if fault.kind == "suspended" else 0.0) <= now_s < fault.ends_s:
            continue
        told_s = 10_000.0 + now_s + (fault.seconds if fault.kind == "clock" and now_s >= AT_S else 0.0)
        while waiting and waiting[0][0] <= now_s:
            k = waiting.pop(0)[1]
            receiver.arrive(told_s, framing.build(Voice(3, k % SEQUENCE_COUNT, codes[k]), profile))
        for pcm in receiver.play(told_s):
            frame = heard_frame(pcm)
            if frame is not None:
                heard.append((now_s, now_s - frame * FRAME_S))
        if math.isnan(shown_s) and now_s >= fault.ends_s + SETTLED_S:
            shown_s = view.look(0.0, now_s, False).delay_s + LINK_S
    return summary(fault, profile, heard, shown_s, receiver)


def summary(fault: Fault, profile: Profile, heard: Sequence[tuple[float, float]], shown_s: float, receiver: Receiver) -> Outcome:
    """Figures of what was heard: times and delays of frames, in order."""
    before = [delay_s for time_s, delay_s in heard if time_s < AT_S and fault.kind != "late start"]
    after = [(time_s, delay_s) for time_s, delay_s in heard if time_s >= fault.ends_s]
    settled = [delay_s for time_s, delay_s in after if time_s <= fault.ends_s + SETTLED_S]
    live_s = profile.packet_s * 2 + LINK_S + receiver.playout.delay_s  # a packet, what playout adds, and one packet of grace
    behind = [time_s for time_s, delay_s in after if delay_s > live_s + FRAME_S]
    return Outcome(
        fault=fault.name,
        before_s=before[-1] if before else math.nan,
        after_s=after[0][1] if after else math.nan,
        settled_s=settled[-1] if settled else math.nan,
        shown_s=shown_s,
        live_s=behind[-1] - fault.ends_s if behind else 0.0,
        skipped_frames=receiver.stats.skipped_frames,
        concealed_frames=receiver.stats.concealed_frames,
    )


def outcomes(profile: Profile, delay_s: float, ceiling_s: float) -> Iterator[Outcome]:
    """Every fault in turn."""
    for fault in FAULTS:
        yield outcome(fault, profile, delay_s, ceiling_s)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-p", "--profile", default="standard", help=f"packet size: {', '.join(PROFILES)}")
    parser.add_argument("--delay-ms", type=number(0, 10_000), default=SHORTEST_DELAY_S * 1000, help="as of clari-rx")
    parser.add_argument("--max-delay-ms", type=number(0, 10_000), default=LONGEST_DELAY_S * 1000, help="as of clari-rx")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON; - is stdout")


def run(args: argparse.Namespace) -> int:
    """Print a line per fault: delays in seconds, frames of 80 ms."""
    profile = find_profile(args.profile)
    rows = []
    if args.json != "-":
        titles = ("before", "after", "2 s later", "shown", "live after", "left out", "concealed")
        print(f"{f'{profile.name}, seconds and frames':<42}" + "".join(f"{title:>11}" for title in titles))
    for each in outcomes(profile, args.delay_ms / 1000, args.max_delay_ms / 1000):
        rows.append({name: None if value != value else value for name, value in asdict(each).items()})
        if args.json != "-":
            seconds = (each.before_s, each.after_s, each.settled_s, each.shown_s, each.live_s)
            cells = [f"{'-' if math.isnan(value) else f'{value:.2f}':>11}" for value in seconds]
            print(f"{each.fault:<42}" + "".join(cells) + f"{each.skipped_frames:>11}{each.concealed_frames:>11}", flush=True)
    write_json(args.json, {"schema_version": 1, "profile": profile.name, "faults": rows})
    return 0
