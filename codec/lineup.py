"""Which systems stand in the table, in which order and under which names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codec.baselines import CODEC2_MODES, Codec2System, OpusSystem
from codec.systems import ClariSystem, System, UnavailableError, Unchanged, UnroundedSystem, VocoderSystem
from stream.errors import UsageError

ORIGINAL, NOISY = "original", "noisy"
_CODEC2 = {f"codec2-{mode.mode.lower()}": mode for mode in CODEC2_MODES}
SYSTEM_NAMES = (ORIGINAL, "vocoder", UnroundedSystem.name, "clari", *_CODEC2, OpusSystem.name)


def is_clari(name: str) -> bool:
    """Whether a row is a model of clari."""
    return name.split("-")[0] == "clari"


def clari_rows(models: Sequence[str]) -> dict[str, str]:
    """Row name -> model: `clari`, or `clari-NAME` for each of several models, NAME being the last part of a path.

    Raises:
        UsageError: two rows would have one name.
    """
    if len(models) == 1:
        return {"clari": models[0]}
    rows: dict[str, str] = {}
    for model in models:
        name = f"clari-{Path(model).resolve().name}"
        if name in rows:
            raise UsageError(f"--model {rows[name]} and --model {model} would both be {name}; rename one of the folders")
        rows[name] = model
    return rows


def build_systems(
    names: Sequence[str], models: Sequence[str], vocoder: Path, noisy: bool = False
) -> tuple[list[System], dict[str, str]]:
    """The named systems in the table's order and why others were left out, by name.

    The original is always first; where noise was added, what everyone heard is second.

    Raises:
        FileError, ModelError: the vocoder's or a model's weights cannot be loaded.
        UsageError: two models have one name.
    """
    systems: list[System] = [Unchanged(ORIGINAL), *([Unchanged(NOISY)] if noisy else [])]
    skipped = {}
    for name in (name for name in SYSTEM_NAMES[1:] if name in names):
        try:
            if name in ("vocoder", UnroundedSystem.name):
                if not vocoder.exists():
                    raise UnavailableError(f"{vocoder} is missing; give a weights file or run folder with --vocoder")
                systems.append(VocoderSystem(vocoder) if name == "vocoder" else UnroundedSystem(vocoder))
            elif name == "clari":
                systems += [ClariSystem(model, row) for row, model in clari_rows(models).items()]
            else:
                systems.append(Codec2System(_CODEC2[name]) if name in _CODEC2 else OpusSystem())
        except UnavailableError as error:
            skipped[name] = str(error)
    return systems, skipped
