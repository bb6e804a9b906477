"""Distil hibari's decoder into the voice.

    python -m codec.train.voice --sentences FILE --out runs/voice --steps N --threads 1

Lessons come from OUT-data (`codec.data.voice_data` writes them; another process may still be at it). Every few minutes OUT/last.pt
is replaced: weights (averaged), the raw ones, optimizer, generator and step, from which the same command goes on exactly.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codec.data.voice_batches import VoiceBatches
from codec.data.voice_data import read_sentences, write_shards
from codec.network.synthesis import FRAME_HOPS
from codec.network.voice import Voice, VoiceConfig

WARM_UP_FRAMES = 16  # at the start of a row, whose past the network does not know
AVERAGE_DECAY = 0.999
QUIET, QUIET_WEIGHT = -8.0, 0.25  # amplitudes below exp(-8) = -69 dB of full scale count less
TONELESS = -13.5  # below it there is no tone, and how deep it lies is nobody's concern
REFRESH_STEPS, SAVE_S, REPORT_STEPS = 200, 180, 50


def audible(x: Tensor) -> Tensor:
    """Logarithms of amplitudes, with what is hardly heard moved together."""
    return torch.where(x > QUIET, x, QUIET + QUIET_WEIGHT * (x - QUIET))


def loss_of(tone: Tensor, air: Tensor, tone_target: Tensor, air_target: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute errors of both envelopes [B, 2 T, KNOTS], in natural logarithms, behind the warm-up."""
    found = torch.stack([audible(tone), audible(air)])
    wanted = torch.stack([audible(tone_target), audible(air_target)])
    error = (found - wanted).abs()[:, :, WARM_UP_FRAMES * FRAME_HOPS :].mean(dim=(1, 2, 3))
    return error[0], error[1]


class Training:
    """A voice in the making and everything needed to go on with it."""

    def __init__(self, out: Path, batches: VoiceBatches, steps: int, rate: float, half: bool):
        self.out, self.batches, self.steps, self.rate, self.half = out, batches, steps, rate, half
        torch.manual_seed(0)
        self.voice = Voice(VoiceConfig())
        self.average = {name: value.clone() for name, value in self.voice.state_dict().items()}
        decayed = [weight for weight in self.voice.parameters() if weight.ndim > 1]
        others = [weight for weight in self.voice.parameters() if weight.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
        self.rng = np.random.default_rng(1)
        self.step = 0

    @property
    def checkpoint(self) -> Path:
        return self.out / "last.pt"

    def save(self) -> None:
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(
            {
                "config": asdict(self.voice.config),
                "weights": self.average,
                "raw": self.voice.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "generator": self.rng.bit_generator.state,
                "step": self.step,
            },
            partial,
        )
        partial.replace(self.checkpoint)

    def restore(self) -> None:
        found = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.average = found["weights"]
        self.voice.load_state_dict(found["raw"])
        self.optimizer.load_state_dict(found["optimizer"])
        self.rng.bit_generator.state = found["generator"]
        self.step = found["step"]

    def rate_now(self) -> float:
        """Half a cosine behind 200 steps of warming up."""
        return self.rate * min(1, (self.step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.step / self.steps)))

    def advance(self) -> tuple[float, float]:
        """One step; the two errors."""
        said, tone_target, air_target = self.batches.draw(self.rng)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate_now()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            tone, air, _ = self.voice.envelopes(said, self.voice.body.initial_state(said.pitch.shape[0]))
        tone_loss, air_loss = loss_of(tone.float(), air.float(), tone_target, air_target)
        self.optimizer.zero_grad(set_to_none=True)
        (tone_loss + air_loss).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.voice.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(AVERAGE_DECAY, self.step / (self.step + 20))
        with torch.no_grad():
            for name, value in self.voice.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
        return float(tone_loss.detach()), float(air_loss.detach())

    def run(self) -> None:
        saved, began, errors = time.monotonic(), time.monotonic(), []
        while self.step < self.steps:
            if self.step % REFRESH_STEPS == 0:
                self.batches.refresh()
            errors.append(self.advance())
            if self.step % REPORT_STEPS == 0:
                tone, air = np.mean(errors, axis=0)
                pace = (time.monotonic() - began) / len(errors)
                print(f"step {self.step} tone {tone:.4f} air {air:.4f} s/step {pace:.2f} of {self.batches.hours:.1f} h", flush=True)
                errors, began = [], time.monotonic()
            if time.monotonic() - saved > SAVE_S:
                self.save()
                saved = time.monotonic()
        self.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=Path, help="text file, one sentence a line; only needed where OUT-data is empty")
    parser.add_argument("--out", type=Path, default=Path("runs/voice"))
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--frames", type=int, default=176, help="of 20 ms in a row")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--float32", action="store_true", help="no bfloat16, for processors without units for it")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = args.out.with_name(args.out.name + "-data")
    if not any(data.glob("*.npz")):
        if args.sentences is None:
            parser.error(f"there are no lessons in {data}: name a text file with --sentences")
        write_shards(read_sentences(args.sentences), data, count=6000)
    args.out.mkdir(parents=True, exist_ok=True)
    training = Training(args.out, VoiceBatches(data, args.rows, args.frames), args.steps, args.rate, not args.float32)
    if training.checkpoint.exists():
        training.restore()
    training.run()


if __name__ == "__main__":
    main()
