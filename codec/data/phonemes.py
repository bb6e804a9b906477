"""Phones: what is said, as a fixed list of sounds, and the way from text to it.

The alphabet is misaki's as hibari (Apache-2.0) speaks it: one character per sound, diphthongs and affricates included, a
stress mark before the stressed vowel. Punctuation and spaces are no sounds; a long one is silence.
"""

from __future__ import annotations

SILENCE = 0
PHONES = ("", *"ənɹtɪsdliðækɛzmʌwpvhfbɔIAɑOuᵊŋɜʃɡjTɐWʧʊᵻʤθYʒ")  # class 0 is silence
PHONE_CLASSES = len(PHONES)
CLASS_OF = {phone: index for index, phone in enumerate(PHONES) if phone}
VOWELS = frozenset("əɪiæɛʌɔIAɑOuᵊɜɐWʊᵻY")
STRESS_MARKS = {"ˈ": 1, "ˌ": 2}  # primary, secondary; 0 is none
STRESS_CLASSES = 1 + len(STRESS_MARKS)
PHONE_RATE_HZ = 50  # of everything that tells the voice what to say
PHONE_FRAMES_PER_CODE = 4
