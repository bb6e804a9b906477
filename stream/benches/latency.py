"""Delay from mouth to ear, measured: chirps go in at the sender's source and are found again at the receiver's sink.

Over pipes the chirps enter at the pace of a microphone and every sample that comes out is stamped with the time; over
PulseAudio one recording of a virtual room holds both ends. Frame, codec, packet, protection and the playout delay
that the receiver was told are what the profile implies; channel, encoder, decoder and jitter buffer are measured by
those who know them; devices are the rest: audio devices or pipes, queues, and waiting for a processor.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.benches.endpoints import Trip, over_pipes, over_pulseaudio
from stream.benches.link_run import Conditions
from stream.benches.markers import WINDOW_SAMPLES, coarse_lag, decode, locate
from stream.engine import load_decoder
from stream.errors import ClariError, UsageError
from stream.frame import FRAME_S, SAMPLE_RATE_HZ
from stream.options import add_protection, check_writable, number, write_json
from stream.playout_clock import SHORTEST_DELAY_S
from stream.profile import PROFILES, find_profile

HELP = "delay from mouth to ear, measured with chirps, and what it is made of"
ENDPOINTS: dict[str, Callable[[Conditions, int], Trip]] = {"pipe": over_pipes, "pulse": over_pulseaudio}
PARTS = ("codec", "frame", "packet", "protection", "channel", "jitter buffer", "encode", "decode", "devices")
PERCENTILES = (50, 95, 99)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-p", "--profile", action="append", metavar="NAME", help=f"of {', '.join(PROFILES)}; all unless given")
    parser.add_argument(
        "-e", "--endpoints", choices=(*ENDPOINTS, "both"), default="pipe", help="pulse needs PulseAudio, and no hardware"
    )
    parser.add_argument("--chirps", type=int, default=200, help="for each profile, half a second each")
    parser.add_argument("-m", "--model", default="base", help="shipped model or folder")
    parser.add_argument("--latency-ms", type=number(1, 1000), help="of the devices, with pulse; what clari-tx has unless given")
    parser.add_argument("--delay-ms", type=number(0, 10_000), default=SHORTEST_DELAY_S * 1000, help="playout delay of the receiver")
    add_protection(parser)
    parser.add_argument("--preset", default="", help="a link of clari-channel between them; none unless given")
    parser.add_argument("--seed", type=int, default=1, help="of that link")
    parser.add_argument("--json", metavar="FILE", help="also write every figure as JSON; - is stdout")
    parser.add_argument("--plot", metavar="FILE", help="also draw what the delay is made of, as PNG")


@dataclass(frozen=True)
class Result:
    """One profile over one kind of endpoints. Every time in milliseconds.

    parts: the medians of what the delay is made of, in the order of PARTS; their sum is the median delay.
    implied_ms: what profile, protection, link and playout delay ask for; processing is what comes on top.
    """

    profile: str
    endpoints: str
    chirps: int
    found: int
    implied_ms: float
    mouth_to_ear_ms: dict[str, float]
    processing_ms: dict[str, float]
    parts: dict[str, float]
    delays_ms: list[float]


def percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    return {f"p{share}": float(np.percentile(values, share)) for share in PERCENTILES}


def delays_s(trip: Trip, model: str) -> NDArray[np.float64]:
    """From mouth to ear, [M]; NaN for a marker that was not heard."""
    decoder = load_decoder(model)
    wanted = decode(decoder, trip.codes)
    lag, delays = coarse_lag(trip.heard, wanted), np.full(len(trip.spoken_s), np.nan)
    for index, (spoken_s, place) in enumerate(zip(trip.spoken_s, trip.places, strict=True)):
        start = place + decoder.meta.shift_samples  # where the decoder has the speech of this place
        if np.isnan(spoken_s) or place < 0 or start + WINDOW_SAMPLES > len(wanted):
            continue
        found = locate(trip.heard, wanted[start : start + WINDOW_SAMPLES], start + lag)
        if found is not None:
            delays[index], lag = trip.heard_s[found] - spoken_s, found - start  # playout changes its delay as it goes
    return delays


def result(conditions: Conditions, endpoints: str, trip: Trip) -> Result:
    """Percentiles and parts of a trip.

    Raises:
        ClariError: no marker was heard.
    """
    meta, profile = load_decoder(conditions.model).meta, find_profile(conditions.profile)
    packet_s = profile.packet_s
    delays = delays_s(trip, conditions.model)
    heard = delays[~np.isnan(delays)]
    if not len(heard):
        raise ClariError(f"no chirp came through with profile {conditions.profile}; try fewer on an idle machine")
    protection_s, shift_s = conditions.protection.delay_s(packet_s), meta.shift_samples / SAMPLE_RATE_HZ
    implied_s = shift_s + packet_s + protection_s + trip.channel_s + conditions.delay_ms / 1000
    tx, rx = trip.stats["tx"], trip.stats["rx"]
    parts_s = {
        "codec": shift_s,
        "frame": FRAME_S,
        "packet": packet_s - FRAME_S,
        "protection": protection_s,
        "channel": trip.channel_s,
        "jitter buffer": rx["jitter_delay_s"],
        "encode": tx["encode_s"] / max(1, tx["encoded_frames"]) * profile.frames,  # a whole packet at its end
        "decode": rx["decode_s"] / max(1, rx["frames"]),
    }
    parts_s["devices"] = float(np.median(heard)) - sum(parts_s.values())
    return Result(
        profile=conditions.profile,
        endpoints=endpoints,
        chirps=len(delays),
        found=len(heard),
        implied_ms=1000 * implied_s,
        mouth_to_ear_ms=percentiles(1000 * heard),
        processing_ms=percentiles(1000 * (heard - implied_s)),
        parts={name: 1000 * parts_s[name] for name in PARTS},
        delays_ms=[round(1000 * float(delay), 1) for delay in heard],
    )


def table(results: list[Result]) -> str:
    """Delays, then their parts; milliseconds."""
    heads = [f"p{share}" for share in PERCENTILES]
    lines = [f"{'ms':<18}{'heard':>9}" + "".join(f"{head:>7}" for head in heads) + f"{'implied':>9}" + "  processing" +
             "".join(f"{head:>7}" for head in heads)]  # fmt: skip
    for row in results:
        lines.append(
            f"{row.profile + ' ' + row.endpoints:<18}{f'{row.found}/{row.chirps}':>9}"
            + "".join(f"{row.mouth_to_ear_ms[head]:>7.0f}" for head in heads)
            + f"{row.implied_ms:>9.0f}{'':12}"
            + "".join(f"{row.processing_ms[head]:>7.0f}" for head in heads)
        )
    lines += ["", f"{'p50 is made of':<18}" + "".join(f"{part:>{max(9, len(part) + 2)}}" for part in PARTS)]
    for row in results:
        cells = "".join(f"{row.parts[part]:>{max(9, len(part) + 2)}.1f}" for part in PARTS)
        lines.append(f"{row.profile + ' ' + row.endpoints:<18}{cells}")
    return "\n".join(lines)


def run(args: argparse.Namespace) -> int:
    if not 5 <= args.chirps <= 1000:
        raise UsageError(f"--chirps {args.chirps} is not possible; give 5 to 1000")
    profiles = [find_profile(name).name for name in args.profile or PROFILES]
    check_writable(args.json)
    check_writable(args.plot)
    if args.plot:
        from stream.benches.chart import check_drawing

        check_drawing(args.plot)
    results = []
    for endpoints in ENDPOINTS if args.endpoints == "both" else (args.endpoints,):
        for profile in profiles:
            conditions = Conditions(
                profile, args.model, args.delay_ms, args.repair, args.repeat, args.preset, args.seed, args.latency_ms
            )
            results.append(result(conditions, endpoints, ENDPOINTS[endpoints](conditions, args.chirps)))
    if args.json != "-":
        print(table(results))
    rows: list[dict[str, Any]] = [asdict(row) for row in results]
    write_json(args.json, {"schema_version": 1, "delay_ms": args.delay_ms, "preset": args.preset, "results": rows})
    if args.plot:
        from stream.benches.chart import draw_parts

        draw_parts(args.plot, [(f"{row.profile}, {row.endpoints}", row.parts) for row in results])
    return 0
