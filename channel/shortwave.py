"""Named short-wave links: the ionosphere's three standard moods."""

from __future__ import annotations

from channel.fading import FadingConfig
from channel.named import ILLUSTRATIVE, Preset, reception_sources
from channel.reception import ReceptionConfig
from channel.simulator import ChannelConfig

FREEDV = "FreeDV 700D"


def _watterson(name: str, mood: str, spread_hz: float, condition: str) -> Preset:
    return Preset(
        name,
        f"short-wave radio, middle latitudes, {mood}",
        ChannelConfig(
            bit_rate_bps=700,
            delay_s=0.16,
            reception=ReceptionConfig(
                "qpsk", 12.0, detection_db=0.0, fading=FadingConfig(doppler_hz=spread_hz, spectrum="gaussian", paths=2)
            ),
        ),
        {
            "bit_rate_bps": FREEDV,
            "delay_s": "FreeDV 700D modem frame, 160 ms",
        }
        | reception_sources(
            {
                "doppler_hz": f"ITU-R F.1487, {condition}: frequency spread",
                "k_db": "Watterson: no direct ray",
                "spectrum": "Watterson",
                "paths": "Watterson: two paths of equal power; that the modem adds both is illustrative",
            }
        ),
    )


SHORTWAVE = (
    Preset(
        "hf",
        "short-wave radio, robust data mode, slow fading",
        ChannelConfig(bit_rate_bps=700, delay_s=0.16, jitter_s=0.0, loss_rate=0.1, mean_burst_s=1.0, ber=2e-3),
        {
            "bit_rate_bps": FREEDV,
            "delay_s": "FreeDV 700D modem frame, 160 ms",
            "loss_rate": ILLUSTRATIVE,
            "mean_burst_s": ILLUSTRATIVE,
            "ber": ILLUSTRATIVE,
        },
    ),
    _watterson("hf-good", "quiet", 0.1, "quiet"),
    _watterson("hf-moderate", "moderately disturbed", 0.5, "moderate"),
    _watterson("hf-poor", "disturbed", 1.0, "disturbed"),
)
