"""Synthetic speech: flite and espeak-ng speak sentences with many voices, rates and pitches.

Every utterance follows from the seed and its number, so an interrupted run goes on where it stopped. flite's
utterances carry their phone times, which the recogniser learns from before it can align anything itself.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from codec.data.manifest import Utterance, read_manifest, write_manifest
from stream.errors import ClariError
from stream.frame import SAMPLE_RATE_HZ

DEBIAN_PACKAGES = {"flite": "flite", "espeak-ng": "espeak-ng"}
FLITE_VOICES = ("awb", "kal16", "rms", "slt")
ESPEAK_LANGUAGES = ("en-us", "en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029")
ESPEAK_VARIANTS = tuple(
    (  # noqa: SIM905 - one word a name reads better
        "m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 klatt klatt2 klatt3 klatt4 adam announcer belinda david edward iven iven2 "
        "linda michael norbert pablo paul robert sandro steph steph2 steph3 travis victor zac"
    ).split()
)
LICENCE = "synthetic"


class SynthesisError(ClariError):
    """Speech that cannot be made; the message names the cure."""


def require_programs() -> None:
    """Raise SynthesisError naming the Debian packages of missing programs."""
    missing = [package for program, package in DEBIAN_PACKAGES.items() if shutil.which(program) is None]
    if missing:
        raise SynthesisError(f"{' and '.join(missing)} missing; install: apt-get install {' '.join(missing)}")


@dataclass(frozen=True)
class Voice:
    """A program and its options for one random voice."""

    speaker: str
    command: tuple[str, ...]  # writes {wav} when the text is appended
    timed: bool  # prints phone times


def random_voice(rng: np.random.Generator) -> Voice:
    """Half flite with its few voices at other rates and pitches, half espeak-ng with its many."""
    if rng.random() < 0.5:
        name = str(rng.choice(FLITE_VOICES))
        mean_f0_hz = (175.0 if name == "slt" else 115.0) * float(rng.uniform(0.75, 1.35))
        options = ("--setf", f"duration_stretch={rng.uniform(0.75, 1.25):.3f}", "--setf", f"int_f0_target_mean={mean_f0_hz:.1f}")
        return Voice(f"flite:{name}", ("flite", "-psdur", "-o", "{wav}", "-voice", name, *options, "-t"), timed=True)
    name = f"{rng.choice(ESPEAK_LANGUAGES)}+{rng.choice(ESPEAK_VARIANTS)}"
    options = ("-s", str(rng.integers(120, 215)), "-p", str(rng.integers(15, 90)))
    return Voice(f"espeak:{name}", ("espeak-ng", "-w", "{wav}", "-v", name, *options), timed=False)


def speak(text: str, voice: Voice, path: Path) -> str:
    """Speak `text` into the FLAC file `path`; returns the phone times where the program tells them.

    Raises:
        SynthesisError: the program failed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        wav = Path(temporary) / "speech.wav"
        command = [part.format(wav=wav) for part in voice.command]
        # A trailing space keeps flite from taking a single word for a file name.
        done = subprocess.run([*command, text + " "], capture_output=True, text=True, check=False)
        if done.returncode or not wav.is_file():
            raise SynthesisError(f"{command[0]} failed on {text[:40]!r}: {done.stderr.strip()[:80]}; check its installation")
        samples, sample_rate_hz = soundfile.read(wav, dtype="float32")
    unfinished = path.with_suffix(".part.flac")
    soundfile.write(unfinished, soxr.resample(samples, sample_rate_hz, SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
    unfinished.rename(path)
    return " ".join(done.stdout.split()) if voice.timed else ""


def synthesize(sentences: Path, out: Path, hours: float, seed: int, workers: int) -> list[Utterance]:
    """Speak random sentences until `hours` of speech lie in `out`, and write `out/speech.tsv`.

    Raises:
        SynthesisError: a speech program or the sentence file is missing.
    """
    require_programs()
    if not sentences.is_file():
        raise SynthesisError(f"{sentences}: no such file; give a text file with one sentence per line")
    lines = [line.strip().replace("\t", " ") for line in sentences.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if 15 <= len(line) <= 160]
    out.mkdir(parents=True, exist_ok=True)

    known = {item.path: item for item in read_manifest(out / "speech.tsv")} if (out / "speech.tsv").is_file() else {}

    def make(number: int) -> Utterance:
        path = out / f"{number:07d}.flac"
        rng = np.random.default_rng([seed, number])
        text, voice = lines[rng.integers(len(lines))], random_voice(rng)
        before = known.get(path)
        if before and path.is_file() and (before.speaker, before.transcript) == (voice.speaker, text):
            return before
        alignment = speak(text, voice, path)
        seconds = round(soundfile.info(path).duration, 3)
        return Utterance(path, seconds, voice.speaker, "train", text, LICENCE, "synthetic", alignment)

    spoken: list[Utterance] = []
    with ThreadPoolExecutor(workers) as pool:
        while sum(item.seconds for item in spoken) < hours * 3600:
            batch = range(len(spoken), len(spoken) + 4 * workers)
            spoken.extend(pool.map(make, batch))
            if len(spoken) % 100 < len(batch):
                write_manifest(out / "speech.tsv", spoken)
                print(f"{sum(item.seconds for item in spoken) / 3600:.2f} h", flush=True)
    write_manifest(out / "speech.tsv", spoken)
    return spoken
