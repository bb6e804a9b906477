"""The table of a campaign in Markdown, with all that is needed to make it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from channel.differences import Difference, difference_table
from channel.job import Coder, Spent, Utterance
from channel.results import Row
from stream.bootstrap import RESAMPLES
from stream.tables import cell, markdown_table

# Title of the column, name of the figure, digits, whether the interval is shown.
LINK = (
    ("on air bps", "on_air_bps", 0, False),
    ("damaged %", "damaged_percent", 1, False),
    ("lost before repair %", "lost_before_percent", 1, True),
    ("lost after repair %", "lost_after_percent", 1, True),
    ("delay s", "delay_s", 2, True),
    ("95 % within s", "delay_p95_s", 2, False),
)
SPEECH = (("STOI", "stoi", 3, True), ("WER %", "wer_percent", 1, True))

MEANING = """What the columns mean:

* **on air**: all bytes of all packets, headers, parity, repair and control packets and the filling of the last packet, per second
  of speech. An utterance is a transmission of its own; the last block of `repair` is short and costs more than those before it.
* **damaged**: packets that arrived with wrong bits, of all packets.
* **lost before repair**: voice packets that did not arrive, or with more wrong bytes than their own parity repairs.
* **lost after repair**: frames of 80 ms that were not heard as they were sent and in time, whatever the reason.
* **delay**: from a sample spoken to the same sample heard, mean over the frames heard; then the time within which 95 % of them
  are heard, mean over passages. Look-ahead of the codec, packet, link, repair and playout are in it, computing time is not."""
SPEECH_MEANING = """
* **STOI, WER**: of what was heard, concealed stretches and silence included, against the original. Frames that were never heard
  count as silence. `original` is the recording itself, `clean` the codec alone."""

PAIRED = "An encoder minus the first one over the same links with the same weather, paired bootstrap over utterances:"


@dataclass(frozen=True)
class Setting:
    """What was asked for and what it took."""

    command: str
    utterances: Sequence[Utterance]
    coders: Sequence[Coder]
    seeds: int
    link_seeds: int
    judge: str | None
    link_only: bool
    left_out: Sequence[str]
    machine: str
    wall_s: float
    workers: int


@dataclass
class Speed:
    """Seconds of speech and of processor time, summed over cells; no result."""

    linked_s: dict[str, float] = field(default_factory=dict)  # of speech, through the link, by protection
    link_cpu_s: dict[str, float] = field(default_factory=dict)
    decoded_s: float = 0.0  # of speech, through link and codec
    codec_cpu_s: float = 0.0  # for encoder, link and decoder of those

    def add(self, protection: str, speech_s: float, spent: Spent, decoded: bool) -> None:
        """Count a cell that was computed, now or before."""
        self.linked_s[protection] = self.linked_s.get(protection, 0.0) + speech_s
        self.link_cpu_s[protection] = self.link_cpu_s.get(protection, 0.0) + spent.link_s
        if decoded:
            self.decoded_s += speech_s
            self.codec_cpu_s += spent.link_s + spent.decode_s

    def __str__(self) -> str:
        each = [f"{name} {_times(speech_s, self.link_cpu_s[name])}" for name, speech_s in self.linked_s.items()]
        link = f"{_times(sum(self.linked_s.values()), sum(self.link_cpu_s.values()))} times real time per core for the link alone"
        link += f" ({', '.join(each)})" if len(each) > 1 else ""
        if not self.decoded_s:
            return link
        return f"{link}, {_times(self.decoded_s, self.codec_cpu_s)} times with encoder, link and decoder"


def _times(speech_s: float, cpu_s: float) -> str:
    """How much faster than real time."""
    return f"{speech_s / max(cpu_s, 1e-9):.0f}"


def report(setting: Setting, rows: Sequence[Row], differences: Sequence[Difference], speed: Speed) -> str:
    """The whole document."""
    parts = ["# What the links do to speech", f"Written by this command, not by hand:\n\n    {setting.command}"]
    parts += [_said(setting), _table(rows, setting), MEANING + ("" if setting.link_only else SPEECH_MEANING)]
    if differences and not setting.link_only:
        parts.append(f"{PAIRED}\n\n{difference_table(differences)}")
    if setting.left_out:
        parts.append("Left out, because the link is slower than what would be sent:\n")
        parts[-1] += "\n".join(f"\n* {each}" for each in setting.left_out).replace("\n\n", "\n")
    hours = sum(speed.linked_s.values()) / 3600
    parts.append(
        f"Speed: {speed}. That is seconds of speech over seconds of processor time, user and system, of the process that computes "
        f"a cell ({hours:.1f} hours of speech through links on {setting.machine}). The link alone is the sender from codes to "
        "packets, the simulated link, the receiver from bytes to slots of playout, and the comparison with what was sent; the "
        "sender's conditioning of samples, encoder and decoder are not in it. "
        + ("" if setting.link_only else "The decoder does not decode again what it decoded before of the same utterance. ")
        + f"This run took {setting.wall_s / 60:.1f} minutes with {setting.workers} processes; what an earlier one had finished is "
        "not in that."
    )
    return "\n\n".join(parts) + "\n"


def _said(setting: Setting) -> str:
    seconds = sum(each.seconds for each in setting.utterances)
    count = setting.seeds + setting.link_seeds
    passages = f"{count} {'passage' if count == 1 else 'passages'} of each through every link"
    if setting.link_only:
        said = f"{len(setting.utterances)} streams of random codes, {seconds / 60:.1f} minutes; {passages}."
    else:
        speakers = len({each.speaker for each in setting.utterances})
        said = (
            f"{len(setting.utterances)} utterances of {speakers} speakers, {seconds:.0f} s: "
            f"{', '.join(each.name for each in setting.utterances)}. {passages}, {setting.seeds} of them decoded"
        )
        said += f" and recognised by {setting.judge}." if setting.judge else "."
    said += f" Intervals are of 95 %, by {RESAMPLES} bootstrap resamples of {'streams' if setting.link_only else 'utterances'}."
    coders = [
        f"* `{each.name}`: {each.meta.training}; encoder.onnx SHA-256 {each.encoder_sha256}, decoder.onnx {each.decoder_sha256}"
        for each in setting.coders
    ]
    return "\n".join([said, "", *coders])


def _table(rows: Sequence[Row], setting: Setting) -> str:
    several = len(setting.coders) > 1
    columns = LINK if setting.link_only else LINK + SPEECH
    head = ["link", "packets", "protection", *(["encoder"] if several else []), *(title for title, *_ in columns)]
    lines = [
        [
            row.link,
            row.profile,
            row.protection,
            *([row.encoder] if several else []),
            *(cell(row.figures[name], digits, shown) for _, name, digits, shown in columns),
        ]
        for row in rows
    ]
    return markdown_table(head, lines)
