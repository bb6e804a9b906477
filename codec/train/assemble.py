"""The parts that were trained become one file of weights.

python -m codec.train.assemble --ear runs/ear --voice runs/voice --out codec/weights/base.safetensors
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from codec.network.codec import Codec
from codec.network.encoder import PhoneEncoder
from codec.network.voice import load_voice
from codec.network.weights import save_codec
from codec.revision import git_revision
from codec.settings import settings_from
from stream.errors import ClariError, run_command


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def assemble(ear: Path, voice: Path, out: Path) -> None:
    """Write the averaged weights of a run of codec.train.ear and one of codec.train.voice as one file.

    Raises:
        ClariError: a run is missing.
    """
    for run in (ear, voice):
        if not (run / "checkpoint.pt").is_file():
            raise ClariError(f"{run}: no training run; train it first (codec/recipe.sh)")
    described = json.loads((ear / "settings.json").read_text(encoding="utf-8"))
    found = torch.load(ear / "checkpoint.pt", map_location="cpu", weights_only=True)
    settings = settings_from(described["network"])
    codec, phone_encoder = Codec(settings), PhoneEncoder()
    codec.sender.load_state_dict(part(found["average"], "sender."))
    codec.decoder.load_state_dict(part(found["average"], "code.decoder."))
    phone_encoder.load_state_dict(part(found["average"], "code.encoder."))
    codec.voice.load_state_dict(load_voice(voice / "checkpoint.pt").state_dict())
    about = {
        "training": f"codec/recipe.sh, {found['step']} steps of the ear",
        "training_revision": git_revision(),
        "configuration": json.dumps(described),
    }
    save_codec(out, codec, phone_encoder, about)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m codec.train.assemble", description="Write what was trained as one file.")
    parser.add_argument("--ear", type=Path, required=True, help="run of codec.train.ear")
    parser.add_argument("--voice", type=Path, required=True, help="run of codec.train.voice")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    args = parser.parse_args(argv)

    def command() -> int:
        assemble(args.ear, args.voice, args.out)
        print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")
        return 0

    return run_command("codec.train.assemble", command)


if __name__ == "__main__":
    sys.exit(main())
