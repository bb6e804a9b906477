"""clari-rate: what profiles and protections cost on air and in delay, and what fits into a link."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass

from stream.config import parse_options
from stream.errors import UsageError, run_command
from stream.options import add_protection, command_parser, number, protection_of, write_json
from stream.profile import CRC_BYTES, PROFILES, Profile, find_profile, on_air_bps, packet_bytes
from stream.protection import Protection
from stream.seal import TAG_BYTES

USUAL = (Protection(), Protection(block=4, repairs=1), Protection(block=8, repairs=2), Protection(repeat=1), Protection(repeat=2))

DESCRIPTION = """Print what goes on air for every profile and protection, everything counted.

examples:
  clari-rate                                     the usual protections
  clari-rate --link-bps 400                      those that fit into a link of 400 bit/s
  clari-rate --profile fast --repair 10+3        one of your own"""


@dataclass(frozen=True)
class Row:
    """One way to use a link."""

    profile: str
    protection: str
    check: str
    packet_bytes: int
    on_air_bps: float
    packet_s: float
    added_delay_s: float
    survives: str
    repairs_bytes: int  # wrong ones in a packet


def row(profile: Profile, protection: Protection, tag_bytes: int) -> Row:
    check_bytes = tag_bytes or CRC_BYTES
    return Row(
        profile.name,
        str(protection),
        f"tag of {tag_bytes}" if tag_bytes else "CRC",
        packet_bytes(profile, protection, check_bytes),
        on_air_bps(profile, protection, check_bytes),
        profile.packet_s,
        round(protection.delay_s(profile.packet_s), 3),
        protection.survives(),
        profile.parity_bytes // 2,
    )


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| profile | protection | check | packet | on air | added delay | losses survived |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {each.profile} | {each.protection} | {each.check} | {each.packet_bytes} bytes | {each.on_air_bps:.1f} bit/s "
        f"| {each.added_delay_s:.2f} s | {each.survives} |"
        for each in rows
    ]
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("clari-rate", DESCRIPTION)
    parser.add_argument("-p", "--profile", help=f"only this packet size: {', '.join(PROFILES)}")
    add_protection(parser)
    parser.add_argument("--tag-bytes", type=int, choices=TAG_BYTES, help="sealed packets, with a tag of that size")
    parser.add_argument("--link-bps", type=number(1, 1e9), help="bit rate of the link: print only what fits into it")
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON; - is stdout, in place of the table")
    return parser


def rows_of(args: argparse.Namespace) -> list[Row]:
    """The rows that the options ask for.

    Raises:
        UsageError: an option is wrong, or nothing fits into the link.
    """
    profiles = [find_profile(args.profile)] if args.profile else list(PROFILES.values())
    named = protection_of(args)
    protections = USUAL if named == Protection() else (named,)
    rows = [row(profile, protection, args.tag_bytes or 0) for protection in protections for profile in profiles]
    fitting = [each for each in rows if args.link_bps is None or each.on_air_bps <= args.link_bps]
    if not fitting:
        least = min(rows, key=lambda each: each.on_air_bps)
        raise UsageError(
            f"nothing fits into {args.link_bps:g} bit/s: the least is {least.profile}, protection {least.protection}, with "
            f"{least.on_air_bps:.1f}; choose another profile or less protection, or a faster link"
        )
    return fitting


def main(argv: list[str] | None = None) -> int:
    def command() -> int:
        args = parse_options(build_parser(), argv)
        rows = rows_of(args)
        if args.json != "-":
            print(table(rows))
        write_json(args.json, {"schema_version": 1, "rows": [asdict(each) for each in rows]})
        return 0

    return run_command("clari-rate", command)


if __name__ == "__main__":
    raise SystemExit(main())
