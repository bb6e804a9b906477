"""When each phone of a transcript was said.

    python -m codec.data.alignment --spoken runs/spoken --corpus runs/corpus --out runs/phone-times.pt

A small classifier on the ear's features, with the whole utterance as its context, learns phones from synthetic speech whose times
are known; it aligns real speech with its transcripts, and learns again from both: the bootstrap by which hidden Markov models were
trained (Rabiner 1989). The path is the best one in time (Viterbi) through the transcript's phones, with silence where words or
clauses end.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.data.corpus import Entry, PackedCorpus
from codec.data.frames import FRAMES_FILE, FrameFile
from codec.data.phonemes import PAUSES, STRESS_MARKS, marks_of, text_to_ids
from codec.network.ear import FEATURES, SAMPLES_PER_EAR_FRAME, Ear
from codec.network.phones import CLASS_OF, PHONE_CLASSES, SILENCE, VOWELS
from stream.errors import ClariError, run_command
from stream.frame import SAMPLES_PER_FRAME

CONTEXT = 1  # frames on either side
HIDDEN = 512
ROUNDS = 2
EPOCHS = 3
FEATURE_NOISE = 0.3
UNSURE_SHARE = 0.08  # of the aligned utterances are left out of the next round
PRIOR_SHARE = 0.3  # of the classes' log frequencies is taken off their scores
TEACHING_LEVEL_DB = -23.0  # of speech without its pauses, as a sender's gain control gives it


@dataclass(frozen=True)
class Tokens:
    """The phones of a transcript with the places where silence may be: [S] each."""

    phones: np.ndarray  # classes
    stress: np.ndarray
    optional: np.ndarray  # bool: silence that may be left out


def transcript_tokens(text: str) -> Tokens:
    """Phones of a text, silence allowed at both ends and wherever there is a space or punctuation.

    Raises:
        ClariError: there is nothing in it that can be said.
    """
    phones, stress, optional, marked = [SILENCE], [0], [True], 0
    for mark in marks_of(text_to_ids(text)):
        if mark in STRESS_MARKS:
            marked = STRESS_MARKS[mark]
        elif mark in CLASS_OF:
            phones.append(CLASS_OF[mark])
            stress.append(marked if mark in VOWELS else 0)
            optional.append(False)
            marked = 0 if mark in VOWELS else marked
        elif mark in PAUSES and phones[-1] != SILENCE:
            phones, stress, optional = [*phones, SILENCE], [*stress, 0], [*optional, True]
    if phones[-1] != SILENCE:
        phones, stress, optional = [*phones, SILENCE], [*stress, 0], [*optional, True]
    if len(phones) < 3:
        raise ClariError(f"nothing to say in {text[:40]!r}; give a transcript in English letters")
    return Tokens(np.array(phones), np.array(stress), np.array(optional))


def forced_path(scores: np.ndarray, tokens: Tokens) -> tuple[np.ndarray, float] | None:
    """The token of each frame [T] of log-probabilities [T, PHONE_CLASSES], and its mean score; None if there are too few frames."""
    emitted = scores[:, tokens.phones]
    frames, count = emitted.shape
    if frames < int((~tokens.optional).sum()):
        return None
    skip = np.zeros(count, bool)
    skip[2:] = tokens.optional[1:-1]
    best, back = np.full(count, -np.inf), np.zeros((frames, count), np.int8)
    best[:2] = emitted[0, :2]
    lowest = np.full(2, -np.inf)
    for frame in range(1, frames):
        reached = np.stack(
            [best, np.concatenate((lowest[:1], best[:-1])), np.where(skip, np.concatenate((lowest, best[:-2])), -np.inf)]
        )
        back[frame] = reached.argmax(0)
        best = reached.max(0) + emitted[frame]
    place = count - 1 if best[-1] >= best[-2] else count - 2
    if not np.isfinite(best[place]):
        return None
    score, path = float(best[place]) / frames, np.zeros(frames, np.int64)
    for frame in range(frames - 1, -1, -1):
        path[frame] = place
        place -= int(back[frame, place])
    return path, score


class PhoneClassifier(nn.Module):
    """Ear features [T, 576] of whole utterances -> phone scores [T, PHONE_CLASSES]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear((2 * CONTEXT + 1) * FEATURES, HIDDEN), nn.GELU(), nn.Dropout(0.2), nn.Linear(HIDDEN, PHONE_CLASSES)
        )

    def forward(self, features: Tensor) -> Tensor:
        padded = F.pad(features.T, (CONTEXT, CONTEXT), "replicate").T
        count = len(features)
        return torch.as_tensor(self.layers(torch.cat([padded[place : place + count] for place in range(2 * CONTEXT + 1)], 1)))


def level_gain(entry: Entry) -> np.float32:
    """What brings a recording to the level at which the ear is taught."""
    return np.float32(10 ** ((TEACHING_LEVEL_DB - entry.level_db) / 20))


@torch.no_grad()
def utterance_features(ear: Ear, samples: np.ndarray) -> Tensor:
    """Features of samples [N] with the whole utterance as context: float16 [N // 320, 576]."""
    count = len(samples) // SAMPLES_PER_EAR_FRAME
    padded = np.pad(np.clip(samples, -1, 1), (0, SAMPLES_PER_FRAME + -len(samples) % SAMPLES_PER_FRAME))
    return ear.whole(torch.from_numpy(padded)[None], 0)[0, 1 : count + 1].half()  # a frame is heard about 24 ms late


Example = tuple[Tensor, np.ndarray]  # features [T, 576], phone classes [T]


def fit(examples: list[Example], seed: int, rows: int = 16) -> PhoneClassifier:
    """A classifier that learned from utterances of known phone times."""
    torch.manual_seed(seed)
    model = PhoneClassifier()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01)
    steps = EPOCHS * (len(examples) // rows)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / (steps + 1))
    for step in range(steps):
        place = step % (len(examples) // rows)
        order = np.random.default_rng((seed, step // (len(examples) // rows))).permutation(len(examples))
        losses = []
        for index in order[place * rows : (place + 1) * rows]:
            features, phones = examples[index]
            x = features.float()
            scores = model(x + FEATURE_NOISE * x.std() * torch.randn_like(x))
            losses.append(F.cross_entropy(scores, torch.from_numpy(phones)))
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"classifier: step {step} of {steps}, cross entropy {float(loss):.3f}", flush=True)
    return model.eval()


@torch.no_grad()
def log_probabilities(model: PhoneClassifier, features: Tensor, prior: np.ndarray) -> np.ndarray:
    """[T, PHONE_CLASSES], less a share of the classes' log frequencies."""
    found: np.ndarray = torch.log_softmax(model(features.float()), 1).numpy() - PRIOR_SHARE * prior
    return found


def log_frequencies(examples: list[Example]) -> np.ndarray:
    counts = np.bincount(np.concatenate([phones for _, phones in examples]), minlength=PHONE_CLASSES)
    found: np.ndarray = np.log((counts + 1) / (counts.sum() + PHONE_CLASSES))
    return found


def learn(ear: Ear, spoken: Path, corpus: PackedCorpus, hours: float, seed: int = 1) -> tuple[PhoneClassifier, np.ndarray]:
    """A classifier from synthetic speech in `spoken` and `hours` of transcribed speech, and the log frequencies of its classes."""
    budget = int(hours * 3600 * 16_000)
    synthetic, known = PackedCorpus(spoken), FrameFile(spoken / FRAMES_FILE)
    taught: list[Example] = []
    total = 0
    for index, entry in enumerate(synthetic.entries):
        features = utterance_features(ear, synthetic.audio(entry) * level_gain(entry))
        taught.append((features, known[index].phones.astype(np.int64)[: len(features)]))
        total += entry.samples
        if total > budget:
            break
    print(f"heard {len(taught)} synthetic utterances", flush=True)
    rng = np.random.default_rng(seed)
    real: list[tuple[Tensor, Tokens]] = []
    total = 0
    for index in rng.permutation(len(corpus.entries)):
        entry = corpus.entries[index]
        if entry.transcript:
            real.append(
                (utterance_features(ear, corpus.audio(entry) * level_gain(entry)), transcript_tokens(entry.transcript.capitalize()))
            )
            total += entry.samples
            if total > budget:
                break
    print(f"heard {len(real)} real utterances", flush=True)
    model, prior = fit(taught, seed), log_frequencies(taught)
    for number in range(ROUNDS):
        aligned = []
        for features, tokens in real:
            found = forced_path(log_probabilities(model, features, prior), tokens)
            if found is not None:
                aligned.append((found[1], (features, tokens.phones[found[0]])))
        least = float(np.quantile([score for score, _ in aligned], UNSURE_SHARE))
        examples = [example for score, example in aligned if score > least]
        print(f"round {number + 1}: mean score {np.mean([score for score, _ in aligned]):.3f}", flush=True)
        examples += taught[:: 2 if number == 0 else 3]
        model, prior = fit(examples, seed + 1 + number), log_frequencies(examples)
    return model, prior


def load_classifier(path: Path) -> tuple[PhoneClassifier, np.ndarray]:
    """What `main` wrote. Raises ClariError: there is no such file."""
    if not path.is_file():
        raise ClariError(f"{path}: no phone classifier; make it: python -m codec.data.alignment --help")
    found = torch.load(path, weights_only=True)
    model = PhoneClassifier()
    model.load_state_dict(found["model"])
    return model.eval(), found["prior"].numpy()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m codec.data.alignment", description="Teach a classifier when phones are said.")
    parser.add_argument("--spoken", type=Path, required=True, help="folder that codec.data.spoken wrote")
    parser.add_argument("--corpus", type=Path, required=True, help="packed corpus of real speech with transcripts")
    parser.add_argument("--hours", type=float, default=4.0, help="of each to learn from (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 is every core")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)

    def command() -> int:
        from codec.pretrained.moonshine import load_ear

        model, prior = learn(load_ear(), args.spoken, PackedCorpus(args.corpus), args.hours)
        torch.save({"model": model.state_dict(), "prior": torch.from_numpy(prior)}, args.out)
        return 0

    return run_command("codec.data.alignment", command)


if __name__ == "__main__":
    sys.exit(main())
