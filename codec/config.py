"""Every number of an experiment, as frozen dataclasses read from one small TOML file.

Defaults stand here with their reason; a TOML file in `configs/` holds what a published experiment changes. Unknown
keys are errors, and the whole configuration is written into every run folder and every checkpoint.
"""

from __future__ import annotations

import copy
import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream.errors import ClariError
from stream.frame import SAMPLES_PER_FRAME

HOP_SAMPLES = 160  # one mel frame: 100 Hz
MEL_FRAMES_PER_CODE = SAMPLES_PER_FRAME // HOP_SAMPLES  # 8; one code frame: 12.5 Hz
BITS_PER_FRAME = 16

MOVED = {("rl", "vocoder"): ("train", "vocoder")}  # runs and weights files of former versions hold the old names


class ConfigError(ClariError):
    """A configuration that cannot be used; the message names the key and the cure."""


@dataclass(frozen=True)
class ModelConfig:
    """The codec. Widths and block counts are listed from 50 Hz over 25 Hz to 12.5 Hz for the encoder, and back for
    the decoder: a block at 12.5 Hz costs a quarter of one at 50 Hz, so width goes where it is cheap."""

    mels: int = 80
    look_ahead_frames: int = 8  # mel frames of 10 ms that the encoder hears before it decides: phone ends decide phones
    encoder_widths: tuple[int, ...] = (192, 256, 384)
    encoder_blocks: tuple[int, ...] = (2, 6, 8)
    decoder_widths: tuple[int, ...] = (384, 256, 192)
    decoder_blocks: tuple[int, ...] = (8, 3, 2)
    kernel: int = 7
    expansion: int = 3
    feedback_frames: int = 8  # rounded frames whose errors move what is rounded next (codec/feedback.py)
    vocoder_width: int = 256
    vocoder_blocks: int = 6


@dataclass(frozen=True)
class RecognizerConfig:
    """The phone recogniser whose hidden layers and posteriors judge decoded speech in training."""

    width: int = 256
    blocks: int = 8
    kernel: int = 11  # 8 blocks of 11 frames at 25 Hz hear 3.2 s
    expansion: int = 3


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The networks that the codec or the vocoder learns to convince, where `loss.adversarial` is not 0."""

    channels: int = 16
    mel_channels: int = 16  # of the first layer of the one that looks at mel spectrograms, for the codec
    fft_samples: tuple[int, ...] = (256, 512, 1024)
    periods: tuple[int, ...] = ()  # multi-period discriminators cost more than all else on a CPU; (2, 3, 5, 7, 11) on a GPU


@dataclass(frozen=True)
class DataConfig:
    """Which speech a step hears and what happens to it."""

    corpora: tuple[str, ...] = ("runs/corpus-real", "runs/corpus-synthetic")
    shares: tuple[float, ...] = (0.75, 0.25)  # of the crops; real speech is what the codec is for
    noise: str = "runs/noise"
    crop_s: float = 2.56
    batch_s: float = 72.0  # seconds of speech per step
    longest_s: float = 9.0  # whole utterances that are longer are left out
    speed: tuple[float, float] = (0.85, 1.18)  # resampling: pitch, formants and rate together, a new voice from an old
    # Active speech level in dBFS; its peaks lie some 14 dB higher, so this is -30..0 dBFS. Drawn more often near the top,
    # where people speak.
    level_db: tuple[float, float] = (-44.0, -14.0)
    noise_share: float = 0.3  # of the crops
    noise_snr_db: tuple[float, float] = (0.0, 30.0)
    room_share: float = 0.15  # of the crops are heard through a room; the target stays dry
    room_decay_s: tuple[float, float] = (0.15, 0.8)  # reverberation time T60
    room_direct_db: tuple[float, float] = (-3.0, 15.0)  # energy of the direct sound relative to the reverberation


@dataclass(frozen=True)
class LossConfig:
    """Weights of the objectives; 0 switches one off (it is still logged where it costs nothing)."""

    mel: float = 1.0
    recognizer: float = 0.7  # relative L1 over the recogniser's hidden layers + posterior_kl * KL
    posterior_kl: float = 0.3
    knowledge: float = 0.0  # KL of those posteriors to what a linear layer reads from the decoder before it draws the mel
    phones: float = 0.0  # cross entropy to the known phone, of the frozen recogniser on decoded speech and of that linear layer
    teacher: float = 0.0  # relative L1 over what a large recogniser hears in vocoded speech (codec/teacher.py)
    teacher_knowledge: float = 0.0  # the same of what a linear layer reads from the decoder before it draws the mel
    encoder_knowledge: float = 0.0  # as `knowledge`, read from the encoder before it rounds: a path without quantiser
    encoder_teacher_knowledge: float = 0.0  # as `teacher_knowledge`, from there
    teacher_share: float = 1.0  # of the crops that are vocoded for it: the dearest of these objectives needs the fewest
    words: float = 0.0  # divergence of the words that it would write from vocoded speech, in nats per token
    envelope: float = 0.0  # how badly the third-octave envelopes correlate over 0.4 s, which is what STOI measures
    stft: float = 1.0  # vocoder: multi-resolution spectral convergence and log magnitude
    vocoder_mel: float = 1.0
    adversarial: float = 0.0  # convince the discriminators: the vocoder's of samples, the codec's of mel spectrograms
    features: float = 2.0  # feature matching, where `adversarial` is not 0
    letters: float = 0.5  # recogniser: CTC over letters beside CTC over phones
    frame_phones: float = 0.5  # recogniser: frame classification where phone times are known


@dataclass(frozen=True)
class TrainConfig:
    """How a run steps, saves and stops."""

    task: str = "codec"  # recognizer | codec | vocoder | rl
    steps: int = 8000
    learning_rate: float = 8e-4
    warmup_steps: int = 200
    final_rate_share: float = 0.02  # cosine decay down to this share of the rate
    betas: tuple[float, float] = (0.8, 0.99)
    trainable: str = "all"  # codec: all | encoder | feedback; the latter two leave the decoder and its id as they are
    optimizer: str = "adamw"  # adamw | muon: the matrices of the blocks by Muon, all else by AdamW (codec/muon.py)
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    average_decay: float = 0.999  # exponential average of the weights; the average is what ships
    lost_burst_share: float = 0.3  # of the crops lose bursts of frames, so that the decoder learns to conceal
    lost_burst_frames: tuple[int, int] = (1, 12)
    bit_error_share: float = 0.0  # of the crops are decoded from codes with wrong bits
    bit_error_rate: tuple[float, float] = (0.001, 0.03)  # of the bits in such a crop
    recognizer: str = "runs/recognizer"  # run folder of the frozen recogniser
    vocoder: str = ""  # run folder or weights file of the frozen vocoder, where the teacher or a reward listens to samples
    initial: str = ""  # run folder or weights file that starts this run
    decoded_by: str = ""  # vocoder: run folder or weights file of a frozen codec whose decoded mel it learns to speak
    decoded_share: float = 0.7  # of the steps; the others hear original mel
    autocast: str = "auto"  # auto: bfloat16 where the processor has units for it, else float32
    seed: int = 1
    log_every: int = 20
    save_every: int = 200
    picture_every: int = 1000


@dataclass(frozen=True)
class RLConfig:
    """Stage 2: the encoder as a policy (codec/RL.md). Its anchor to the original speech is [loss], its aim is [reward]."""

    group: int = 8  # draws per utterance, compared with each other
    temperature: float = 1.0  # of the draws; higher explores farther from rounding
    gradient: str = "draws"  # draws: compare them | slope: follow that of their reward, which has less noise
    rounds: int = 0  # of search from the rounded codes, `group` versions each; what it finds is compared with them. 0: plain draws
    stretch_frames: int = 4  # of the search: every second stretch has one frame changed per version
    weight: float = 10.0  # of the policy gradient, beside the anchor; 0 trains on the anchor alone
    updates: int = 1  # steps on the same draws; more than one wants clip
    clip: float = 0.0  # how far the probability of a frame's codes may move from that of the draw (PPO); 0 is no limit
    kl: float = 0.0  # weight of the divergence from the stage 1 policy, in nats per frame
    entropy: float = 0.0  # weight of the policy's entropy, in nats per frame, as a bonus
    deviation_floor: float = 1e-4  # added to a group's standard deviation: smaller differences do not count in full
    credit: str = "frame"  # frame: each code frame answers for what is heard around it | utterance: all for the whole
    credit_reach_s: float = 0.08  # frame credit: how much before and after a code frame it answers for; about one phone
    reference: str = "transcript"  # what should be understood: transcript | heard, what the recogniser hears in the original
    trainable: str = "encoder"  # encoder | feedback, the layers that answer rounding | all: another decoder afterwards
    link_share: float = 0.0  # of the utterances pass a narrow link on the way to the decoder
    link_profile: str = "standard"  # whose packets are lost
    link_loss_rate: tuple[float, float] = (0.05, 0.2)  # of the packets, drawn per utterance
    link_burst_packets: float = 2.0  # mean length of a burst
    link_bit_error_rate: tuple[float, float] = (0.0, 0.0)  # of the bits that stay wrong in packets that arrive
    validation_rounds: int = 8  # batches of the speakers set aside that every validation decodes


@dataclass(frozen=True)
class Config:
    """One experiment."""

    model: ModelConfig = field(default_factory=ModelConfig)
    recognizer: RecognizerConfig = field(default_factory=RecognizerConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    rl: RLConfig = field(default_factory=RLConfig)
    reward: dict[str, float] = field(default_factory=dict)  # weights by name (codec.rewards.REWARDS); what is left out has none


def _section(kind: type, values: dict[str, Any], where: str) -> Any:
    known = {item.name: item for item in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(known)}")
    converted = {}
    for name, value in values.items():
        default = known[name].default
        if isinstance(default, tuple):
            if not isinstance(value, list | tuple):
                raise ConfigError(f"{where}: {name} must be a list, like {list(default)}")
            value = tuple(value)
        elif isinstance(default, float) and type(value) is int:
            value = float(value)
        elif type(value) is not type(default):
            raise ConfigError(f"{where}: {name} must be a {type(default).__name__}, like {default!r}")
        converted[name] = value
    return kind(**converted)


def _weights(values: dict[str, Any], where: str) -> dict[str, float]:
    for name, value in values.items():
        if type(value) not in (int, float):
            raise ConfigError(f"{where}: {name} must be a number, like 1.0")
    return {name: float(value) for name, value in values.items()}


def config_from_dict(values: dict[str, Any], where: str) -> Config:
    """Build a configuration from nested dictionaries.

    Raises:
        ConfigError: an unknown section or key, or a value of the wrong type.
    """
    sections = {item.name: item.default_factory for item in dataclasses.fields(Config) if item.name != "reward"}
    tables = copy.deepcopy(values)
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: {name} must be a section, like [train]; single values are written section.key")
    for (section, name), (now, new_name) in MOVED.items():
        if value := tables.get(section, {}).pop(name, None):
            tables.setdefault(now, {}).setdefault(new_name, value)
    reward = _weights(tables.pop("reward", {}), f"{where} [reward]")
    unknown = sorted(set(tables) - set(sections))
    if unknown:
        raise ConfigError(f"{where}: unknown section [{unknown[0]}]; known are {', '.join([*sections, 'reward'])}")
    parts = {name: _section(sections[name], table, f"{where} [{name}]") for name, table in tables.items()}
    return Config(**parts, reward=reward)


def load_config(path: Path, overrides: list[str] | None = None) -> Config:
    """Read a TOML file and apply overrides of the form `train.steps=100` (values are TOML); `reward={cer = 1.0}` replaces
    a whole section.

    Raises:
        ConfigError: missing file, invalid TOML, unknown key or wrong type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        for override in overrides or []:
            key, _, value = override.partition("=")
            section, _, name = key.partition(".")
            parsed = tomllib.loads(f"value = {value}")["value"]
            if name:
                values.setdefault(section, {})[name] = parsed
            else:
                values[section] = parsed
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration; see codec/configs/") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML ({error}); strings need quotes, also in overrides") from None
    return config_from_dict(values, str(path))
