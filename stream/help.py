"""What `--help` shows: options with their units and defaults, exit codes, and where else options come from.

No default is a path of the machine that prints it: what lies in the home folder begins with ~, what ships says so in words.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stream.errors import EXIT_CODES_HELP

UNITS = {"s": "SECONDS", "ms": "MS", "hz": "HZ", "db": "DB", "bps": "BPS", "ppm": "PPM", "m": "METRES", "bytes": "BYTES"}
SETTINGS = """settings:
  Options can also stand in table [{table}] of ~/.config/clari/config.toml, as in {setting}, and in the environment,
  as in {variable}. A flag wins over the environment, that over the file, that over the default."""
EXAMPLES = {  # of each command's own options, as TOML
    "tx": 'profile = "fast"',
    "rx": "delay-ms = 300",
    "channel": "delay-s = 0.5",
    "demo": "loss = 0.1",
    "rate": "link-bps = 400",
}


def in_words(default: object) -> str:
    """A default as a user would write it; empty where there is nothing to tell."""
    if default is None or default is False or default in ("", [], ()):
        return ""
    if isinstance(default, list | tuple):
        return " ".join(map(in_words, default))
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, Path) and default.is_absolute():
        home = Path.home()
        return f"~/{default.relative_to(home)}" if default.is_relative_to(home) else str(default)
    return str(default)


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Defaults shown where there are any, values named by their unit, examples left as written."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = in_words(action.default)
        told = not action.help or "default" in action.help or action.default is argparse.SUPPRESS or not action.option_strings
        return action.help if told or not default else f"{action.help} (default: {default.replace('%', '%%')})"

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        return UNITS.get(action.dest.rpartition("_")[2], action.dest.rpartition("_")[2].upper())


def epilog(table: str = "") -> str:
    """What stands below the options. table: of the configuration file, for a command that reads one."""
    if not table:
        return EXIT_CODES_HELP
    setting = EXAMPLES[table]
    name, value = setting.split(" = ")
    variable = f"CLARI_{name.upper().replace('-', '_')}={value.strip(chr(34))}"
    return "\n\n".join([SETTINGS.format(table=table, setting=setting, variable=variable), EXIT_CODES_HELP])
