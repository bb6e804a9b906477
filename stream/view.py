"""Views of a running sender and receiver: they take snapshots. Each counter is whole; together they may be a packet apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from stream.frame import FRAME_S
from stream.level import QUIETEST_DB, LevelMeter
from stream.link import PacketSink, ZmqLink
from stream.receiver import Receiver
from stream.sender import Sender
from stream.snapshot import ReceiverSnapshot, SenderSnapshot

RECENT_S = 10.0  # that the newest bit rate is taken over
SHOWN_TEXTS = 20


class SenderView:
    """Takes snapshots of a sender."""

    def __init__(self, sender: Sender, meter: LevelMeter, link: PacketSink, model: str, overruns: Callable[[], int] = lambda: 0):
        self._sender, self._meter, self._link, self._model, self._overruns = sender, meter, link, model, overruns
        self._recent: deque[tuple[float, int]] = deque()  # uptime and bytes on air

    def look(self, unix_s: float, uptime_s: float, final: bool) -> SenderSnapshot:
        sender, meter, stats = self._sender, self._meter, self._sender.stats
        self._recent.append((uptime_s, stats.on_air_bytes))
        while len(self._recent) > 2 and self._recent[1][0] <= uptime_s - RECENT_S:
            self._recent.popleft()
        since_s, bytes_then = self._recent[0]
        passed_s = uptime_s - since_s
        return SenderSnapshot(
            kind="sender",
            unix_s=unix_s,
            uptime_s=uptime_s,
            final=final,
            model=self._model,
            profile=sender.profile.name,
            protection=str(sender.framing.protection),
            station=sender.station,
            level_db=meter.level_db,
            peak_db=meter.peak_db,
            clipped_samples=meter.clipped_samples,
            clipping=meter.clipping,
            real_time_factor=stats.real_time_factor,
            talk_state=sender.talk_state,
            speaking=sender.speaking,
            speech_s=stats.speech_s,
            nominal_bps=sender.framing.on_air_bps(sender.profile),
            recent_bps=(stats.on_air_bytes - bytes_then) * 8 / passed_s if passed_s > 0 else 0.0,
            on_air_bps=stats.on_air_bps,
            on_air_bytes=stats.on_air_bytes,
            packets=stats.packets,
            repair_packets=stats.repair_packets,
            control_packets=stats.control_packets,
            silent_packets=stats.silent_packets,
            dropped_packets=stats.dropped_packets,
            queued_packets=self._link.queued_packets if isinstance(self._link, ZmqLink) else 0,
            overruns=self._overruns(),
        )


class ReceiverView:
    """Takes snapshots of a receiver."""

    def __init__(self, receiver: Receiver, meter: LevelMeter, model: str, codec_delay_s: float, sink: object = None):
        """`sink` may count `underruns` and `dropped_blocks`, as a speaker does."""
        self._receiver, self._meter, self._model, self._codec_delay_s, self._sink = receiver, meter, model, codec_delay_s, sink

    def look(self, unix_s: float, uptime_s: float, final: bool) -> ReceiverSnapshot:
        receiver, meter, stats = self._receiver, self._meter, self._receiver.stats
        history, profile, protection = receiver.history, receiver.history.profile, receiver.framing.protection
        before, after, count = history.loss()
        packet_s = profile.packet_s if profile else 0.0
        playout, playing = receiver.playout, receiver.playout.playing
        known = playing and stats.first_frame >= 0
        waiting_s = max(0.0, playout.playout_delay_s) if known else stats.playout_delay_s
        protection_s = min(waiting_s, protection.delay_s(packet_s))
        return ReceiverSnapshot(
            kind="receiver",
            unix_s=unix_s,
            uptime_s=uptime_s,
            final=final,
            model=self._model,
            profile=profile.name if profile else "",
            protection=str(protection),
            station=receiver.mailbox.station,
            level_db=meter.level_db if playing else QUIETEST_DB,  # a pause brings no samples to the meter
            peak_db=meter.peak_db if playing else QUIETEST_DB,
            clipped_samples=meter.clipped_samples,
            clipping=meter.clipping and playing,
            real_time_factor=stats.real_time_factor,
            playing=playing,
            received_packets=stats.received_packets,
            received_bytes=stats.received_bytes,
            repaired_packets=stats.repaired_packets,
            corrected_bytes=stats.corrected_bytes,
            restored_packets=stats.restored_packets,
            rejected_packets=stats.rejected_packets,
            forged_packets=stats.forged_packets,
            replayed_packets=stats.replayed_packets,
            late_packets=stats.late_packets,
            duplicate_packets=stats.duplicate_packets,
            other_packets=stats.other_packets,
            repair_packets=stats.repair_packets,
            control_packets=stats.control_packets,
            frames=stats.frames,
            concealed_frames=stats.concealed_frames,
            concealed_share=stats.concealed_share,
            skipped_frames=stats.skipped_frames,
            lost_share=history.lost_share(),
            loss_before_repair=before,
            loss_after_repair=after,
            loss_packets=count,
            bit_error_rate=history.bit_error_rate(),
            buffered_s=playout.backlog * FRAME_S,
            held_s=playout.waiting * FRAME_S,
            packet_s=packet_s,
            codec_delay_s=self._codec_delay_s,
            protection_delay_s=protection_s,
            jitter_delay_s=waiting_s - protection_s,
            delay_s=packet_s + self._codec_delay_s + waiting_s if waiting_s else 0.0,
            added_delay_s=stats.added_delay_s,
            underruns=getattr(self._sink, "underruns", 0),
            dropped_blocks=getattr(self._sink, "dropped_blocks", 0),
            strip=history.strip,
            marked_packets=history.marked,
            texts=tuple(receiver.mailbox.texts[-SHOWN_TEXTS:]),
        )
