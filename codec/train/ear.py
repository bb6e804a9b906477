"""The ear into the code: speech -> the same 16 bits, and both with the decoder after it.

    python -m codec.train.ear --code runs/code --corpus runs/corpus --corpus runs/spoken:0.3 --noise noise/ --out runs/ear

The head learns to say what the aligned phones say: through the decoder, which goes on learning at a lower rate and from known
phones beside it, and at first directly, towards the positions of the encoder of known phones. The ear begins with Moonshine's
weights and hears in blocks of 320, 640 and 960 ms.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.data.corpus import PackedCorpus
from codec.data.heard import Crop, Field, Recordings, plain_crop
from codec.data.noises import Noises
from codec.network.phones import PHONE_FRAMES_PER_CODE
from codec.network.quantizer import quantize
from codec.network.sender import Sender
from codec.network.weights import load_codec, load_phone_encoder
from codec.settings import NetworkSettings, network_settings
from codec.train.code import Code, used_bits
from codec.train.damage import random_flips, random_losses
from codec.train.loop import Loop, LoopSettings, Metrics, bfloat16_is_faster
from codec.train.options import parse, training_parser
from codec.train.targets import Target, batch_target, distance
from stream.errors import ClariError, run_command

CROP_FRAMES = 384
WARM_UP_FRAMES = 12
BLOCKS = (16, 32, 32, 48)  # ear frames per packet of the profiles
SET_ASIDE = 24  # speakers
JUDGED_ROWS = 48


@dataclass(frozen=True)
class EarSettings:
    """How fast the parts learn beside the head, and what guides it."""

    ear_factor: float = 0.12  # on the learning rate
    frozen_layers: int = 2  # of the ear, and its convolutions: what they hear is the same in blocks as in the whole utterance
    decoder_factor: float = 0.5
    code_weight: float = 0.5  # of the distance to the positions of known phones; fades out over half of the steps
    text_weight: float = 0.25  # of known phones through the same decoder


class Whole(nn.Module):
    """Sender, encoder of known phones and decoder."""

    def __init__(self, settings: NetworkSettings):
        super().__init__()
        self.sender = Sender(settings)
        self.code = Code(settings)


def collate(crops: list[Crop]) -> tuple[Tensor, Target]:
    """Crops -> samples [B, N] and their target."""
    return torch.from_numpy(np.stack([crop.samples for crop in crops])), batch_target([crop.parts for crop in crops], CROP_FRAMES)


def train(
    start: dict[str, Tensor],
    field: Field,
    settings: NetworkSettings,
    ear_settings: EarSettings,
    loop_settings: LoopSettings,
    out: Path,
    rows: int,
) -> Whole:
    """Train from the weights in `start`, or from where `out` left off; returns the averaged network."""
    torch.manual_seed(loop_settings.seed)
    model = Whole(settings)
    missing, unexpected = model.load_state_dict(start, strict=False)
    if unexpected or any(not name.startswith("sender.head") for name in missing):
        raise ClariError(f"the weights to begin with lack {(missing or unexpected)[0]}; give --code and --start of this version")
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_faster(torch.device("cpu")))
    frozen = [model.sender.ear.stem, *model.sender.ear.layers[: ear_settings.frozen_layers]]
    for module in frozen:
        module.requires_grad_(False)
    groups = [
        (model.sender.head.parameters(), 1.0),
        ((p for p in model.sender.ear.parameters() if p.requires_grad), ear_settings.ear_factor),
        (model.code.parameters(), ear_settings.decoder_factor),
    ]
    describe = {"kind": "ear", "network": asdict(settings), "ear": asdict(ear_settings), "rows": rows}
    loop = Loop(model, loop_settings, out, describe, groups)
    judged = [plain_crop(field.recordings, np.random.default_rng((3, row)), CROP_FRAMES) for row in range(JUDGED_ROWS)]

    def crops(step: int) -> list[Crop]:
        return [field.crop(np.random.default_rng((loop_settings.seed, step, row)), CROP_FRAMES) for row in range(rows)]

    pool = ThreadPoolExecutor(1)
    ahead = {loop.step: pool.submit(crops, loop.step)}

    def loss_of(rng: np.random.Generator, step: int) -> tuple[Tensor, Metrics]:
        ahead[step + 1] = pool.submit(crops, step + 1)
        samples, target = collate(ahead.pop(step).result())
        codes_in_crop = CROP_FRAMES // PHONE_FRAMES_PER_CODE
        lost, flips = random_losses(rng, rows, codes_in_crop), random_flips(rng, rows, codes_in_crop)
        blocks = torch.from_numpy(rng.choice(BLOCKS, rows))
        with autocast:
            positions = model.sender.whole(samples, blocks)
            known = model.code.encoder(target.phones, target.stress, target.prosody)
            codes, values = quantize(positions.float(), flips)
            _, known_values = quantize(known.float())
            said, _ = model.code.decoder(values, lost, model.code.decoder.initial_state(rows))
            clean, _ = model.code.decoder(known_values, torch.zeros_like(lost), model.code.decoder.initial_state(rows))
        loss, metrics = distance(said, target, WARM_UP_FRAMES)
        text_loss, text_metrics = distance(clean, target, WARM_UP_FRAMES)
        heard = F.max_pool1d((target.weight > 0).float().unsqueeze(1), PHONE_FRAMES_PER_CODE).squeeze(1)
        apart = ((positions.float() - known.detach().float()).abs().mean(2) * heard).sum() / heard.sum().clamp(min=1)
        fading = max(0.0, 1 - step / (0.5 * loop_settings.steps))
        total = loss + ear_settings.text_weight * text_loss + ear_settings.code_weight * fading * apart
        more = {"apart": float(apart.detach()), "text_right": text_metrics["phones_right"], "bits": used_bits(codes)}
        return total, metrics | more

    @torch.no_grad()
    def validate(average: dict[str, Tensor]) -> Metrics:
        copy = Whole(settings)
        copy.load_state_dict(average)
        copy.eval()
        found: list[Metrics] = []
        for begin in range(0, JUDGED_ROWS, 8):
            samples, target = collate(judged[begin : begin + 8])
            with autocast:
                positions = copy.sender.whole(samples, 32)
                codes, values = quantize(positions.float())
                said, _ = copy.code.decoder(values, torch.zeros(values.shape[:2]), copy.code.decoder.initial_state(len(values)))
                _, values = quantize(copy.code.encoder(target.phones, target.stress, target.prosody).float())
                clean, _ = copy.code.decoder(values, torch.zeros(values.shape[:2]), copy.code.decoder.initial_state(len(values)))
            text = distance(clean, target, WARM_UP_FRAMES)[1]
            found.append(distance(said, target, WARM_UP_FRAMES)[1] | {"text_right": text["phones_right"], "bits": used_bits(codes)})
        return {name: float(np.mean([each[name] for each in found])) for name in found[0]}

    loop.run(loss_of, validate, validate_every=250)
    model.load_state_dict(loop.average)
    return model


def starting_weights(code: Path | None, start: Path | None) -> dict[str, Tensor]:
    """Weights of a run of this module or of a file of weights, or of a run of codec.train.code with Moonshine's ear before it.

    Raises:
        ClariError: there is no such run or file.
    """
    from codec.pretrained.moonshine import load_ear

    if start is not None and start.suffix == ".safetensors":
        codec, phone_encoder = load_codec(start)[0], load_phone_encoder(start)
        parts = {"sender": codec.sender, "code.decoder": codec.decoder, "code.encoder": phone_encoder}
        return {f"{prefix}.{name}": value for prefix, part in parts.items() for name, value in part.state_dict().items()}
    source = start or code
    if source is None or not (source / "checkpoint.pt").is_file():
        raise ClariError(f"{source}: no training run to begin with; give --code, the run of codec.train.code, or --start")
    found: dict[str, Tensor] = torch.load(source / "checkpoint.pt", weights_only=True)["average"]
    if start is not None:
        return found
    ear = {f"sender.ear.{name}": value for name, value in load_ear().state_dict().items()}
    return ear | {f"code.{name}": value for name, value in found.items()}


def parse_share(text: str) -> tuple[Path, float]:
    """FOLDER or FOLDER:SHARE."""
    folder, _, share = text.partition(":")
    return Path(folder), float(share or 1)


def main(argv: list[str] | None = None) -> int:
    parser = training_parser("ear", "Learn to hear into the code.", 3000, 8, 1e-3)
    parser.add_argument("--code", type=Path, help="run of codec.train.code to begin with")
    parser.add_argument("--start", type=Path, help="instead: a run of this module, or a file of weights")
    parser.add_argument(
        "--corpus", type=parse_share, action="append", required=True, help="FOLDER[:SHARE] of the crops; the first judges"
    )
    parser.add_argument("--noise", type=Path, help="folder of noises")
    parser.add_argument("--rooms", type=Path, help="packed room responses")
    parser.add_argument("--config", type=Path, help="TOML file with [network]")
    args = parse(parser, argv)

    def command() -> int:
        noises = Noises(args.noise, held_out=False) if args.noise else None
        rooms = PackedCorpus(args.rooms) if args.rooms else None
        field = Field(Recordings(dict(args.corpus), SET_ASIDE), noises, rooms)
        weights = starting_weights(args.code, args.start)
        train(
            weights, field, network_settings(args.config), EarSettings(), LoopSettings(args.steps, args.rate), args.out, args.rows
        )
        return 0

    return run_command("codec.train.ear", command)


if __name__ == "__main__":
    sys.exit(main())
