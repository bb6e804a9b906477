"""Named underwater acoustic links: modems of fixed frames and few bits per second, one medium for both directions."""

from __future__ import annotations

import math

from channel.fading import FadingConfig
from channel.markov import DriftConfig
from channel.named import ILLUSTRATIVE, SOUND_M_S, Preset, acoustic_delay_s, reception_sources
from channel.reception import ReceptionConfig
from channel.simulator import ChannelConfig

SONARDYNE = "Sonardyne Modem 6"
MICROMODEM = "WHOI Micromodem, PSK rate 6"
SWING_M = 50.0  # a vehicle on its line, or a ship on its anchor
SWING_PERIOD_S = 600.0


def _modem(
    name: str, summary: str, bit_rate_bps: float, range_m: float, modulation: str, preamble_s: float, sources: dict[str, str]
) -> Preset:
    """A modem at sea; `sources` replaces what is illustrative otherwise."""
    return Preset(
        name,
        summary,
        ChannelConfig(
            bit_rate_bps=bit_rate_bps,
            delay_s=round(acoustic_delay_s(range_m), 3),
            frame_bytes=32,
            preamble_s=preamble_s,
            turn_round_s=0.5,
            delay_swing_s=round(acoustic_delay_s(SWING_M), 3),
            delay_period_s=SWING_PERIOD_S,
            queue_s=6.0,
            reception=ReceptionConfig(
                modulation,
                18.0 if modulation == "fsk" else 15.0,
                detection_db=3.0,
                fading=FadingConfig(doppler_hz=1.0, k_db=6.0),
                drift=DriftConfig(levels_db=(-6.0, -3.0, 0.0, 3.0), dwell_s=120.0),
            ),
        ),
        {
            "bit_rate_bps": ILLUSTRATIVE,
            "delay_s": f"{range_m / 1000:g} km at {SOUND_M_S:g} m/s",
            "queue_s": ILLUSTRATIVE,
            "frame_bytes": "frames of 32 bytes, WHOI Micromodem",
            "preamble_s": ILLUSTRATIVE,
            "turn_round_s": ILLUSTRATIVE,
            "delay_swing_s": f"illustrative: {SWING_M:g} m to both sides, "
            f"at most {2 * math.pi * SWING_M / SWING_PERIOD_S:.2f} m/s in {SWING_PERIOD_S:g} s",
        }
        | reception_sources(
            {},
            drift={
                "levels_db": "illustrative; a hidden chain as by Tomasi et al., whose figures are not known to us",
                "dwell_s": ILLUSTRATIVE,
            },
        )
        | sources,
    )


def _sonardyne(scheme: int, bit_rate_bps: float, range_m: float, remark: str) -> Preset:
    return _modem(
        f"acoustic-{bit_rate_bps:g}",
        f"acoustic modem of {bit_rate_bps:g} bps over {range_m / 1000:g} km, half duplex{remark}",
        bit_rate_bps,
        range_m,
        "fsk",
        0.1,
        {"bit_rate_bps": f"{SONARDYNE}, TS{scheme}", "frame_bytes": "illustrative; frames of 32 bytes are the WHOI Micromodem's"},
    )


ACOUSTIC = (
    Preset(
        "acoustic",
        "underwater acoustic modem over 1.5 km",
        ChannelConfig(bit_rate_bps=400, delay_s=1.0, jitter_s=0.02, loss_rate=0.044, mean_burst_s=2.0, ber=1e-3),
        {
            "bit_rate_bps": f"{SONARDYNE}, TS2",
            "delay_s": "1.5 km at 1500 m/s",
            "jitter_s": ILLUSTRATIVE,
            "loss_rate": "block error floor of the JANUS waveform on a 3-tap Rician channel",
            "mean_burst_s": ILLUSTRATIVE,
            "ber": ILLUSTRATIVE,
        },
    ),
    _sonardyne(0, 100, 5000.0, "; too slow for live speech"),
    _sonardyne(1, 200, 3000.0, "; too slow for live speech"),
    _sonardyne(2, 400, 1500.0, ""),
    _sonardyne(3, 900, 750.0, ""),
    _modem(
        "acoustic-micromodem",
        "WHOI Micromodem over 1.5 km, phase-shift keying, frames of 32 bytes, half duplex",
        521,
        1500.0,
        "qpsk",
        0.3,
        {
            "bit_rate_bps": f"{MICROMODEM}: 6 frames of 32 bytes in 2.95 s",
            "preamble_s": f"{MICROMODEM}: signal of 3.25 s for a packet of 2.95 s",
            "reception.modulation": f"{MICROMODEM}; four phases are illustrative",
        },
    ),
)
