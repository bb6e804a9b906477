"""Where what a receiver hears goes: speaker, file, pipe or nowhere, and whoever listens beside."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Protocol

from stream.clock import Clock
from stream.frame import SAMPLE_RATE_HZ, Pcm
from stream.pace import Card, Paced
from stream.receiver import PcmSink
from stream.sinks import FileSink, NullSink, PipeSink
from stream.speaker import UNDERRUN_CURE, Speaker


class ClosableSink(Protocol):
    """A sink of samples with an end."""

    def write(self, pcm: Pcm) -> None: ...

    def close(self) -> None: ...


class Tap:
    """A sink whose samples others get as well. They must return at once."""

    def __init__(self, sink: PcmSink, ears: Sequence[Callable[[Pcm], None]]):
        self._sink, self._ears = sink, ears

    def write(self, pcm: Pcm) -> None:
        self._sink.write(pcm)
        for hear in self._ears:
            hear(pcm)


class OnTime:
    """A sink that takes a block when the one before has been heard: for speech that comes faster than it is spoken."""

    def __init__(self, sink: PcmSink, clock: Clock):
        self._sink, self._clock = sink, clock
        self._due_s = clock.now_s()

    def write(self, pcm: Pcm) -> None:
        self._clock.sleep_until(self._due_s)
        self._due_s = max(self._due_s, self._clock.now_s()) + len(pcm) / SAMPLE_RATE_HZ
        self._sink.write(pcm)


def open_output(args: argparse.Namespace, notify: Callable[[str], None]) -> ClosableSink:
    """The sink that the options name. notify: gets the lines of a speaker."""
    if args.null:
        return NullSink()
    if args.speaker:
        return Speaker(args.device, args.latency_ms, notify, args.open_hz)
    return PipeSink(args.raw) if args.out == "-" else FileSink(args.out)


def paced(sink: ClosableSink) -> PcmSink:
    """The same sink; a card gets blocks as long as its clock needs them."""
    return Paced(sink) if isinstance(sink, Card) else sink


def trouble(sink: ClosableSink) -> str:
    """What a speaker complains of, and the knob."""
    if not isinstance(sink, Speaker):
        return ""
    said = f", {sink.underruns} underruns: {UNDERRUN_CURE}" if sink.underruns else ""
    return said + (f", {sink.dropped_blocks} blocks dropped by a slow device" if sink.dropped_blocks else "")
