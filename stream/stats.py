"""Counters of a sender and of a receiver; plain data, no clock."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from stream.frame import FRAME_S, SAMPLE_RATE_HZ

SCHEMA_VERSION = 1


@dataclass
class SenderStats:
    """What left the sender."""

    packets: int = 0  # of any kind
    repair_packets: int = 0
    control_packets: int = 0
    dropped_packets: int = 0  # nobody took them
    on_air_bytes: int = 0
    silent_packets: int = 0  # that held no speech and were not sent
    frames: int = 0
    speech_samples: int = 0  # of the source, before the padding of the last packet
    first_sample_s: float = 0.0  # clock time at which the first sample of speech was heard
    encoded_frames: int = 0  # the encoder rests in silence
    encode_s: float = 0.0  # processor time of the encoder

    @property
    def speech_s(self) -> float:
        return self.speech_samples / SAMPLE_RATE_HZ

    @property
    def voice_packets(self) -> int:
        """Packets that carry speech."""
        return self.packets - self.repair_packets - self.control_packets

    @property
    def on_air_bps(self) -> float:
        """All bytes that left over the duration of speech."""
        return self.on_air_bytes * 8 / self.speech_s if self.speech_samples else 0.0

    @property
    def saved_share(self) -> float:
        """Share of the voice packets that silence saved."""
        return self.silent_packets / (self.voice_packets + self.silent_packets) if self.silent_packets else 0.0

    @property
    def control_share(self) -> float:
        """Share of the packets that carry neither speech nor repair."""
        return self.control_packets / self.packets if self.packets else 0.0

    @property
    def code_bps(self) -> float:
        """Code bits alone over the duration they stand for."""
        return 16 / FRAME_S

    @property
    def real_time_factor(self) -> float:
        return self.encode_s / (self.encoded_frames * FRAME_S) if self.encoded_frames else 0.0

    def as_dict(self) -> dict[str, float | int | str]:
        rates = {"speech_s": self.speech_s, "on_air_bps": self.on_air_bps, "code_bps": self.code_bps}
        rates |= {"control_share": self.control_share, "saved_share": self.saved_share}
        return {"schema_version": SCHEMA_VERSION, **asdict(self), **rates, "real_time_factor": self.real_time_factor}


@dataclass
class ReceiverStats:
    """What arrived and what was heard."""

    received_packets: int = 0  # of any kind, also damaged ones
    rejected_packets: int = 0  # damaged beyond repair, or not ours
    repaired_packets: int = 0
    corrected_bytes: int = 0
    restored_packets: int = 0  # lost, then restored from repair packets or repetitions in time to be heard
    repair_packets: int = 0
    control_packets: int = 0
    forged_packets: int = 0  # on a sealed link: a wrong tag
    replayed_packets: int = 0  # on a sealed link: heard before
    duplicate_packets: int = 0
    late_packets: int = 0
    other_packets: int = 0  # of another stream than the one being heard
    received_bytes: int = 0
    frames: int = 0  # heard or concealed, up to the last one heard
    concealed_frames: int = 0
    skipped_frames: int = 0  # that arrived, and were left out because they were too old
    trailing_frames: int = 0  # concealed after the last one heard: an outage, or an end that was lost
    first_frame: int = -1  # number of the first frame heard
    first_frame_s: float = 0.0  # clock time at which its playout began
    late_frames_used: int = 0  # that came too late to be heard, and told the decoder what it missed
    added_delay_s: float = 0.0  # by late packets, at most
    playout_delay_s: float = 0.0  # at the end: how long the fastest packets waited
    decode_s: float = 0.0

    @property
    def concealed_share(self) -> float:
        return self.concealed_frames / self.frames if self.frames else 0.0

    @property
    def real_time_factor(self) -> float:
        return self.decode_s / (self.frames * FRAME_S) if self.frames else 0.0

    def as_dict(self) -> dict[str, float | int]:
        shares = {"concealed_share": self.concealed_share, "real_time_factor": self.real_time_factor}
        return {"schema_version": SCHEMA_VERSION, **asdict(self), **shares}
