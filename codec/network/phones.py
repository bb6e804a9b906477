"""Phones: what is said, as a fixed list of sounds.

The alphabet is misaki's as hibari (Apache-2.0) speaks it: one character per sound, diphthongs and affricates included. Class 0 is
silence.
"""

from __future__ import annotations

SILENCE = 0
PHONES = ("", *"ənɹtɪsdliðækɛzmʌwpvhfbɔIAɑOuᵊŋɜʃɡjTɐWʧʊᵻʤθYʒ")
PHONE_CLASSES = len(PHONES)
CLASS_OF = {phone: index for index, phone in enumerate(PHONES) if phone}
VOWELS = frozenset("əɪiæɛʌɔIAɑOuᵊɜɐWʊᵻY")
STRESS_CLASSES = 3  # none, primary, secondary
PHONE_RATE_HZ = 50  # of everything that tells the voice what to say
PHONE_FRAMES_PER_CODE = 4
