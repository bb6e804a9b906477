"""Options from elsewhere than the command line: a flag wins over the environment, that over a file, that over the default.

The file is TOML with a table for every command, and the long names of options in it:

    [rx]
    bind = "tcp://0.0.0.0:5555"
    speaker = true
    delay-ms = 300

It lies in $XDG_CONFIG_HOME/clari/config.toml (XDG Base Directory Specification 0.8; ~/.config without that variable)
unless --config or CLARI_CONFIG names another. The environment has the same options as CLARI_DELAY_MS and so on, for
whichever command knows them. What cannot stand beside a flag (`--speaker` beside `--null`) gives way to it.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from stream.errors import FileError, UsageError
from stream.help import epilog

COMMANDS = ("tx", "rx", "channel", "demo", "rate")  # that read the file
PREFIX = "CLARI_"
NOT_SETTABLE = ("help", "version", "config")
PATHS = ("FILE", "DIR")  # what options that name files call their values
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def default_path(environment: Mapping[str, str]) -> Path:
    """Where the file lies unless it is named."""
    base = environment.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~")) / ".config"  # relative ones do not count
    return folder / "clari" / "config.toml"


def without_settings() -> dict[str, str]:
    """The environment for a command that another one starts: only what it is told on its command line counts."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return inherited | {f"{PREFIX}CONFIG": os.devnull}


def parse_options(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> argparse.Namespace:
    """The options of a command, wherever they come from; adds `--config` and `--verbose` to them.

    Raises:
        UsageError: an option or value that is not possible; the message says where it stands.
        FileError: the file that was named cannot be read.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    environment = os.environ if environment is None else environment
    table = parser.prog.removeprefix("clari-")
    parser.add_argument(
        "--config", metavar="FILE", help=f"take options from table [{table}] of this TOML file, in place of the usual one"
    )
    parser.epilog = epilog(table)
    parser.add_argument("-v", "--verbose", action="store_true", help="say where options come from, and more often how it goes")
    actions = {_name(action): action for action in parser._actions if _name(action)}
    parser.parse_args(words)  # --help and wrong flags end here, before any file is read
    given = vars(_parse_bare(parser, words))
    named = given.get("config") or environment.get(f"{PREFIX}CONFIG")
    taken = _with_rivals(parser, set(given))
    sources: list[tuple[str, list[str], list[str]]] = []  # where, names, words
    from_environment = {name: environment.get(PREFIX + name.upper().replace("-", "_"), "") for name in actions}
    settings: dict[str, object] = {
        name: _of_text(actions[name], text, f"{PREFIX}{name.upper().replace('-', '_')}")
        for name, text in from_environment.items()
        if text and actions[name].dest not in taken
    }
    sources.append(("the environment", *_words(actions, settings, "the environment")))
    taken = _with_rivals(parser, taken | {actions[name].dest for name in settings})
    path = Path(named).expanduser() if named else default_path(environment)
    in_file = _read(path, table, actions, must_exist=bool(named))
    settings = {name: value for name, value in in_file.items() if actions[name].dest not in taken}
    sources.append((str(path), *_words(actions, settings, str(path))))
    for where, _, more in sources:
        try:
            _parse_bare(parser, more)  # here the message can say where the mistake is
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
    args = parser.parse_args([*sources[1][2], *sources[0][2], *words])
    for action in parser._actions:
        if action.metavar in PATHS or action.dest == "model":
            setattr(args, action.dest, _at_home(getattr(args, action.dest, None)))
    args.given = frozenset(given)
    if args.verbose:
        for where, names, _ in sources:
            if names:
                print(f"{parser.prog}: from {where}: {', '.join(sorted(names))}", file=sys.stderr)
    return args


def give_way(args: argparse.Namespace, chosen: str, *settings: str) -> None:
    """Forget settings that stand in a file or the environment where `chosen`, of the command line, has no use for them.

    All are names as in `args`. What the command line itself says stays, and is refused where it does not fit.
    """
    for name in settings if chosen in args.given else ():
        if name not in args.given:
            setattr(args, name, None)


def _name(action: argparse.Action) -> str:
    """The long name of an option without dashes; empty for what cannot be set from elsewhere."""
    long = next((option[2:] for option in action.option_strings if option.startswith("--")), "")
    return "" if long in NOT_SETTABLE else long


def _parse_bare(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """What the words themselves say, without defaults."""
    defaults = [(action, action.default) for action in parser._actions]
    try:
        for action, _ in defaults:
            action.default = argparse.SUPPRESS
        return parser.parse_args(words)
    finally:
        for action, default in defaults:
            action.default = default


def _with_rivals(parser: argparse.ArgumentParser, dests: set[str]) -> set[str]:
    """These options, and those that exclude one of them."""
    rivals = set(dests)
    for group in parser._mutually_exclusive_groups:
        members = {action.dest for action in group._group_actions}
        if members & dests:
            rivals |= members
    return rivals


def _of_text(action: argparse.Action, text: str, variable: str) -> object:
    """The value of a variable, as a TOML file would have it."""
    if action.nargs == 0:
        if text.lower() not in (*TRUE, *FALSE):
            raise UsageError(f"{variable}={text!r} switches nothing; write 1 or 0")
        return text.lower() in TRUE
    return text.split() if action.nargs in ("+", "*") else text


def _read(path: Path, table: str, actions: Mapping[str, argparse.Action], must_exist: bool) -> dict[str, object]:
    """The table of one command; checked, so that no misspelt option stays without effect."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # editors of Windows put a mark in front
    except (FileNotFoundError, NotADirectoryError):
        if must_exist:
            raise FileError(f"cannot read {path}: no such file; name a TOML file with --config") from None
        return {}
    except OSError as error:
        raise FileError(f"cannot read {path}: {(error.strerror or 'error').lower()}; name another file with --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {str(error).splitlines()[0]}; correct it") from None
    for key, value in data.items():
        if key not in COMMANDS or not isinstance(value, dict):
            raise UsageError(f"{path}: {key!r} is no table of a command; options stand in [{'], ['.join(COMMANDS)}]")
    for key in data.get(table, {}):
        if key not in actions:
            close = difflib.get_close_matches(key, actions, 1)
            cure = f"write {close[0]}" if close else f"see clari-{table} --help"
            raise UsageError(f"{path}: [{table}] has no option {key!r}; {cure}")
    return dict(data.get(table, {}))


def _words(actions: Mapping[str, argparse.Action], settings: Mapping[str, object], where: str) -> tuple[list[str], list[str]]:
    """The names of the settings and the words that say the same on a command line."""
    words: list[str] = []
    for name, value in settings.items():
        action, option = actions[name], f"--{name}"
        if isinstance(value, bool) and action.nargs in (0, "?"):
            negation = [f"--no-{name}"] if isinstance(action, argparse.BooleanOptionalAction) else []
            words += [option] if value else negation
        elif action.nargs == 0 or isinstance(value, bool):
            wanted = "true or false" if action.nargs == 0 else "a value"
            raise UsageError(f"{where}: {name} = {value!r} is not possible; give {wanted}")
        elif isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
            listed = [option, *map(str, value)] if action.nargs in ("+", "*") else [f"{option}={each}" for each in value]
            words += listed if value else []
        elif isinstance(value, str | int | float):
            words.append(f"{option}={value}")
        else:
            raise UsageError(f"{where}: {name} = {value!r} is not possible; give text, a number, true, false or a list")
    return list(settings), words


def _at_home(value: object) -> object:
    """A path as a shell would hand it over: in a file, a variable and after `=` nothing else turns ~ into the home folder."""
    return os.path.expanduser(value) if isinstance(value, str) else value
