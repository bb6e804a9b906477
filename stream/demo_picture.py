"""The picture of the demonstration: what was said, what was heard, and what became of the packets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stream.frame import SAMPLE_RATE_HZ, Pcm


def spectrogram_db(pcm: Pcm) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Samples [N] -> levels [257, frames] in dB, 32 ms windows every 10 ms."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(pcm, (0, 512)), 512)[::160] * np.hanning(512)
    return 20 * np.log10(np.abs(np.fft.rfft(windows, axis=1)).T + 1e-3)


def draw(path: Path, original: Pcm, received: Pcm, sent: int, lost: int, repaired: int) -> None:
    """Both spectrograms, one above the other in time, and a bar of what became of the packets."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots(3, 1, height_ratios=(4, 4, 1))
    for axis, pcm, title in zip(axes, (original, received), ("sent", "received"), strict=False):
        axis.imshow(
            spectrogram_db(pcm),
            origin="lower",
            aspect="auto",
            vmin=-40,
            vmax=25,
            cmap="magma",
            extent=(0, len(pcm) / SAMPLE_RATE_HZ, 0, 8),
        )
        axis.set(title=title, ylabel="kHz")
    axes[1].set_xlabel("s")
    left = 0
    for count, name, colour in (
        (sent - lost - repaired, "received", "#3a7d44"),
        (repaired, "repaired", "#e0a030"),
        (lost, "lost", "#b03030"),
    ):
        axes[2].barh(0, count, left=left, color=colour, label=f"{name} {count}")
        left += count
    axes[2].set(yticks=[], xlim=(0, max(sent, 1)), xlabel="packets")
    axes[2].legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    axes[2].xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(path, dpi=100)
