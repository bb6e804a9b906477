"""Spectrogram pictures of training runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def draw_spectrograms(path: Path, spectrograms: dict[str, np.ndarray]) -> None:
    """Draw log-mel spectrograms [T, mels] below one another into a PNG."""
    from matplotlib.figure import Figure  # only runs that draw pay for the import

    figure = Figure(figsize=(9, 2.2 * len(spectrograms)), layout="constrained")
    axes = figure.subplots(len(spectrograms), 1, sharex=True, squeeze=False)[:, 0]
    first = next(iter(spectrograms.values()))
    low, high = float(np.min(first)), float(np.max(first))  # one colour scale, so that levels compare
    for axis, (name, values) in zip(axes, spectrograms.items(), strict=True):
        axis.imshow(values.T, origin="lower", aspect="auto", vmin=low, vmax=high, extent=(0, len(values) / 100, 0, values.shape[1]))
        axis.set_ylabel(name)
    axes[-1].set_xlabel("s")
    figure.savefig(path, dpi=80)
