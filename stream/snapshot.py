"""What a sender or a receiver looks like at one moment: plain data that faces draw and `--stats-json` writes.

STATS.md says what every field means. Times and counters are arguments: there is no clock in here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

SNAPSHOT_VERSION = 2  # goes up when a field changes its meaning or goes away; new fields may come at any time


@dataclass(frozen=True)
class Snapshot:
    """What both ends have in common."""

    kind: str  # "sender" or "receiver"
    unix_s: float
    uptime_s: float
    final: bool
    model: str
    profile: str
    protection: str
    station: str
    level_db: float
    peak_db: float
    clipped_samples: int
    clipping: bool
    real_time_factor: float

    def as_dict(self) -> dict[str, object]:
        """One object of `--stats-json`."""
        return {"schema_version": SNAPSHOT_VERSION} | {
            name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class SenderSnapshot(Snapshot):
    """A sender at one moment."""

    talk_state: str
    speaking: bool
    speech_s: float
    nominal_bps: float
    recent_bps: float
    on_air_bps: float
    on_air_bytes: int
    packets: int
    repair_packets: int
    control_packets: int
    silent_packets: int
    dropped_packets: int
    queued_packets: int
    overruns: int


@dataclass(frozen=True)
class ReceiverSnapshot(Snapshot):
    """A receiver at one moment."""

    playing: bool
    received_packets: int
    received_bytes: int
    repaired_packets: int
    corrected_bytes: int
    restored_packets: int
    rejected_packets: int
    forged_packets: int
    replayed_packets: int
    late_packets: int
    duplicate_packets: int
    other_packets: int
    repair_packets: int
    control_packets: int
    frames: int
    concealed_frames: int
    concealed_share: float
    skipped_frames: int
    lost_share: float
    loss_before_repair: float
    loss_after_repair: float
    loss_packets: int
    bit_error_rate: float
    buffered_s: float
    held_s: float
    packet_s: float
    codec_delay_s: float
    protection_delay_s: float
    jitter_delay_s: float
    delay_s: float
    added_delay_s: float
    underruns: int
    dropped_blocks: int
    strip: str
    marked_packets: int
    texts: tuple[str, ...]
