"""faster-whisper as a judge: much the better recogniser, for whoever has its package and a network or a model folder.

It fetches its model by itself the first time (75 MB for `base.en`), and it is imported only when asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from stream.errors import ClariError

DEFAULT_MODEL = "base.en"
COMPUTE_TYPE = "int8"  # on the processor, where every machine has it
SPELLED_OUT = "0123456789%$£"  # transcripts hold words: a judge that writes "20" would count as wrong


def _model_name(model: str) -> str:
    """The model as the judge's name shows it: of a folder the weights' hash, because another may lie there tomorrow."""
    weights = Path(model) / "model.bin"
    if not weights.is_file():
        return model
    with weights.open("rb") as file:
        return f"{Path(model).name} {hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


class WhisperJudge:
    """OpenAI's Whisper (Radford et al. 2022, arXiv 2212.04356) in CTranslate2, on the processor.

    Beam search at temperature 0 without the text before, so that a hypothesis depends on its recording alone.
    """

    def __init__(self, model: str = DEFAULT_MODEL, workers: int = 2):
        """Load a model by size, Hugging Face name or folder.

        Raises:
            ClariError: the package is not installed or the model cannot be had.
        """
        try:
            from faster_whisper import WhisperModel

            installed = version("faster-whisper")
        except (ImportError, PackageNotFoundError):
            raise ClariError("judge faster-whisper is not installed; install: pip install 'clari[whisper]'") from None
        try:
            self.model: Any = WhisperModel(model, device="cpu", compute_type=COMPUTE_TYPE, cpu_threads=workers)
        except Exception as error:  # of the hub, the network, the file system or CTranslate2: all mean that there is no model
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
            raise ClariError(
                f"faster-whisper cannot load {model!r} ({reason}); connect to a network once or give a folder: "
                "--judge faster-whisper:FOLDER"
            ) from None
        vocabulary = self.model.hf_tokenizer.get_vocab()
        digits = [
            number for token, number in vocabulary.items() if not token.startswith("<|") and any(c in token for c in SPELLED_OUT)
        ]
        self.suppressed = [-1, *sorted(digits)]  # -1: the symbols that Whisper itself suppresses
        self.name = f"faster-whisper {installed} {_model_name(model)} {COMPUTE_TYPE}"

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        """See Judge.transcribe."""
        for audio in audios:
            segments, _ = self.model.transcribe(
                audio.astype(np.float32) / 32768,
                language="en",
                beam_size=5,
                temperature=0.0,
                condition_on_previous_text=False,
                without_timestamps=True,
                suppress_tokens=self.suppressed,
            )
            yield " ".join(segment.text.strip() for segment in segments)
