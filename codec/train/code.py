"""The code, from text alone: phones, stress, pitch and energy -> 16 bits -> the same, learned without any audio.

    python -m codec.train.code --frames runs/spoken --out runs/code --steps 4000

Sixteen bits per 80 ms have to hold what a voice is to say. Encoder of known phones, code and decoder learn it from unlimited
text, which a synthesiser times and intones; then the ear learns the code. A second folder of frames, of real speech, brings the
timing that people have.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from codec.data.frames import FRAMES_FILE, FrameFile, Frames
from codec.data.variation import revoiced, roughened
from codec.network.decoder import Decoder, Scores
from codec.network.encoder import PhoneEncoder
from codec.network.quantizer import quantize
from codec.settings import NetworkSettings, network_settings
from codec.train.damage import random_flips, random_losses
from codec.train.loop import Loop, LoopSettings, Metrics, bfloat16_is_faster
from codec.train.options import parse, training_parser
from codec.train.targets import Target, batch_target, distance
from stream.errors import run_command

CROP_FRAMES = 384  # 7.68 s
WARM_UP_FRAMES = 16  # at the beginning of a crop, before which the codes that belong to it are missing
FEWEST_FRAMES = 20  # of an utterance
HELD_BACK = 100  # utterances of each folder that only judge
ROUGHENED_SHARE = 0.85


class Code(nn.Module):
    """Encoder of known phones, and the decoder of what they become."""

    def __init__(self, settings: NetworkSettings):
        super().__init__()
        self.encoder = PhoneEncoder()
        self.decoder = Decoder(settings.decoder_widths, settings.decoder_blocks)

    def forward(self, target: Target, lost: Tensor, flips: Tensor | None) -> tuple[Scores, Tensor]:
        """Frames [B, 4 T], lost flags [B, T], wrong bits [B, T, 8] -> what the decoder says, and codes [B, T, 8]."""
        codes, values = quantize(self.encoder(target.phones, target.stress, target.prosody), flips)
        said, _ = self.decoder(values, lost, self.decoder.initial_state(len(values)))
        return said, codes


class Text:
    """Crops of spoken frames, varied."""

    def __init__(self, folders: list[Path]):
        self.files = [FrameFile(folder / FRAMES_FILE) for folder in folders]
        self.usable = [np.flatnonzero(file.lengths >= FEWEST_FRAMES) for file in self.files]

    def draw(self, rng: np.random.Generator, held_back: bool) -> tuple[Frames, float]:
        """One utterance, varied, and the size of who says it."""
        which = int(rng.integers(len(self.files)))
        usable = self.usable[which]
        frames = self.files[which][int(rng.choice(usable[:HELD_BACK] if held_back else usable[HELD_BACK:]))]
        if not held_back and rng.random() < ROUGHENED_SHARE:
            frames = roughened(frames, rng)
        return revoiced(frames, rng)

    def batch(self, rng: np.random.Generator, rows: int, held_back: bool = False) -> Target:
        """`rows` rows of CROP_FRAMES frames: utterances one after another, the first from a random place on."""
        items = []
        for _ in range(rows):
            frames, size = self.draw(rng, held_back)
            begin = int(rng.integers(0, max(1, len(frames) - CROP_FRAMES // 2)))
            parts = [(frames.cut(begin, len(frames)), size)]
            while sum(len(part) for part, _ in parts) < CROP_FRAMES:
                parts.append(self.draw(rng, held_back))
            items.append(parts)
        return batch_target(items, CROP_FRAMES)


def train(
    text: Text, settings: NetworkSettings, loop_settings: LoopSettings, out: Path, rows: int, start: Path | None = None
) -> Code:
    """Train until the last step, from where `out` left off or from the run in `start`; returns the averaged network."""
    torch.manual_seed(loop_settings.seed)
    model = Code(settings)
    if start is not None:
        model.load_state_dict(torch.load(start / "checkpoint.pt", weights_only=True)["average"])
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_faster(torch.device("cpu")))
    loop = Loop(model, loop_settings, out, {"kind": "code", "network": asdict(settings), "rows": rows})
    judged = text.batch(np.random.default_rng(0), 2 * rows, held_back=True)

    def loss_of(rng: np.random.Generator, step: int) -> tuple[Tensor, Metrics]:
        target = text.batch(rng, rows)
        shape = (rows, CROP_FRAMES // 4)
        with autocast:
            said, codes = model(target, random_losses(rng, *shape), random_flips(rng, *shape))
        loss, metrics = distance(said, target, WARM_UP_FRAMES)
        return loss, metrics | {"bits": used_bits(codes)}

    @torch.no_grad()
    def validate(average: dict[str, Tensor]) -> Metrics:
        copy = Code(settings)
        copy.load_state_dict(average)
        said, codes = copy(judged, torch.zeros(2 * rows, CROP_FRAMES // 4), None)
        return distance(said, judged, WARM_UP_FRAMES)[1] | {"bits": used_bits(codes)}

    loop.run(loss_of, validate)
    model.load_state_dict(loop.average)
    return model


def used_bits(codes: Tensor) -> float:
    """Entropy in bits of codes [B, T, 8], each dimension on its own."""
    share = torch.stack([(codes == level).float().mean((0, 1)) for level in range(4)])
    return float(-(share * torch.log2(share.clamp(min=1e-9))).sum())


def main(argv: list[str] | None = None) -> int:
    parser = training_parser("code", "Learn the code from text alone.", 6000, 10, 1.5e-3)
    parser.add_argument(
        "--frames", type=Path, action="append", required=True, help="corpus folder with frames.npz; several may be given"
    )
    parser.add_argument("--start", type=Path, help="run of this module to begin with")
    parser.add_argument("--config", type=Path, help="TOML file with [network]")
    args = parse(parser, argv)

    def command() -> int:
        train(
            Text(args.frames), network_settings(args.config), LoopSettings(args.steps, args.rate), args.out, args.rows, args.start
        )
        return 0

    return run_command("codec.train.code", command)


if __name__ == "__main__":
    sys.exit(main())
