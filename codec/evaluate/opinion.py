"""Guesses of what listeners would say of decoded speech, without its original: DistillMOS and DNSMOS.

Both are networks that learned from listeners' marks, 1 (bad) to 5 (excellent). They judge how natural and clean speech
sounds, not what it says nor who speaks, which suits a codec whose voice is another one. Neither trained anything here.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from stream.errors import ClariError
from stream.frame import SAMPLE_RATE_HZ

DNSMOS_WINDOW_S = 9.01
DNSMOS_HOP_S = 1
# From the network's raw overall mark to the scale of listeners (Microsoft's DNS-Challenge, dnsmos_local.py).
DNSMOS_OVERALL = np.poly1d([-0.06766283, 1.11546468, 0.04602535])

_loading = threading.Lock()


@contextlib.contextmanager
def _no_torchaudio() -> Iterator[None]:
    """An empty module in its place: distillmos imports it for a command line of its own, and torchaudio's wheels on PyPI,
    built for CUDA, fail to load beside a CPU build of torch."""
    if "torchaudio" in sys.modules:
        yield
        return
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    try:
        yield
    finally:
        del sys.modules["torchaudio"]


@cache
def _distillmos() -> Any:
    import torch

    torch.set_num_threads(1)  # sums in one order: the same digits on any number of cores
    # It tells on stdout, which is for data, where its weights are.
    with _no_torchaudio(), contextlib.redirect_stdout(io.StringIO()):
        from distillmos import ConvTransformerSQAModel

        return ConvTransformerSQAModel().eval()


def _first(load: Callable[[], Any]) -> Any:
    """What a cached function gives; of several threads one loads."""
    with _loading:
        return load()


def distillmos(samples: np.ndarray) -> float:
    """DistillMOS of samples [N] at 16 kHz, the mean over windows of 7.7 s (Stahl and Gamper 2025, arXiv 2502.05356).

    Raises:
        ClariError: the package cannot be used.
    """
    import torch

    try:
        model = _first(_distillmos)
    except ImportError as error:
        raise ClariError(f"DistillMOS cannot be used ({error}); install: pip install 'clari[eval]'") from None
    with torch.inference_mode():
        return float(model(torch.from_numpy(np.array(samples, np.float32))[None]))


@cache
def _dnsmos() -> Any:
    import onnxruntime

    # The package's own module wants librosa and requests; its network alone needs neither.
    found = find_spec("speechmos")
    if found is None or not found.submodule_search_locations:
        raise ClariError("DNSMOS is not installed; install: pip install 'clari[eval]'")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = Path(found.submodule_search_locations[0]) / "dnsmos_models" / "sig_bak_ovr.onnx"
    return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])


def dnsmos(samples: np.ndarray) -> float:
    """Overall mark of DNSMOS P.835 of samples [N] in -1..1 at 16 kHz, the mean over windows of 9 s, one per second.

    Reddy et al. 2022 (arXiv 2110.01763). Shorter speech is repeated, as the authors do. NaN for no samples at all.

    Raises:
        ClariError: the package is not installed.
    """
    if not len(samples):
        return float("nan")
    session = _first(_dnsmos)
    window_samples = int(DNSMOS_WINDOW_S * SAMPLE_RATE_HZ)
    heard = np.clip(samples, -1, 1).astype(np.float32)
    while len(heard) < window_samples:
        heard = np.concatenate([heard, heard])
    windows = int(len(heard) // SAMPLE_RATE_HZ - DNSMOS_WINDOW_S) + 1
    starts = [window * DNSMOS_HOP_S * SAMPLE_RATE_HZ for window in range(windows)]
    marks = [session.run(None, {"input_1": heard[None, start : start + window_samples]})[0][0, 2] for start in starts]
    return float(np.mean(DNSMOS_OVERALL(np.array(marks, np.float64))))
