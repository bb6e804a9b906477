"""The second half of the voice's training: from a voice that was distilled, with a critic for what distillation averages away.

python -m codec.train.voice_detail --voice runs/voice-distilled --lessons runs/voice-data --out runs/voice
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from codec.data.voice_batches import VoiceBatches
from codec.network.critic import Critic
from codec.network.synthesis import FRAME_HOPS
from codec.network.voice import Said, Voice, VoiceConfig, load_voice
from codec.train.loop import Loop, LoopSettings, Metrics, bfloat16_is_faster
from codec.train.options import parse, training_parser
from codec.train.voice import WARM_UP_FRAMES, audible
from stream.errors import run_command

ADVERSARIAL, FEATURES = 0.5, 2.0  # against the mean absolute errors of both envelopes
CRITIC_HASTE = 2.0  # its learning rate, in those of the voice
BLUR = 3  # hops and knots over which the air's error is taken: its grain is chance and not to be imitated


class VoiceAndCritic(nn.Module):
    """What this training saves and averages."""

    def __init__(self, voice: Voice):
        super().__init__()
        self.voice = voice
        self.critic = Critic()


def blurred(x: Tensor) -> Tensor:
    """[B, R, K] -> means over BLUR x BLUR."""
    return F.avg_pool2d(x[:, None], BLUR, 1, BLUR // 2, count_include_pad=False)[:, 0]


def losses(model: VoiceAndCritic, batch: tuple[Said, Tensor, Tensor], half: bool) -> tuple[Tensor, Metrics]:
    """One sum whose gradients teach the voice with a critic that stands still, and the critic with a voice that does."""
    said, tone_target, air_target = batch
    skip = WARM_UP_FRAMES * FRAME_HOPS
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        tone, air, _ = model.voice.envelopes(said, model.voice.body.initial_state(tone_target.shape[0]))
        real = [audible(each[:, skip:]) for each in (tone_target, air_target)]
        made = [audible(each.float()[:, skip:]) for each in (tone, air)]
        heard = Said(*(each[:, WARM_UP_FRAMES:] for each in said))
        real_mark, real_features = model.critic(*real, heard)
        made_mark, _ = model.critic(*(each.detach() for each in made), heard)
        still = {name: weight.detach() for name, weight in model.critic.named_parameters()}
        mark, features = functional_call(model.critic, still, (*made, heard))
    tone_error = (made[0] - real[0]).abs().mean()
    air_error = (blurred(made[1]) - blurred(real[1])).abs().mean()
    likeness = torch.stack(
        [(a.float() - b.detach().float()).abs().mean() for a, b in zip(features, real_features, strict=True)]
    ).sum()
    fooled = (mark.float() - 1).square().mean()
    told = (real_mark.float() - 1).square().mean() + made_mark.float().square().mean()
    loss = tone_error + air_error + ADVERSARIAL * fooled + FEATURES * likeness + told
    shown = {"tone": tone_error, "air": air_error, "fooled": fooled, "told": told, "likeness": likeness}
    return loss, {name: float(value.detach()) for name, value in shown.items()}


def train(voice: Voice, batches: VoiceBatches, settings: LoopSettings, out: Path) -> None:
    """Train until the last step, from where `out` left off."""
    torch.manual_seed(settings.seed)
    model = VoiceAndCritic(voice.train())
    described = {"kind": "voice-detail", "network": asdict(voice.config), "rows": batches.rows, "frames": batches.frames}
    groups = [(model.voice.parameters(), 1.0), (model.critic.parameters(), CRITIC_HASTE)]
    loop = Loop(model, settings, out, described, groups)
    half = bfloat16_is_faster(torch.device("cpu"))

    def step_loss(rng: np.random.Generator, step: int) -> tuple[Tensor, Metrics]:
        return losses(model, batches.draw(rng), half)

    loop.run(step_loss)


def main(argv: list[str] | None = None) -> int:
    parser = training_parser("voice_detail", "Teach the voice detail with a critic.", 4000, 12, 5e-4)
    parser.add_argument("--voice", type=Path, required=True, help="run of codec.train.voice to begin with")
    parser.add_argument("--lessons", type=Path, required=True, help="folder of codec.data.voice_data")
    parser.add_argument("--frames", type=int, default=144, help="of 20 ms in a row (default: %(default)s)")
    args = parse(parser, argv)

    def command() -> int:
        batches = VoiceBatches(args.lessons, args.rows, args.frames, VoiceConfig().ahead_frames)
        train(load_voice(args.voice / "checkpoint.pt"), batches, LoopSettings(args.steps, args.rate), args.out)
        return 0

    return run_command("codec.train.voice_detail", command)


if __name__ == "__main__":
    sys.exit(main())
