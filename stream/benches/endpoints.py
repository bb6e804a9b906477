"""What a delay is measured between: the two ends of a link, as pipes or as virtual audio devices.

`over_pipes` writes samples into the sender's stdin at the pace of a microphone and notes when the receiver's stdout
gives each sample back. `over_pulseaudio` plays into a virtual microphone whose room is recorded together
with what leaves the virtual loudspeaker, on one clock.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.benches.ears import PipeEar, Recorder
from stream.benches.link_run import Conditions, LinkRun
from stream.benches.markers import CHIRP_S, SKIPPED_FRAMES, coarse_lag, locate, marker_signal, sender_offset
from stream.engine import Encoder, load_encoder
from stream.errors import ClariError
from stream.frame import FRAME_S, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Pcm
from stream.packet import Framing
from stream.profile import find_profile
from stream.sound_server import SoundServer
from stream.wav_stream import to_int16

LEAD_S = 1.0  # of silence, for everything to settle
SEARCHED_S = 0.4  # that a device may hold speech back before the sender has it
GROUP = 20  # markers


@dataclass(frozen=True)
class Trip:
    """What one run gave, for M markers.

    spoken_s: [M], when each marker began at the mouth; NaN for one that was not found there.
    places: [M], the sample of the sender's stream at which it begins.
    heard: samples [N] at the ear.
    heard_s: [N], when each of them was heard, on the clock of spoken_s.
    """

    spoken_s: NDArray[np.float64]
    places: NDArray[np.int64]
    heard: Pcm
    heard_s: NDArray[np.float64]
    codes: NDArray[np.uint8]
    channel_s: float  # the delay of the fastest packet
    stats: dict[str, dict[str, Any]]


def codes_and_channel(run: LinkRun) -> tuple[NDArray[np.uint8], float]:
    """All codes [frames, 8] that the sender sent, and the delay of the fastest packet in the channel.

    Raises:
        ClariError: nothing arrived, or more packets were sent than can be told apart.
    """
    framing = Framing(load_encoder(run.conditions.model).meta.decoder_id, run.conditions.protection)
    before, after = run.taps[0].voices(framing), run.taps[-1].voices(framing)
    numbers = sorted(before)
    if not after or numbers != list(range(len(numbers))):
        raise ClariError("the packets of the run are not whole; measure fewer chirps on an idle machine")
    channel_s = min(after[number][0] - before[number][0] for number in after) if len(run.taps) > 1 else 0.0
    return np.concatenate([before[number][1] for number in numbers]), channel_s


def over_pipes(conditions: Conditions, chirps: int) -> Trip:
    """Run the markers from stdin to stdout.

    Raises:
        ClariError: a process failed, or nothing was heard.
    """
    samples, starts = marker_signal(chirps, LEAD_S)
    samples = np.pad(samples, (0, -len(samples) % SAMPLES_PER_FRAME))
    with LinkRun(conditions, ["--in", "-", "--raw"], ["--out", "-", "--raw"]) as run:
        source, sink = run.running["tx"].stdin, run.running["rx"].stdout
        assert source is not None
        ear = PipeEar(sink)
        ear.start()
        frames = samples.reshape(-1, SAMPLES_PER_FRAME)
        source.write(to_int16(frames[0]))
        source.flush()
        run.wait_for_words("tx")
        time.sleep(LEAD_S / 2)  # the sender's own pacing is now ahead of ours, and never holds a sample back
        first_s = time.monotonic() - FRAME_S  # when the first sample was spoken
        try:
            for number, frame in enumerate(frames[1:], start=2):
                time.sleep(max(0.0, first_s + number * FRAME_S - time.monotonic()))
                source.write(to_int16(frame))
                source.flush()
        except BrokenPipeError:
            run.check()
            raise ClariError("clari-tx ended before its source did; try it by hand") from None
        time.sleep(conditions.settling_s)
        stats = run.finish()
        ear.join()
        heard, heard_s = ear.samples()
        codes, channel_s = codes_and_channel(run)
    return Trip(first_s + starts / SAMPLE_RATE_HZ, starts, heard, heard_s, codes, channel_s, stats)


def over_pulseaudio(conditions: Conditions, chirps: int) -> Trip:
    """Run the markers from a virtual microphone to a virtual speaker.

    Raises:
        ClariError: PulseAudio is missing, a process failed, or nothing was heard.
    """
    samples, starts = marker_signal(chirps, LEAD_S)
    device = ["--device=pulse", *([f"--latency-ms={conditions.latency_ms}"] if conditions.latency_ms else [])]
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(SoundServer(Path(folder))) as server:
        listener = server.listen()
        recorder = Recorder(listener)
        recorder.start()
        try:
            with LinkRun(conditions, ["--mic", *device], ["--speaker", *device], server.environment) as run:
                run.wait_for_packet()
                with server.speak() as speaker:
                    speaker.communicate(to_int16(samples))
                time.sleep(conditions.settling_s)
                stats = run.finish()
                codes, channel_s = codes_and_channel(run)
                first_packet_s = run.taps[0].packets[0][0]
            said, heard = recorder.end()
        finally:
            listener.kill()
            listener.wait()
    lag = coarse_lag(said, samples)
    found = [locate(said, samples[start : start + round(CHIRP_S * SAMPLE_RATE_HZ)], start + lag) for start in starts]
    spoken = np.array([math.nan if place is None else place for place in found])
    if np.isnan(spoken).all():
        raise ClariError("the virtual microphone did not hear the chirps; try again on an idle machine")
    # When the first packet passed, its last sample had been at the mouth for up to SEARCHED_S.
    profile = find_profile(conditions.profile)
    latest = round((first_packet_s - profile.packet_s - recorder.first_s) * SAMPLE_RATE_HZ)
    places = sender_places(load_encoder(conditions.model), said, spoken, codes, profile.frames, latest)
    return Trip(spoken / SAMPLE_RATE_HZ, places, heard, np.arange(len(heard)) / SAMPLE_RATE_HZ, codes, channel_s, stats)


def sender_places(
    encoder: Encoder, said: Pcm, spoken: NDArray[np.float64], codes: NDArray[np.uint8], packet_frames: int, latest: int
) -> NDArray[np.int64]:
    """The places [M] of markers in the sender's stream, which stand at `spoken` [M] in the recording `said` [N].

    latest: where in `said` the sender's first sample is, or up to SEARCHED_S before. Looked for in one group of
    markers after the other: a microphone that dropped samples has moved the frames.
    """
    places = np.full(len(spoken), -1, np.int64)
    low, high = latest - round(SEARCHED_S * SAMPLE_RATE_HZ), latest + round(0.1 * SAMPLE_RATE_HZ)
    for first in range(0, len(spoken), GROUP):
        group = slice(first, first + GROUP)
        if np.isnan(spoken[group]).all():
            continue
        frame = max(0, int(np.nanmin(spoken[group]) - high) // SAMPLES_PER_FRAME - SKIPPED_FRAMES)
        frame -= frame % packet_frames
        before = frame * SAMPLES_PER_FRAME
        offset = sender_offset(encoder, said, codes[frame:], packet_frames, low + before, high + before) - before
        places[group] = np.where(np.isnan(spoken[group]), -1, np.nan_to_num(spoken[group]) - offset)
        low, high = offset - round(0.1 * SAMPLE_RATE_HZ), offset + round(0.1 * SAMPLE_RATE_HZ)
    return places
