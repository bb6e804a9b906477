"""Where words are lost: rows that bypass parts of the codec.

`voice` speaks the true phones of the transcript, at their times in the recording, with its pitch and energy: what the voice alone
costs. `voice-code` sends them through the 16 bits first: what the code costs. `unrounded` sends eight numbers instead of the bits.
The phone rows read phones off the decoder, without voice or judge, from sound through the bits and from sound without them.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codec.data.alignment import Tokens, forced_path, load_classifier, log_probabilities, transcript_tokens, utterance_features
from codec.data.frames import Frames
from codec.data.targets import frames_of
from codec.evaluate.systems import BITS_PER_S, PhoneErrors, PhoneReader, System
from codec.network.codec import Codec, decide
from codec.network.decoder import DELAY_FRAMES, Scores
from codec.network.ear import SAMPLES_PER_EAR_FRAME
from codec.network.phones import PHONE_CLASSES, PHONE_FRAMES_PER_CODE, SILENCE, STRESS_CLASSES
from codec.network.quantizer import LARGEST, quantize
from codec.network.voice import Said
from codec.network.weights import load_codec, load_phone_encoder
from codec.pretrained.moonshine import load_ear
from codec.rl.credit import edit_distance
from codec.train.targets import Target, batch_target
from stream.frame import SAMPLES_PER_FRAME

BLOCK_FRAMES = 32  # of the ear: packets of 640 ms
LEVEL_PEAK = 0.5
SHORTEST_FRAMES = 2  # a phone read in a single frame is no phone


class Oracle:
    """Codec, encoder of known phones and aligner that the rows share."""

    def __init__(self, weights: Path, classifier: Path):
        """Raises ClariError: a file is missing or damaged."""
        self.codec: Codec = load_codec(weights)[0]
        self.phone_encoder = load_phone_encoder(weights)
        self.aligner = load_ear()
        self.classifier, self.prior = load_classifier(classifier)

    def tokens_and_frames(self, samples: np.ndarray, transcript: str) -> tuple[Tokens, Frames] | None:
        """Phones of the transcript and what is said when; None where they cannot be aligned."""
        levelled = samples / (np.abs(samples).max(initial=1e-6)) * np.float32(LEVEL_PEAK)
        tokens = transcript_tokens(transcript.capitalize())
        scores = log_probabilities(self.classifier, utterance_features(self.aligner, levelled), self.prior)
        found = forced_path(scores, tokens)
        if found is None:
            return None
        return tokens, frames_of(levelled, tokens.phones[found[0]], tokens.stress[found[0]])

    def target(self, samples: np.ndarray, transcript: str) -> Target | None:
        """The same as a batch of one, with whole codes and room for the delay."""
        found = self.tokens_and_frames(samples, transcript)
        if found is None:
            return None
        count = len(found[1]) + 3 * PHONE_FRAMES_PER_CODE
        return batch_target([[(found[1], found[1].size)]], count + -count % PHONE_FRAMES_PER_CODE)

    def scores(self, values: Tensor) -> Scores:
        """What the decoder makes of values [1, T, 8], all of which arrive."""
        lost = torch.zeros(values.shape[:2])
        found: Scores = self.codec.decoder(values, lost, self.codec.decoder.initial_state(1))[0]
        return found

    def values(self, samples: np.ndarray, rounded: bool) -> Tensor:
        """Values [1, T, 8] of a recording as it is, with room for the delay behind it."""
        padded = np.pad(samples, (0, 3 * SAMPLES_PER_FRAME + -len(samples) % SAMPLES_PER_FRAME)).astype(np.float32)
        positions = self.codec.sender.whole(torch.from_numpy(padded)[None], BLOCK_FRAMES)
        return quantize(positions)[1] if rounded else positions / LARGEST

    def voiced(self, said: Said, delay_frames: int, count: int) -> np.ndarray:
        """Samples [count] of what is said, its delay taken away."""
        samples, _ = self.codec.voice(said, self.codec.voice.initial_state(1))
        begin = delay_frames * SAMPLES_PER_EAR_FRAME + self.codec.voice.delay_samples
        found: np.ndarray = samples[0, begin : begin + count].clamp(-1, 1).numpy()
        return found


class TruePhones:
    """The voice speaking what the transcript says, straight or through the bits."""

    def __init__(self, name: str, oracle: Oracle, through_bits: bool):
        self.name, self._oracle, self._through_bits = name, oracle, through_bits
        self.bits_per_s: float | None = BITS_PER_S if through_bits else None

    @torch.no_grad()
    def process(self, samples: np.ndarray, transcript: str) -> np.ndarray:
        target = self._oracle.target(samples, transcript)
        if target is None:
            return np.zeros(len(samples), np.float32)
        if not self._through_bits:
            phones = torch.nn.functional.one_hot(target.phones, PHONE_CLASSES).float()
            stress = torch.nn.functional.one_hot(target.stress, STRESS_CLASSES).float()
            said = Said(phones, stress, target.pitch, target.voiced, target.energy, target.size)
            return self._oracle.voiced(said, 0, len(samples))
        _, values = quantize(self._oracle.phone_encoder(target.phones, target.stress, target.prosody))
        return self._oracle.voiced(decide(self._oracle.scores(values)), DELAY_FRAMES, len(samples))


class Unrounded:
    """Sound through the codec with eight numbers in place of 16 bits."""

    name = "unrounded"
    bits_per_s: float | None = None

    def __init__(self, oracle: Oracle):
        self._oracle = oracle

    @torch.no_grad()
    def process(self, samples: np.ndarray, transcript: str) -> np.ndarray:
        scores = self._oracle.scores(self._oracle.values(samples, rounded=False))
        return self._oracle.voiced(decide(scores), DELAY_FRAMES, len(samples))


class DecodedPhones:
    """Phones read off the decoder, from sound or from the true phones."""

    def __init__(self, name: str, oracle: Oracle, rounded: bool = True, true_phones: bool = False):
        self.name, self._oracle, self._rounded, self._true_phones = name, oracle, rounded, true_phones

    @torch.no_grad()
    def phone_errors(self, samples: np.ndarray, transcript: str) -> PhoneErrors:
        tokens = transcript_tokens(transcript.capitalize())
        wanted = [int(phone) for phone in tokens.phones if phone != SILENCE]
        if self._true_phones:
            target = self._oracle.target(samples, transcript)
            if target is None:
                return PhoneErrors(len(wanted), len(wanted))
            _, values = quantize(self._oracle.phone_encoder(target.phones, target.stress, target.prosody))
        else:
            values = self._oracle.values(samples, self._rounded)
        return PhoneErrors(edit_distance(runs(self._oracle.scores(values).phones[0].argmax(1).numpy()), wanted), len(wanted))


def oracle_rows(weights: Path, classifier: Path) -> tuple[list[System], list[PhoneReader]]:
    """All rows of this module. Raises ClariError: a file is missing or damaged."""
    oracle = Oracle(weights, classifier)
    systems: list[System] = [TruePhones("voice", oracle, False), TruePhones("voice-code", oracle, True), Unrounded(oracle)]
    readers: list[PhoneReader] = [
        DecodedPhones("true phones, bits", oracle, true_phones=True),
        DecodedPhones("sound, bits", oracle),
        DecodedPhones("sound, no bits", oracle, rounded=False),
    ]
    return systems, readers


def runs(phones: np.ndarray) -> list[int]:
    """Phone classes [T] of frames -> the phones said: stretches of at least SHORTEST_FRAMES, silence left out."""
    edges = np.concatenate(([0], np.flatnonzero(np.diff(phones)) + 1, [len(phones)]))
    long = [(int(phones[begin]), end - begin) for begin, end in itertools.pairwise(edges)]
    kept = [phone for phone, length in long if length >= SHORTEST_FRAMES]
    joined = [phone for place, phone in enumerate(kept) if place == 0 or phone != kept[place - 1]]
    return [phone for phone in joined if phone != SILENCE]
