"""Phones of English text, from flite's lexicon and letter-to-sound rules.

The recogniser learns phones instead of letters: they follow from the sound, so that a small network learns them from
hours of speech instead of hundreds of hours. flite (Debian package `flite`) turns any text into phones, also words
that no dictionary holds.
"""

from __future__ import annotations

import subprocess

from stream.errors import ClariError

# CMU phone set without stress; flite's reduced vowel `ax` is folded into `ah`.
PHONES = tuple("aa ae ah ao aw ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z zh".split())  # noqa: SIM905
FOLDED = {"ax": "ah", "axr": "er", "el": "l", "em": "m", "en": "n", "nx": "n", "dx": "t", "hv": "hh"}
# 0 is CTC's blank and the frame classifier's silence.
PHONE_INDEX = {phone: index for index, phone in enumerate(PHONES, start=1)}
CLASSES = len(PHONES) + 1


class PhoneError(ClariError):
    """Text that cannot be turned into phones; the message names the cure."""


def fold(phone: str) -> str:
    """Map flite's phone onto the recogniser's set, leaving silence as it is."""
    return FOLDED.get(phone, phone)


def text_to_phones(text: str, program: str = "flite") -> list[str]:
    """Phones of `text`, silences removed.

    Raises:
        PhoneError: flite is not installed.
    """
    try:
        done = subprocess.run(
            [program, "-ps", "-o", "none", "-voice", "kal", "-t", text.lower() + " "], capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        raise PhoneError("flite is missing; install it: apt-get install flite") from None
    except subprocess.CalledProcessError:
        raise PhoneError(f"flite cannot read {text[:40]!r}; remove the line from the manifest") from None
    folded = (fold(phone) for phone in done.stdout.split())
    return [phone for phone in folded if phone in PHONE_INDEX]


def parse_alignment(alignment: str) -> list[tuple[str, float]]:
    """`phone:end_s` pairs as (phone, end in seconds), silence included."""
    pairs = (item.rsplit(":", 1) for item in alignment.split())
    return [(fold(phone), float(end_s)) for phone, end_s in pairs]
