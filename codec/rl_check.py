"""What the numbers of a stage 2 experiment must be before it is begun."""

from __future__ import annotations

from codec.config import Config, ConfigError
from codec.listener import needs_samples
from codec.rewards import REWARDS, rough


def check(config: Config) -> None:
    """Raise ConfigError for numbers that cannot be meant."""
    rl, settings = config.rl, config.train
    unknown = sorted(set(config.reward) - set(REWARDS))
    counted = [] if unknown else rough(config.reward)
    uneven = rl.updates < 1 or settings.save_every % rl.updates or settings.steps % rl.updates
    for wrong, message in (
        (unknown, f"[reward] knows no {unknown[:1]}; known are {', '.join(REWARDS)}"),
        (not any(config.reward.values()), "[reward] weighs nothing; give at least one weight, like cer = 1.0"),
        (not settings.initial, "train.initial is empty; name the trained codec to start from, a run folder or weights file"),
        (rl.group < 1 or (rl.group < 2 and rl.weight), f"rl.group is {rl.group}, nothing to compare; take 8 to 16"),
        (rl.temperature <= 0, f"rl.temperature is {rl.temperature:g}; it must be more than 0"),
        (rl.gradient not in ("draws", "slope"), f"rl.gradient is {rl.gradient!r}; write draws or slope"),
        (rl.gradient == "slope" and bool(rl.rounds), 'rl.rounds searches by comparing; it needs rl.gradient = "draws"'),
        (
            rl.gradient == "slope" and bool(counted),
            f'[reward] counts {counted[:1]}, which has no slope; take likelihoods, mel, teacher or words, or rl.gradient = "draws"',
        ),
        (rl.credit not in ("frame", "utterance"), f"rl.credit is {rl.credit!r}; write frame or utterance"),
        (rl.reference not in ("transcript", "heard"), f"rl.reference is {rl.reference!r}; write transcript or heard"),
        (
            needs_samples(config) and not settings.vocoder,
            "train.vocoder is empty, but samples are needed; name a weights file",
        ),
        (rl.rounds < 0 or rl.stretch_frames < 1, "rl.rounds counts from 0 and rl.stretch_frames from 1"),
        (bool(rl.rounds) and rl.credit != "frame", 'rl.rounds searches where something is heard; it needs rl.credit = "frame"'),
        (uneven, "train.steps and train.save_every must be multiples of rl.updates, or a resumed run would differ"),
        (not 0 <= min(rl.link_loss_rate) <= max(rl.link_loss_rate) < 1, "rl.link_loss_rate must lie in 0..1, below 1"),
        (rl.link_burst_packets < 1, "rl.link_burst_packets is the mean length of a burst; it is at least 1"),
    ):
        if wrong:
            raise ConfigError(message)
