"""Weights outside of a run: one safetensors file in shipped precision with its configuration inside.

    python -m codec.weights --codec runs/codec --vocoder runs/vocoder --out codec/weights/base.safetensors
    python -m codec.weights --recognizer runs/recognizer --out codec/weights/recognizer.safetensors

What ships was rounded (codec/precision.py), so these files hold it exactly in float16: training goes on from them, and export
and evaluation read them. Wherever a run folder is asked for, such a file may stand instead.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from codec.config import Config, ConfigError, ModelConfig, config_from_dict
from codec.model import Codec
from codec.network.precision import round_to_shipped
from codec.recognizer import Recognizer
from codec.run import Run, RunError
from codec.vocoder import Vocoder
from stream.errors import UsageError, run_command

SHIPPED = Path(__file__).parent / "weights"


def save_weights(path: Path, state: dict[str, Tensor], config: Config, training: str) -> None:
    """Write weights as float16 with the configuration they were trained with."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"config": json.dumps(dataclasses.asdict(config)), "training": training}
    save_file({name: tensor.half().contiguous() for name, tensor in state.items()}, path, metadata)


def read_weights(path: Path) -> tuple[dict[str, Tensor], Config, str]:
    """Weights as float32, configuration and training of a file or of a run folder.

    Raises:
        RunError: neither a run nor a weights file.
    """
    if not path.is_file():
        run = Run(path)
        config = run.config()
        state, step = run.average_weights()
        return state, config, f"{path.name} step {step}"
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no mapping
        return state, config_from_dict(json.loads(metadata["config"]), str(path)), metadata["training"]
    except (SafetensorError, KeyError, ConfigError, json.JSONDecodeError):
        raise RunError(f"{path} holds no clari weights; give a run folder or a file that codec.weights wrote") from None


def fill(module: nn.Module, state: dict[str, Tensor], source: Path) -> None:
    """Load weights into a module.

    Raises:
        RunError: they belong to a network of another shape.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError:
        raise RunError(f"{source} fits another configuration; take the [model] section it was trained with") from None


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights of one part of a whole codec; a state that holds only that part passes as it is."""
    inside = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return inside or state


def assemble(codec_source: Path, vocoder_source: Path) -> tuple[Codec, Config, str]:
    """A whole codec in shipped precision from a mel codec and a vocoder (runs or files), and what trained it."""
    state, config, training = read_weights(codec_source)
    voice, _, voice_training = read_weights(vocoder_source)
    codec = Codec(config.model)
    fill(codec.mel_codec, part(state, "mel_codec."), codec_source)
    fill(codec.vocoder, part(voice, "vocoder."), vocoder_source)
    round_to_shipped(codec, codec.large_matrices())
    return codec.eval(), config, training if codec_source == vocoder_source else f"{training}, {voice_training}"


def load_recognizer(source: Path, mels: int) -> Recognizer:
    """A frozen recogniser from a run or file."""
    state, config, _ = read_weights(source)
    recognizer = Recognizer(config.recognizer, mels)
    fill(recognizer, state, source)
    return recognizer.eval().requires_grad_(False)


def load_vocoder(source: Path, model: ModelConfig) -> Vocoder:
    """A frozen vocoder from a run or file."""
    vocoder = Vocoder(model)
    fill(vocoder, part(read_weights(source)[0], "vocoder."), source)
    return vocoder.eval().requires_grad_(False)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m codec.weights", description="Write a run's averaged weights as one file.")
    parser.add_argument("--codec", type=Path, help="run or file of the mel codec")
    parser.add_argument("--vocoder", type=Path, help="run or file of the vocoder")
    parser.add_argument("--recognizer", type=Path, help="run of the recogniser")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    args = parser.parse_args(argv)

    def command() -> int:
        if args.recognizer and not (args.codec or args.vocoder):
            save_weights(args.out, *read_weights(args.recognizer))
        elif args.codec and args.vocoder and not args.recognizer:
            codec, config, training = assemble(args.codec, args.vocoder)
            save_weights(args.out, codec.state_dict(), config, training)
        else:
            raise UsageError("give --codec and --vocoder, or --recognizer")
        print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")
        return 0

    return run_command("codec.weights", command)


if __name__ == "__main__":
    sys.exit(main())
