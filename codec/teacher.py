"""What a recogniser of everyday strength hears, laid on the frames of this project's own recogniser.

Its frames come every 24 ms, ours every 40 ms: linear interpolation at the middles of ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.batches import RECOGNIZER_FRAME_SAMPLES
from codec.moonshine_net import REACH_SAMPLES, STEP_SAMPLES
from codec.moonshine_weights import load_encoder, load_writer
from codec.moonshine_writer import END, MoonshineWriter
from codec.vocoder import DELAY_SAMPLES, Vocoder
from stream.frame import SAMPLE_RATE_HZ

TOKENS_PER_S = 6  # as fast as people speak; a recogniser that is stuck repeats itself no longer than that
COMPARED = (1, 3, -1)  # outputs of the teacher's layers 2 and 4, which hear sounds, and the one that its decoder reads words from


def on_our_frames(heard: Tensor, frames: int) -> Tensor:
    """[B, T, 288] every 24 ms -> [B, frames, 288] every 40 ms."""
    ours = (torch.arange(frames, device=heard.device) + 0.5) * RECOGNIZER_FRAME_SAMPLES
    places = ((ours - REACH_SAMPLES / 2) / STEP_SAMPLES).clamp(0, heard.shape[1] - 1)
    before = places.floor().long()
    after = (before + 1).clamp(max=heard.shape[1] - 1)
    share = (places - before).unsqueeze(1).to(heard.dtype)
    return heard[:, before] * (1 - share) + heard[:, after] * share


class Teacher(nn.Module):
    """A frozen recogniser. `writes`: it also says what it would write (`words_loss`)."""

    def __init__(self, writes: bool = False) -> None:
        super().__init__()
        self.encoder = load_encoder()
        self.writer = load_writer() if writes else None

    def hear(self, samples: Tensor) -> list[Tensor]:
        """Samples [B, N] -> what it hears in its COMPARED layers every 24 ms, [B, T, 288] each."""
        hidden = self.encoder(samples)
        return [hidden[layer] for layer in COMPARED]


def speak(vocoder: Vocoder, mel: Tensor) -> Tensor:
    """Log-mel [B, T, mels] -> samples [B, 160 T] without the vocoder's delay; what it has not said at the end is silence."""
    spoken, _ = vocoder(mel, vocoder.initial_state(len(mel)))
    return F.pad(spoken[:, DELAY_SAMPLES:], (0, DELAY_SAMPLES))


def teacher_loss(heard: list[Tensor], original: list[Tensor], weight: Tensor) -> Tensor:
    """How differently the teacher hears decoded and original speech: L1 relative to the original's, mean over layers and crops.

    `weight` [B, T] says how much each frame counts.
    """
    distances = []
    for said, meant in zip(heard, original, strict=True):
        difference, size = ((x.abs().mean(2) * weight).sum(1) for x in (said - meant, meant))
        distances.append((difference / (size + 1e-6)).mean())
    return torch.stack(distances).mean()


@dataclass(frozen=True)
class Written:
    """What the teacher writes of B originals.

    tokens: int64 [B, L + 1] from BEGIN on; counts: float32 [B, L], 1 for each token after it up to the first END;
    places: [B, L, frames], on which of our frames it is said, one in sum; scores: [B, L], its log-probability.
    """

    tokens: Tensor
    counts: Tensor
    places: Tensor
    scores: Tensor

    def repeated(self, times: int) -> Written:
        """Each original `times` times in a row."""
        return Written(*(each.repeat_interleave(times, 0) for each in (self.tokens, self.counts, self.places, self.scores)))


def _set_precision(writer: MoonshineWriter, device: str) -> None:
    """Hold the weights in the precision of the moment: casting all of them for every token would take longer than writing."""
    writer.to(torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32)


def _tokens(writer: MoonshineWriter, original: Tensor) -> Tensor:
    _set_precision(writer, original.device.type)
    return writer.write(original, 2 + int(original.shape[1] * STEP_SAMPLES / SAMPLE_RATE_HZ * TOKENS_PER_S))


@torch.no_grad()
def write(writer: MoonshineWriter, original: Tensor, speech: Tensor, frames: int) -> Written:
    """What is written of originals, heard as [B, T, 288] every 24 ms, of which `speech` [B] of our frames hold speech."""
    tokens = _tokens(writer, original)
    theirs = (torch.arange(original.shape[1], device=original.device) * STEP_SAMPLES + REACH_SAMPLES / 2) / RECOGNIZER_FRAME_SAMPLES
    ours = F.one_hot(theirs.long().clamp(max=frames - 1), frames).float()
    places = writer.places(tokens[:, :-1], original) @ ours
    places = places * (torch.arange(frames, device=places.device) < speech.to(places.device)[:, None])[:, None]
    counts = (tokens[:, :-1] != END).float()
    places = places / places.sum(2, keepdim=True).clamp(min=1e-6)
    return Written(tokens, counts, places, token_scores(writer, tokens, counts, original))


def token_scores(writer: MoonshineWriter, tokens: Tensor, counts: Tensor, heard: Tensor) -> Tensor:
    """Log-probability of tokens [B, L + 1] after the first where `counts` [B, L] is 1, hearing [B, T, 288]: [B, L], else 0."""
    scores = F.log_softmax(writer(tokens[:, :-1], heard).float(), 2)
    return scores.gather(2, tokens[:, 1:, None]).squeeze(2) * counts


def words_loss(writer: MoonshineWriter, heard: Tensor, original: Tensor, weight: Tensor) -> Tensor:
    """How differently words would be written: KL divergence in nats per token, from last layers [B, T, 288] every 24 ms.

    The recogniser writes what it hears in the original, and is asked for the next token after each with either in its ear.
    `weight` [B] says how much each crop counts.
    """
    tokens = _tokens(writer, original)[:, :-1]
    with torch.no_grad():
        meant = F.log_softmax(writer(tokens, original).float(), 2)
    said = F.log_softmax(writer(tokens, heard).float(), 2)
    counts = (tokens != END) * weight[:, None]
    divergence = (meant.exp() * (meant - said)).sum(2)
    return (divergence * counts).sum() / counts.sum().clamp(min=1)


def lessons(
    teacher: Teacher, vocoder: Vocoder, decoded: Tensor, said: list[Tensor], weight: Tensor, whole: Tensor
) -> dict[str, Tensor]:
    """How differently the teacher hears decoded log-mel [B, T, mels] and the original, of which it heard `said` (`Teacher.hear`).

    `weight` [B, frames] counts frames; `whole` [B] counts the crops of which it may write words, if it writes.
    """
    again = teacher.hear(speak(vocoder, decoded))
    ours, theirs = ([on_our_frames(layer.float(), weight.shape[1]) for layer in each] for each in (again, said))
    losses = {"teacher": teacher_loss(ours, theirs, weight)}
    if teacher.writer is not None:
        losses["words"] = words_loss(teacher.writer, again[-1], said[-1], whole)
    return losses


def likeness(heard: Tensor, original: Tensor) -> Tensor:
    """Cosine of what is heard and what was meant, [..., 288] each, without what every frame has in common."""
    centre = original.flatten(0, -2).mean(0)
    return F.cosine_similarity(heard - centre, original - centre, dim=-1)
