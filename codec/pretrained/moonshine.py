"""The ear with Moonshine's weights, read from its package (extra `train`, MIT licence)."""

from __future__ import annotations

from codec.moonshine_weights import load_encoder
from codec.network.ear import Ear, from_moonshine


def load_ear() -> Ear:
    """Moonshine tiny's encoder as the ear, not yet used to hearing in blocks.

    Raises:
        ClariError: the package, its model or what reads it is missing.
    """
    ear = Ear()
    ear.load_state_dict(from_moonshine(load_encoder().state_dict()))
    return ear.eval()
