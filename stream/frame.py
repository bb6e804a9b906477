"""The frame that the whole system is laid out for: 80 ms of 16 kHz speech, 16 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
SAMPLES_PER_FRAME = 1280
CODE_DIMENSIONS = 8
CODE_LEVELS = 4
FRAME_S = SAMPLES_PER_FRAME / SAMPLE_RATE_HZ

Pcm = NDArray[np.float32]  # samples in -1..1
Codes = NDArray[np.uint8]  # values 0..3, [8] for a frame, [n, 8] for a packet
