"""`--help` of every command: whole, and the same on every machine."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

import pytest

from stream.config import parse_options
from stream.help import EXAMPLES, UNITS, in_words

COMMANDS = {
    "clari-tx": "stream.tx",
    "clari-rx": "stream.rx",
    "clari-demo": "stream.demo",
    "clari-rate": "stream.rate",
    "clari-keygen": "stream.keygen",
    "clari-bench": "stream.bench",
    "clari-channel": "channel.relay",
    "clari-sim": "channel.sim",
    "clari-eval": "codec.evaluate.command",
    "clari-listen": "codec.listening_test.command",
    "clari-export": "export.command",
}
TRAINED = ("clari-eval", "clari-listen", "clari-export")
MACHINE = (str(Path(__file__).parents[1]), str(Path.home()) + "/")


def parser_of(command: str) -> argparse.ArgumentParser:
    if command in TRAINED:
        pytest.importorskip("torch", reason="clari-eval and clari-export need torch; install: pip install 'clari[export,eval]'")
    if command == "clari-export":
        pytest.importorskip("onnxscript", reason="clari-export needs onnxscript; install: pip install 'clari[export]'")
    made = import_module(COMMANDS[command]).build_parser()
    assert isinstance(made, argparse.ArgumentParser)
    return made


def with_commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parser and those of its commands, as of clari-bench."""
    inner = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [parser, *(each for choices in inner for each in choices.values())]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_whole(command: str) -> None:
    for parser in with_commands(parser_of(command)):
        text = parser.format_help()
        assert parser.description and "exit codes:\n  0    success" in text
        assert "None" not in text and not any(place in text for place in MACHINE), text
        for action in parser._actions:
            assert action.help, f"{parser.prog}: {action.dest} has no help"
            unit = UNITS.get(action.dest.rpartition("_")[2])
            if unit and action.nargs is None and action.help != argparse.SUPPRESS:
                assert action.metavar or f"--{action.dest.replace('_', '-')} {unit}" in text or action.choices, action.dest


@pytest.mark.parametrize("command", ["clari-rx", "clari-channel"])
def test_idle_programs_say_that_they_wait_for_the_first_packet(command: str) -> None:
    (option,) = (action for action in parser_of(command)._actions if action.dest == "idle_exit_s")
    assert option.help and "once" in option.help and "came" in option.help


def test_defaults_are_shown_as_they_are_written() -> None:
    assert [in_words(each) for each in (None, False, "", [], (), 0, 100.0, 0.5, ("a", 2.0))] == [
        *([""] * 5),
        *("0", "100", "0.5", "a 2"),
    ]
    assert in_words(Path.home() / ".cache" / "clari") == "~/.cache/clari"


def test_a_command_that_reads_a_file_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(parser_of("clari-rx"), ["--help"], {})
    said = capsys.readouterr().out
    assert "table [rx] of ~/.config/clari/config.toml" in said and "CLARI_DELAY_MS" in said
    assert not any(place in said for place in MACHINE)


@pytest.mark.parametrize("table", EXAMPLES)
def test_the_setting_that_help_shows_is_one_of_that_command(table: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[{table}]\n{EXAMPLES[table]}\n", encoding="utf-8")
    name, value = EXAMPLES[table].split(" = ")
    from_file = parse_options(parser_of(f"clari-{table}"), ["--config", str(file)], {})
    variable = f"CLARI_{name.upper().replace('-', '_')}"
    from_environment = parse_options(parser_of(f"clari-{table}"), [], {variable: value.strip('"')})
    said = vars(from_file)[name.replace("-", "_")]
    assert said == vars(from_environment)[name.replace("-", "_")]
    assert said == (value.strip('"') if '"' in value else float(value))
