"""What a campaign consists of: which links, which ways to use them, and the jobs of all that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from channel.job import ORIGINAL, Coder, Job, Judged, Utterance
from channel.passage import Terms
from channel.presets import PRESETS, preset
from channel.simulator import ChannelConfig
from stream.errors import UsageError
from stream.frame import Codes
from stream.profile import Profile
from stream.protection import Protection


@dataclass(frozen=True)
class Way:
    """A link and how it is used."""

    link: str
    config: ChannelConfig
    terms: Terms


def links_of(names: Sequence[str], losses: Sequence[float], burst_s: float) -> dict[str, ChannelConfig]:
    """Presets, all if none and no loss is named, and links that lose a share of the packets and do nothing else.

    Raises:
        UsageError: no such preset, or a value out of range.
    """
    try:
        chosen = {name: preset(name).config for name in names or ([] if losses else PRESETS)}
        return chosen | {f"loss-{loss:g}": ChannelConfig(loss_rate=loss, mean_burst_s=burst_s) for loss in losses}
    except ValueError as error:
        raise UsageError(str(error)) from None


def parse_protection(text: str) -> Protection:
    """`none`, `K+R` or `repeat-D`.

    Raises:
        UsageError: it is none of them, or not possible.
    """
    if text == "none":
        return Protection()
    kind, _, packets = text.partition("-")
    if kind == "repeat" and packets.isascii() and packets.isdigit():
        return Protection.parse(None, int(packets))
    if "+" in text:
        return Protection.parse(text, None)
    raise UsageError(f"no protection {text!r}; write none, K+R like 8+2, or repeat-D like repeat-1")


def ways_of(
    links: Mapping[str, ChannelConfig],
    named: Sequence[str],
    protections: Sequence[Protection],
    profiles: Sequence[Profile],
    tag_bytes: int,
    delays_s: tuple[float, float],
) -> tuple[list[Way], list[str]]:
    """Every link under every protection, with the first of the profiles that fits it; and what fits no way, in words.

    named: links that were asked for by name, which have to carry something.

    Raises:
        UsageError: one of them carries nothing of what was asked for.
    """
    ways, left_out = [], []
    for link, config in links.items():
        found = []
        for protection in protections:
            every = [Terms(profile, protection, tag_bytes, *delays_s) for profile in profiles]
            fitting = next((terms for terms in every if terms.fit(config)), None)
            if fitting is None:
                least = min(every, key=lambda terms: config.air_s(terms.packet_bytes) * terms.packets_per_s)
                share = config.air_s(least.packet_bytes) * least.packets_per_s
                left_out.append(f"{link}, protection {protection}: even {least.profile.name} packets need {share:.2f} of its time")
            else:
                found.append(Way(link, config, fitting))
        if link in named and not found:
            raise UsageError(f"{left_out[-1]}; choose another --preset, --profile narrow, or less --protection")
        ways += found
    if not ways:
        raise UsageError("nothing fits any link; choose other presets, --profile narrow, or less --protection")
    return ways, left_out


def jobs_of(
    utterances: Sequence[Utterance],
    coders: Sequence[Coder],
    codes: Mapping[tuple[str, str, int], Codes],
    ways: Sequence[Way],
    seeds: int,
    link_seeds: int,
    judged: Judged,
    program: str,
) -> Iterator[Job]:
    """All jobs in the order of the table, one utterance after another, so that decoders meet what they know.

    codes: by name of the utterance and of the encoder, and frames in a packet.
    seeds, link_seeds: passages that are judged, and further ones that are counted only.
    """
    unheard = Judged(decode=False)
    for utterance in utterances:
        if judged.decode:
            coder = coders[0]
            held = codes[utterance.name, coder.name, ways[0].terms.profile.frames]
            yield Job(utterance, coder, held, ORIGINAL, None, ways[0].terms, 0, judged, program)
        for way in ways:
            for coder in coders:
                for seed in range(1, seeds + link_seeds + 1):
                    yield Job(
                        utterance,
                        coder,
                        codes[utterance.name, coder.name, way.terms.profile.frames],
                        way.link,
                        way.config,
                        way.terms,
                        seed,
                        judged if seed <= seeds else unheard,
                        program,
                    )
