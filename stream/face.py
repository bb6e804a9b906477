"""A snapshot as one plain line, for logs and for `--plain`. Pure; panel.py draws the same in colour."""

from __future__ import annotations

from stream.snapshot import ReceiverSnapshot, SenderSnapshot, Snapshot


def line_of(snapshot: Snapshot) -> str:
    """What matters now, in one line."""
    return receiver_line(snapshot) if isinstance(snapshot, ReceiverSnapshot) else sender_line(snapshot)


def sender_line(snapshot: Snapshot) -> str:
    assert isinstance(snapshot, SenderSnapshot)
    parts = [
        talking(snapshot),
        f"level {snapshot.level_db:.0f} dB" + (", CLIPPING: speak lower or turn the microphone down" if snapshot.clipping else ""),
        f"{snapshot.recent_bps:.0f} bps on air",
        f"{snapshot.packets} packets, {snapshot.queued_packets} queued" + counted(snapshot.dropped_packets, "dropped"),
    ]
    return "clari-tx: " + ", ".join(parts) + counted(snapshot.overruns, "overruns")


def talking(snapshot: SenderSnapshot) -> str:
    """State of the microphone and of voice activity, in words."""
    return f"{snapshot.talk_state}, {'speech' if snapshot.speaking else 'silence'}"


def receiver_line(snapshot: ReceiverSnapshot) -> str:
    said = f"from {snapshot.station}, " if snapshot.station else ""
    return (
        f"clari-rx: {said}level {snapshot.level_db:.0f} dB, {snapshot.received_packets} packets, "
        f"{quality(snapshot)}, {bits(snapshot)}, "
        f"{snapshot.buffered_s:.2f} s buffered, {snapshot.concealed_share:.1%} concealed, delay {snapshot.delay_s:.2f} s"
        + counted(snapshot.forged_packets, "forged")
        + counted(snapshot.underruns, "underruns")
    )


def quality(snapshot: ReceiverSnapshot) -> str:
    """How many packets the link loses, and how many of them are not heard in spite of repair, in words."""
    return f"{snapshot.lost_share:.1%} of packets lost, {snapshot.loss_after_repair:.1%} after repair"


def bits(snapshot: ReceiverSnapshot) -> str:
    """What the link does to the bits of packets that come, in words."""
    return f"{snapshot.corrected_bytes} bytes corrected, bit errors {snapshot.bit_error_rate:.1e}"


def delays(snapshot: ReceiverSnapshot) -> list[tuple[str, float]]:
    """What the delay is made of, in seconds, as far as a receiver can know: without the link and the sound cards."""
    return [
        ("packet", snapshot.packet_s),
        ("codec", snapshot.codec_delay_s),
        ("repair", snapshot.protection_delay_s),
        ("jitter", snapshot.jitter_delay_s),
    ]


def counted(count: int, what: str) -> str:
    """`, 3 dropped`, or nothing for none."""
    return f", {count} {what}" if count else ""
