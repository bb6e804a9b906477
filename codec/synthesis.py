"""Synthetic speech: flite and espeak-ng speak sentences with many voices, rates and pitches.

Every utterance follows from the seed and its number, so an interrupted run goes on where it stopped. flite's
utterances carry their phone times, which the recogniser learns from before it can align anything itself.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import soxr

from codec.manifest import Utterance, write_manifest

SAMPLE_RATE_HZ = 16_000
DEBIAN_PACKAGES = {"flite": "flite", "espeak-ng": "espeak-ng"}
FLITE_VOICES = ("awb", "kal16", "rms", "slt")
ESPEAK_LANGUAGES = ("en-us", "en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029")
ESPEAK_VARIANTS = ("m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 klatt klatt2 klatt3 klatt4 adam announcer belinda david edward "
                   "iven iven2 linda michael norbert pablo paul robert sandro steph steph2 steph3 travis victor zac").split()
LICENCE = "synthetic"


class SynthesisError(RuntimeError):
    """Speech that cannot be made; the message names the cure."""


def require_programs() -> None:
    """Raise SynthesisError naming the Debian packages of missing programs."""
    missing = [package for program, package in DEBIAN_PACKAGES.items() if shutil.which(program) is None]
    if missing:
        raise SynthesisError(f"{' and '.join(missing)} missing; install: apt-get install {' '.join(missing)}")


def speak(text: str, rng: np.random.Generator, folder: Path, name: str) -> Utterance:
    """Speak `text` with a random voice into `folder/name.flac` and describe it."""
    if rng.random() < 0.5:
        voice = str(rng.choice(FLITE_VOICES))
        mean_f0_hz = {"slt": 175.0}.get(voice, 115.0) * float(rng.uniform(0.75, 1.35))
        command = ["flite", "-psdur", "-voice", voice, "--setf", f"duration_stretch={rng.uniform(0.75, 1.25):.3f}",
                   "--setf", f"int_f0_target_mean={mean_f0_hz:.1f}", "-t", text + " "]
        speaker = f"flite:{voice}"
    else:
        voice = f"{rng.choice(ESPEAK_LANGUAGES)}+{rng.choice(ESPEAK_VARIANTS)}"
        command = ["espeak-ng", "-v", voice, "-s", str(rng.integers(120, 215)), "-p", str(rng.integers(15, 90)), text]
        speaker = f"espeak:{voice}"
    with tempfile.TemporaryDirectory() as temporary:
        wav = Path(temporary) / "speech.wav"
        done = subprocess.run([*command[:-1], *(["-o"] if command[0] == "flite" else ["-w"]), str(wav), command[-1]]
                              if command[0] == "espeak-ng" else [command[0], "-o", str(wav), *command[1:]],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0 or not wav.is_file():
            raise SynthesisError(f"{command[0]} failed on {text[:40]!r}: {done.stderr.strip()[:80]}; check its installation")
        samples, sample_rate_hz = soundfile.read(wav, dtype="float32")
    samples = soxr.resample(samples, sample_rate_hz, SAMPLE_RATE_HZ)
    path = folder / f"{name}.flac"
    soundfile.write(path, samples, SAMPLE_RATE_HZ)
    alignment = " ".join(done.stdout.split()) if command[0] == "flite" else ""
    return Utterance(path, len(samples) / SAMPLE_RATE_HZ, speaker, "train", text, LICENCE, "synthetic", alignment)


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

    def make(number: int) -> Utterance:
        rng = np.random.default_rng([seed, number])
        return speak(lines[rng.integers(len(lines))], rng, out, f"{number:07d}")

    spoken: list[Utterance] = []
    with ThreadPoolExecutor(workers) as pool:
        while sum(item.seconds for item in spoken) < hours * 3600:
            spoken.extend(pool.map(make, range(len(spoken), len(spoken) + 200)))
            write_manifest(out / "speech.tsv", spoken)
            print(f"{sum(item.seconds for item in spoken) / 3600:.2f} h", flush=True)
    return spoken
