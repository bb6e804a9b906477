"""Where Moonshine lies: a small transformer that understands clear speech nearly as people do, without a network.

Jeffries et al. 2024, arXiv 2410.15608. The releases of its package that the extra `moonshine` names carry the English model
of 27 M parameters in the wheel (MIT licence). It teaches, and therefore judges nothing.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stream.errors import ClariError

MODEL = "tiny-en"

CURE = "install: pip install 'clari[moonshine]'"


def model_folder() -> Path:
    """Where the package keeps its model.

    Raises:
        ClariError: the package is not installed, or is one that has no model inside.
    """
    try:
        installed = version("moonshine-voice")
        from moonshine_voice import get_model_path
    except (ImportError, PackageNotFoundError):
        raise ClariError(f"moonshine is not installed; {CURE}") from None
    except OSError:  # it imports sounddevice, although it need not record
        raise ClariError("moonshine needs the PortAudio library; install: apt-get install libportaudio2") from None
    folder = Path(get_model_path(MODEL))
    if not any(folder.glob("*.ort")):
        raise ClariError(f"moonshine-voice {installed} comes without a model; {CURE}")
    return folder
