"""How much a step of stage 2 can learn, measured before hours are spent on it.

    python -m codec.probe --config codec/configs/rl.toml
    python -m codec.probe --config codec/configs/rl.toml --batches 32 'reward={cer = 1.0}' rl.group=16

For every reward of the [reward] table, for the whole table and for both kinds of credit: how much it varies within a
group of draws, how often a group has nothing to compare, and how well the policy gradients of two independent groups on
the same utterances agree, with its standard error. Where they do not, steps are noise, whatever the learning rate. The
credit `slope` is that of rl.gradient = "slope", for rewards that have one. The last column is the mean agreement of groups on
different utterances: what one step teaches for the speech of another.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import defaultdict
from itertools import product

import numpy as np
import torch
from torch import Tensor

from codec import policy
from codec.config import Config, load_config
from codec.rewards import rough
from codec.rl import PolicyTask
from codec.rollouts import judge, policy_loss
from codec.stage1 import build_parser
from stream.errors import run_command
from stream.tables import markdown_table

HEAD = ("reward", "credit", "mean", "deviation in a group", "equal groups", "gradient norm", "agreement", "on others")
DRAWS = 2


def tables(reward: dict[str, float]) -> dict[str, dict[str, float]]:
    """The whole table and each of its rewards alone."""
    alone = {name: {name: weight} for name, weight in reward.items() if weight}
    return alone if len(alone) == 1 else {"all": reward, **alone}


def probe(config: Config, batches: int) -> tuple[list[tuple[str, ...]], str]:
    """Rows of the table, and a line about anchor and policy: means over `batches` steps of the configuration."""
    task = PolicyTask(config, torch.device("cpu"))
    trainable = [parameter for parameter in task.model.encoder.parameters() if parameter.requires_grad]
    figures: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    common: dict[str, list[float]] = defaultdict(list)
    directions: dict[tuple[str, str], list[Tensor]] = {}  # sums over steps of each draw's gradients, all made as long

    def gradient(loss: Tensor) -> Tensor:
        return torch.cat([each.flatten() for each in torch.autograd.grad(loss, trainable, retain_graph=True)])

    for step in range(batches):
        batch = task.batch(step * config.rl.updates)
        heard, clean = task.listener.mels(batch)
        meant, _ = task.model.encoder.listen(heard)
        positions = task.model.encoder.positions(meant)
        common["anchor"].append(float(gradient(task.anchor(task.model.decoder, batch, positions, clean)["mel"].mean()).norm()))
        common["entropy"].append(float(policy.entropy(positions.detach(), config.rl.temperature).mean()) / np.log(2))
        speech = task.speech(batch)
        reached = speech * (1 - torch.from_numpy(batch.lost))
        gradients: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
        for draw in range(DRAWS):
            torch.manual_seed(DRAWS * step + draw)
            codes = task.draw(batch, meant)
            decoded, reference = task.listener.listen(task.model.decoder, codes, batch, clean)
            log_probability = policy.log_probability(task.model.encoder.positions_for(meant, codes), codes, config.rl.temperature)
            common["changed"].append(float((codes != policy.mode(positions)[:, None]).float().mean()))
            for (name, weights), credit in product(tables(config.reward).items(), ("utterance", "frame")):
                rl = dataclasses.replace(config.rl, credit=credit)
                judged = judge(rl, weights, decoded, reference, speech, task.listener.delay_frames)
                loss = policy_loss(log_probability, log_probability.detach(), judged.advantage, reached, 0.0)
                gradients[name, credit].append(gradient(loss.mean()))
                found = figures[name, credit]
                for each in ("reward", "deviation", "equal"):
                    found[each].append(getattr(judged, each))
            for name, weights in tables(config.reward).items():
                if not rough(weights):
                    slope, _, _ = task.slope(weights, batch, codes, clean)
                    gradients[name, "slope"].append(gradient(task.along(slope, batch, positions, reached).mean()))
                    for each in ("reward", "deviation", "equal"):  # of what all draws share
                        figures[name, "slope"][each].append(figures[name, "utterance"][each][-1])
        for key, pair in gradients.items():
            figures[key]["norm"] += [float(each.norm()) for each in pair]
            figures[key]["agreement"].append(float(torch.cosine_similarity(pair[0], pair[1], dim=0)))
            ahead = [each / each.norm().clamp(min=1e-12) for each in pair]
            directions[key] = [total + one for total, one in zip(directions[key], ahead, strict=True)] if step else ahead
    rows = []
    for (name, credit), found in figures.items():
        agreement = f"{np.mean(found['agreement']):.3f} +- {np.std(found['agreement']) / np.sqrt(batches):.3f}"
        means = (f"{np.mean(found[each]):.3f}" for each in ("reward", "deviation", "equal", "norm"))
        first, second = directions[name, credit]
        others = (float(first @ second) - sum(found["agreement"])) / max(1, batches * (batches - 1))
        rows.append((name, credit, *means, agreement, f"{others:.3f}"))
    line = (
        f"{batches} steps, {DRAWS} groups of {config.rl.group} each: {np.mean(common['changed']):.1%} of the drawn codes are not "
        f"the rounded ones, the policy has {np.mean(common['entropy']):.2f} of 16 bits per frame; mel anchor: gradient norm "
        f"{np.mean(common['anchor']):.3f} before its weight."
    )
    return rows, line


def main(argv: list[str] | None = None) -> int:
    parser = build_parser("codec.probe", "Measure how much a step of stage 2 can learn.")
    parser.add_argument("--batches", type=int, default=16, help="steps to look at (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)

    def command() -> int:
        rows, line = probe(load_config(args.config, args.overrides), max(1, args.batches))
        print(f"{line}\n\n{markdown_table(HEAD, rows)}")
        return 0

    return run_command("codec.probe", command)


if __name__ == "__main__":
    sys.exit(main())
