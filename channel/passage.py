"""One utterance through sender, link and receiver in virtual time: no clock, no socket, no process.

The sender's loop, the packets, the simulator, the receiver and its playout are those that run between people; only the
time is a number that is counted up. What is heard of each frame is compared with what was sent.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from channel.air_link import AirLink, VirtualClock
from channel.recorded import RecordedEncoder, RecordedFront
from channel.simulator import ChannelConfig, Simulator
from stream.content import Voice
from stream.engine import Decoder, Metadata
from stream.frame import FRAME_S, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Codes, Pcm
from stream.packet import Framing
from stream.playout_clock import LONGEST_DELAY_S
from stream.profile import Profile
from stream.protection import Protection
from stream.receiver import LONGEST_PAUSE_S, Receiver
from stream.seal import Opener, Sealer
from stream.sender import IDENTITY_SPACING, Sender, send
from stream.slot import Slot

STATION = "CLARI"  # who speaks: identities are sent and counted
KEY = bytes(range(32))  # of sealed links; nobody listens in here
BEFORE_S = 1e-5  # what is due when a packet arrives is played after it, as the receiver's loop does
SHARES = 0.95  # of the frames that are heard within `delay_p95_s`


@dataclass(frozen=True)
class Terms:
    """How the two ends use the link; `tag_bytes` 0 is a link without seal."""

    profile: Profile
    protection: Protection
    tag_bytes: int = 0
    delay_s: float = 0.2
    ceiling_s: float = LONGEST_DELAY_S

    @property
    def packet_bytes(self) -> int:
        """Size of every packet."""
        return self.framing(0).packet_bytes(self.profile)

    @property
    def packets_per_s(self) -> float:
        """Packets of all kinds, while speech is sent."""
        return (self.protection.packets_per_voice + 1 / IDENTITY_SPACING) / self.profile.packet_s

    def fit(self, config: ChannelConfig) -> bool:
        """Whether the link carries the packets as fast as they come."""
        return config.air_s(self.packet_bytes) * self.packets_per_s <= 1

    def framing(self, decoder_id: int, receiver: bool = False) -> Framing:
        """Either end's framing, with a seal of its own.

        Raises:
            ClariError: a seal without the library it needs.
        """
        epochs = itertools.count(1)
        seal: Sealer | Opener | None = None
        if self.tag_bytes:
            sealer = Sealer(KEY, self.tag_bytes, lambda step: next(epochs))
            seal = Opener(KEY, self.tag_bytes) if receiver else sealer
        return Framing(decoder_id, self.protection, seal)


@dataclass(frozen=True)
class LinkFigures:
    """What became of the packets of one utterance; counts, so that several can be added."""

    speech_s: float
    on_air_bytes: int  # of all packets, with headers, parity, check and control packets
    packets: int
    repair_packets: int
    control_packets: int
    queue_dropped: int
    link_lost: int
    damaged_packets: int  # arrived with wrong bits
    corrected_packets: int  # of them, by Reed-Solomon inside the packet
    voice_packets: int
    voice_missing: int  # not arrived, or damaged beyond what the packet's own parity repairs: loss before repair
    voice_wrong: int  # accepted with wrong codes
    restored_packets: int  # by repair packets or repetitions, in time
    late_packets: int
    frames: int
    frames_unheard: int  # not heard, or not in time, or not as sent: loss after repair
    frames_wrong: int  # of them, heard with wrong codes
    frames_heard: int
    delay_sum_s: float  # over the frames heard: from a sample spoken to the same sample heard
    delay_p95_s: float  # NaN if nothing was heard


@dataclass(frozen=True)
class Played:
    """A slot, the frame of the utterance that it stands for, and the silence before it where playout had stopped."""

    frame: int
    slot: Slot
    pause_samples: int


@dataclass(frozen=True)
class Passage:
    """What a receiver played of one utterance, in the order of playing."""

    figures: LinkFigures
    played: list[Played]
    receiver: Receiver


def pass_through(
    codes: Codes, samples: int, meta: Metadata, terms: Terms, config: ChannelConfig, seed: int, decoder: Decoder
) -> Passage:
    """Send an utterance of `samples` samples whose codes are [frames, 8], the silence after its end included.

    decoder: its stream becomes the receiver's; nothing is decoded here.
    """
    clock = VirtualClock()
    simulator = Simulator(config, seed)
    link = AirLink(simulator, clock)
    sender = Sender(RecordedEncoder(meta, codes), terms.profile, 0, terms.framing(meta.decoder_id), STATION, RecordedFront())
    block = np.zeros(terms.profile.frames * SAMPLES_PER_FRAME, np.float32)
    send(sender, (block[: samples - start] for start in range(0, samples, len(block))), link, clock)

    receiver = Receiver(decoder, terms.delay_s, terms.framing(meta.decoder_id, receiver=True), ceiling_s=terms.ceiling_s)
    slots: list[Slot] = []
    intact: set[int] = set()
    wrong = 0
    for arrival_s, _, packet, voice in sorted(link.arrivals):
        slots += receiver.playout.due(arrival_s - BEFORE_S)
        parsed = receiver.open(packet)
        if parsed is None:
            continue
        if isinstance(parsed.content, Voice):
            sent = codes[voice * terms.profile.frames : (voice + 1) * terms.profile.frames] if voice >= 0 else codes[:0]
            right = parsed.content.codes.tobytes() == sent.tobytes()
            wrong += not right
            if right:
                intact.add(voice)
        receiver.add(arrival_s, parsed)
    while receiver.playout.playing:
        slots += receiver.playout.due(receiver.playout.next_due_s)

    played = _in_time(slots, terms.protection.sequence_count * terms.profile.frames)
    heard, frames_wrong = _heard(played, codes, meta.shift_samples)
    report, stats = simulator.report(), receiver.stats
    frames = link.voice_packets * terms.profile.frames
    figures = LinkFigures(
        speech_s=samples / SAMPLE_RATE_HZ,
        on_air_bytes=sender.stats.on_air_bytes,
        packets=sender.stats.packets,
        repair_packets=sender.stats.repair_packets,
        control_packets=sender.stats.control_packets,
        queue_dropped=report.queue_dropped,
        link_lost=report.lost,
        damaged_packets=report.damaged,
        corrected_packets=stats.repaired_packets,
        voice_packets=link.voice_packets,
        voice_missing=link.voice_packets - len(intact),
        voice_wrong=wrong,
        restored_packets=stats.restored_packets,
        late_packets=stats.late_packets,
        frames=frames,
        frames_unheard=frames - len(heard),
        frames_wrong=frames_wrong,
        frames_heard=len(heard),
        delay_sum_s=float(np.sum(list(heard.values()))),
        delay_p95_s=float(np.quantile(list(heard.values()), SHARES)) if heard else float("nan"),
    )
    return Passage(figures, played, receiver)


def _in_time(slots: list[Slot], wrap: int) -> list[Played]:
    """Slots with their frames, whose numbers begin again after `wrap`, and the pauses between them."""
    played = []
    until_s = slots[0].due_s if slots else 0.0
    for slot in slots:
        about = slot.due_s / FRAME_S  # off by the delay, which is far less than half a wrap
        frame = slot.number + round((about - slot.number) / wrap) * wrap
        pause_s = min(slot.due_s - until_s, LONGEST_PAUSE_S)
        played.append(Played(frame, slot, round(pause_s * SAMPLE_RATE_HZ) if pause_s > FRAME_S / 2 else 0))
        until_s = slot.due_s + slot.samples / SAMPLE_RATE_HZ
    return played


def _heard(played: list[Played], codes: Codes, shift_samples: int) -> tuple[dict[int, float], int]:
    """Delay in seconds of every frame that was heard as it was sent, and how many others were heard as something else."""
    heard: dict[int, float] = {}
    wrong = set()
    sent, size = codes.tobytes(), codes.shape[1]
    for frame, slot in ((each.frame, each.slot) for each in played):
        if slot.codes is None or frame in heard:
            continue
        if 0 <= frame < len(codes) and slot.codes.tobytes() == sent[frame * size : (frame + 1) * size]:
            heard[frame] = slot.due_s - (frame * SAMPLES_PER_FRAME - shift_samples) / SAMPLE_RATE_HZ
        else:
            wrong.add(frame)
    return heard, len(wrong - heard.keys())


def listen(passage: Passage, samples: int, shift_samples: int) -> tuple[Pcm, Pcm]:
    """Decode what was played.

    Returns:
        The `samples` samples of the utterance, each at its place whenever it was heard, and all that was played in its order,
        pauses included. That slots are played some per mille faster or slower is left out.
    """
    placed = np.zeros(samples + shift_samples + SAMPLES_PER_FRAME, np.float32)
    known: set[int] = set()
    heard: list[Pcm] = []
    for each in passage.played:
        pcm = passage.receiver.sound(each.slot)
        heard += [np.zeros(each.pause_samples, np.float32), pcm]
        start = each.frame * SAMPLES_PER_FRAME
        if 0 <= start <= len(placed) - SAMPLES_PER_FRAME and each.frame not in known:
            placed[start : start + SAMPLES_PER_FRAME] = pcm
            known |= {each.frame} if each.slot.codes is not None else set()
    whole = np.concatenate(heard) if heard else np.zeros(0, np.float32)
    return placed[shift_samples : shift_samples + samples], whole
