"""A trained codec grows: it gets more blocks and goes on from exactly what it computed before.

A block that is added begins as the identity, because the second layer of its perceptron begins at zero (Zhang et al. 2019,
arXiv 1901.09321); its gradients are those of any other block, so it learns at once. Hours of training are kept that a larger
network from scratch would need again.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from codec.config import ModelConfig
from codec.model import MelCodec
from codec.run import RunError
from codec.weights import fill

FEEDBACK = "encoder.feedback."
Place = tuple[int, int]  # level, and number in it: 0 is the layer that changes the rate, blocks count from 1


def _places(blocks: tuple[int, ...], rate_changes: tuple[bool, ...]) -> list[Place]:
    """Where each layer of a stack stands, in its order."""
    places: list[Place] = []
    for level, (count, changes) in enumerate(zip(blocks, rate_changes, strict=True)):
        places += [(level, number) for number in range(0 if changes else 1, count + 1)]
    return places


def grow(codec: MelCodec, state: dict[str, Tensor], before: ModelConfig, after: ModelConfig, source: Path) -> None:
    """Load the weights of a mel codec of shape `before` into one of shape `after`, whose further blocks begin as the identity.

    Raises:
        RunError: they differ by more than added blocks.
    """
    state = dict(state)
    for part, counts, wanted in (
        ("encoder", before.encoder_blocks, after.encoder_blocks),
        ("decoder", before.decoder_blocks, after.decoder_blocks),
    ):
        if len(counts) != len(wanted) or any(new < old for old, new in zip(counts, wanted, strict=True)):
            raise RunError(f"{source} has {part}_blocks {list(counts)}; a codec of {list(wanted)} does not grow from it")
        changes = tuple(part == "encoder" or level > 0 for level in range(len(counts)))
        old, new = _places(counts, changes), _places(wanted, changes)
        prefix = f"{part}.stack.layers."
        known = {name.removeprefix(prefix): state.pop(name) for name in list(state) if name.startswith(prefix)}
        for name, tensor in known.items():
            index, _, rest = name.partition(".")
            state[f"{prefix}{new.index(old[int(index)])}.{rest}"] = tensor
        fresh = [new.index(place) for place in new if place not in old]
        for name, tensor in codec.state_dict().items():
            if name.startswith(tuple(f"{prefix}{index}." for index in fresh)):
                state[name] = torch.zeros_like(tensor) if ".project." in name else tensor.clone()
    if not any(name.startswith(FEEDBACK) for name in state):  # of the time before it; it begins as if it were not there
        state |= {name: tensor for name, tensor in codec.state_dict().items() if name.startswith(FEEDBACK)}
    fill(codec, state, source)
