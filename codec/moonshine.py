"""Moonshine as a judge: a small transformer that understands clear speech nearly as people do, without a network.

Jeffries et al. 2024, arXiv 2410.15608. The releases of its package that the extra `moonshine` names carry the English model
of 27 M parameters in the wheel (MIT licence). Numbers that it writes in digits count as words that are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from codec.judge import listen
from stream.errors import ClariError
from stream.frame import SAMPLE_RATE_HZ

MODEL = "tiny-en"
WHOLE = {"vad_threshold": 0, "identify_speakers": "false", "return_audio_data": "false"}  # an utterance is not cut into lines

CURE = "install: pip install 'clari[moonshine]'"

_transcriber: Any = None  # one per process of the pool


def _load() -> None:
    global _transcriber
    from moonshine_voice import ModelArch, Transcriber, get_model_path

    _transcriber = _transcriber or Transcriber(get_model_path(MODEL), ModelArch.TINY, options=WHOLE)


def _recognize(audio: np.ndarray) -> str:
    if not len(audio):
        return ""
    heard = _transcriber.transcribe_without_streaming((audio.astype(np.float32) / 32768).tolist(), SAMPLE_RATE_HZ)
    return " ".join(line.text.strip() for line in heard.lines)


def model_folder() -> Path:
    """Where the package keeps its model.

    Raises:
        ClariError: the package is not installed, or is one that has no model inside.
    """
    try:
        installed = version("moonshine-voice")
        from moonshine_voice import get_model_path
    except (ImportError, PackageNotFoundError):
        raise ClariError(f"moonshine is not installed; {CURE}") from None
    except OSError:  # it imports sounddevice, although it need not record
        raise ClariError("moonshine needs the PortAudio library; install: apt-get install libportaudio2") from None
    folder = Path(get_model_path(MODEL))
    if not any(folder.glob("*.ort")):
        raise ClariError(f"moonshine-voice {installed} comes without a model; {CURE}")
    return folder


class MoonshineJudge:
    """Moonshine tiny by onnxruntime on the processor, ten times as fast as real time on one core."""

    def __init__(self, workers: int = 2):
        """Find package and model. `workers`: processes that listen; 0: this one does.

        Raises:
            ClariError: the package is not installed, or is one that has no model inside.
        """
        self.workers = workers
        model_folder()
        self.name = f"moonshine {version('moonshine-voice')} {MODEL}"

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        """See Judge.transcribe.

        Raises:
            ClariError: a recogniser process died.
        """
        return listen(audios, self.workers, _load, _recognize)
