"""A trained codec in one safetensors file: float16 weights, with sizes and where they come from in its header."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from codec.network.codec import Codec
from codec.network.encoder import PhoneEncoder
from codec.settings import NetworkSettings, settings_from
from stream.errors import ClariError

PHONE_ENCODER = "phone_encoder."
ABOUT = ("training", "training_revision", "configuration")  # of the header, handed on into the graphs


def save_codec(path: Path, codec: Codec, phone_encoder: PhoneEncoder, about: dict[str, str]) -> None:
    """Write codec and phone encoder; `about` has the keys of ABOUT."""
    tensors = {**codec.state_dict(), **{PHONE_ENCODER + name: value for name, value in phone_encoder.state_dict().items()}}
    half = {name: value.half().contiguous() for name, value in tensors.items()}
    header = {**{key: about[key] for key in ABOUT}, "network": json.dumps(asdict(codec.settings))}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    save_file(half, str(unfinished), header)
    unfinished.replace(path)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str], NetworkSettings]:
    """Tensors and header of a file.

    Raises:
        ClariError: missing, damaged, or of another network.
    """
    if not path.is_file():
        raise ClariError(f"{path}: no such weights; train them with codec/recipe.sh, or give codec/weights/base.safetensors")
    try:
        with safe_open(str(path), "pt") as file:
            header: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (SafetensorError, OSError) as error:
        raise ClariError(f"{path}: damaged weights ({str(error)[:80]}); fetch or train them again") from None
    try:
        table = json.loads(header["network"])
        known = {field.name: table[field.name] for field in fields(NetworkSettings)}
    except (KeyError, ValueError):
        raise ClariError(f"{path}: weights of another codec; train them with codec/recipe.sh") from None
    return tensors, {key: header.get(key, "unknown") for key in ABOUT}, settings_from(known)


def load_codec(path: Path) -> tuple[Codec, dict[str, str]]:
    """The codec of a file, in float32, and what is said of its training.

    Raises:
        ClariError: missing, damaged, or of another network.
    """
    tensors, about, settings = _read(path)
    codec = Codec(settings)
    mine = {name: value for name, value in tensors.items() if not name.startswith(PHONE_ENCODER)}
    try:
        codec.load_state_dict(mine)
    except RuntimeError:
        raise ClariError(f"{path}: weights of another codec; train them with codec/recipe.sh") from None
    return codec.eval().requires_grad_(False), about


def load_phone_encoder(path: Path) -> PhoneEncoder:
    """The encoder of known phones for the codec of a file. Raises ClariError as `load_codec`."""
    tensors, _, _ = _read(path)
    encoder = PhoneEncoder()
    mine = {name.removeprefix(PHONE_ENCODER): value for name, value in tensors.items() if name.startswith(PHONE_ENCODER)}
    with torch.no_grad():
        encoder.load_state_dict(mine)
    return encoder.eval().requires_grad_(False)
