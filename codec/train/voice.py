"""Distil hibari's decoder into the voice.

python -m codec.train.voice --lessons runs/voice-data --out runs/voice --steps 6000

The lessons come from `codec.data.voice_data`, which may still be at it: new shards are taken in as they appear. `load_voice` reads
the run's checkpoint at any time.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codec.data.voice_batches import VoiceBatches
from codec.data.voice_data import read_sentences, write_shards
from codec.network.synthesis import FRAME_HOPS
from codec.network.voice import Voice, VoiceConfig, load_voice
from codec.network.weights import load_codec
from codec.train.loop import Loop, LoopSettings, Metrics, bfloat16_is_faster
from codec.train.options import parse, training_parser
from stream.errors import ClariError, run_command

WARM_UP_FRAMES = 16  # at the start of a row, whose past the network does not know
QUIET, QUIET_WEIGHT = -8.0, 0.25  # amplitudes below exp(-8) = -69 dB of full scale count less
REFRESH_STEPS = 200


def audible(x: Tensor) -> Tensor:
    """Logarithms of amplitudes, with what is hardly heard moved together."""
    return torch.where(x > QUIET, x, QUIET + QUIET_WEIGHT * (x - QUIET))


def loss_of(tone: Tensor, air: Tensor, tone_target: Tensor, air_target: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute errors of both envelopes [B, 2 T, KNOTS], in natural logarithms, behind the warm-up."""
    found = torch.stack([audible(tone), audible(air)])
    wanted = torch.stack([audible(tone_target), audible(air_target)])
    error = (found - wanted).abs()[:, :, WARM_UP_FRAMES * FRAME_HOPS :].mean(dim=(1, 2, 3))
    return error[0], error[1]


def train(batches: VoiceBatches, settings: LoopSettings, out: Path, start: Path | None = None) -> Voice:
    """Train until the last step, from where `out` left off or from the voice in `start`; returns the averaged voice."""
    torch.manual_seed(settings.seed)
    if start is None:
        voice = Voice()
    else:
        voice = load_codec(start)[0].voice if start.suffix == ".safetensors" else load_voice(start)
        voice.train().requires_grad_(True)
    shape = {"rows": batches.rows, "frames": batches.frames}
    loop = Loop(voice, settings, out, {"kind": "voice", "network": asdict(voice.config), **shape})
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_faster(torch.device("cpu")))

    def step_loss(rng: np.random.Generator, step: int) -> tuple[Tensor, Metrics]:
        if step % REFRESH_STEPS == 0:
            batches.refresh()
        said, tone_target, air_target = batches.draw(rng)
        with autocast:
            tone, air, _ = voice.envelopes(said, voice.body.initial_state(batches.rows))
        tone_error, air_error = loss_of(tone.float(), air.float(), tone_target, air_target)
        return tone_error + air_error, {
            "tone": float(tone_error.detach()),
            "air": float(air_error.detach()),
            "hours": batches.hours,
        }

    loop.run(step_loss)
    voice.load_state_dict(loop.average)
    return voice


def main(argv: list[str] | None = None) -> int:
    parser = training_parser("voice", "Distil hibari's decoder into the voice.", 6000, 16, 1.5e-3)
    parser.add_argument("--sentences", type=Path, help="text file, one sentence a line: lessons that are missing are made")
    parser.add_argument("--lessons", type=Path, help="folder of codec.data.voice_data (default: OUT-data)")
    parser.add_argument("--count", type=int, default=3000, help="sentences to be said for the lessons (default: %(default)s)")
    parser.add_argument("--start", type=Path, help="checkpoint of a voice, or file of weights, to begin with")
    parser.add_argument("--frames", type=int, default=176, help="of 20 ms in a row (default: %(default)s)")
    args = parse(parser, argv)

    def command() -> int:
        lessons = args.lessons or args.out.with_name(args.out.name + "-data")
        if args.sentences is not None:
            write_shards(read_sentences(args.sentences), lessons, args.count)
        if not any(lessons.glob("*.npz")):
            raise ClariError(f"there are no lessons in {lessons}; name a text file with --sentences")
        batches = VoiceBatches(lessons, args.rows, args.frames, VoiceConfig().ahead_frames)
        train(batches, LoopSettings(args.steps, args.rate), args.out, args.start)
        return 0

    return run_command("codec.train.voice", command)


if __name__ == "__main__":
    sys.exit(main())
