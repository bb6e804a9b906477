"""Options from a file and from the environment, and who wins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from channel import relay
from stream import rate, rx, tx
from stream.config import default_path, parse_options, without_settings
from stream.errors import FileError, UsageError


def options(argv: list[str], file: str | None = None, tmp_path: Path | None = None, command=rx, **environment: str):
    if file is not None:
        assert tmp_path is not None
        path = tmp_path / "clari" / "config.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(file, encoding="utf-8")
        environment["XDG_CONFIG_HOME"] = str(tmp_path)
    return parse_options(command.build_parser(), argv, environment)


def test_a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default(tmp_path: Path) -> None:
    file = "[rx]\ndelay-ms = 300\n"
    assert options([], "", tmp_path).delay_ms == 100
    assert options([], file, tmp_path).delay_ms == 300
    assert options([], file, tmp_path, CLARI_DELAY_MS="400").delay_ms == 400
    assert options(["--delay-ms", "500"], file, tmp_path, CLARI_DELAY_MS="400").delay_ms == 500
    assert options(["--delay", "500"], file, tmp_path).delay_ms == 500  # argparse takes a part of a name that is clear


def test_values_of_every_kind(tmp_path: Path) -> None:
    args = options(
        [], '[tx]\nmic = true\nno-vad = false\ntext = ["one", "-two"]\ntag-bytes = 8\nstation = "-BASE"\n', tmp_path, command=tx
    )
    assert (args.mic, args.key, args.text, args.tag_bytes, args.station) == (True, "vox", ["one", "-two"], 8, "-BASE")
    args = options([], '[tx]\nkey = "ptt"\nagc = false\n', tmp_path, command=tx)
    assert (args.key, args.agc) == ("ptt", False)
    assert options(["--no-vad"], '[tx]\nkey = "ptt"\n', tmp_path, command=tx).key == "open"
    assert options([], command=tx, CLARI_AGC="1").agc is True and options([], command=tx).agc is None
    assert options(["--text", "mine"], '[tx]\ntext = ["one"]\n', tmp_path, command=tx).text == ["mine"]
    assert options([], "[rx]\nbind = true\n", tmp_path).bind == "tcp://127.0.0.1:5555"
    assert options([], '[rx]\nbind = "ipc://x"\n', tmp_path).bind == "ipc://x"
    assert options([], CLARI_NULL="1").null is True and options([], CLARI_NULL="off").null is False
    assert options([], CLARI_MODEL="").model == "base"  # empty is not set


def test_what_cannot_stand_beside_a_flag_gives_way(tmp_path: Path) -> None:
    args = options(["--null"], '[rx]\nspeaker = true\nbind = "ipc://x"\n', tmp_path, CLARI_OUT="heard.wav")
    assert args.null and not args.speaker and args.out is None and args.bind == "ipc://x"
    args = options([], "[rx]\nspeaker = true\n", tmp_path, CLARI_OUT="heard.wav")
    assert args.out == "heard.wav" and not args.speaker


def test_settings_of_a_live_link_give_way_to_a_file_on_the_command_line(
    tmp_path: Path, wav: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = '[tx]\ncurve = "c.key"\n[rx]\nbind = true\nweb = 8080\ncurve = "c.key"\n[channel]\nbind = "ipc://a"\ncurve = "c.key"\n'
    (tmp_path / "live.toml").write_text(file, encoding="utf-8")
    monkeypatch.setenv("CLARI_CONFIG", str(tmp_path / "live.toml"))
    air, through, heard = (str(tmp_path / name) for name in ("air.bin", "through.bin", "heard.wav"))
    assert tx.main(["--in", str(wav), "--out", air]) == 0
    assert relay.main(["--in", air, "--out", through, "--packet-bytes", "26", "--packet-s", "0.64"]) == 0
    assert rx.main(["--in", through, "--out", heard]) == 0
    assert rx.main(["--in", through, "--out", heard, "--force", "--web", "8080"]) == 2  # said on the command line itself
    assert "add --bind ENDPOINT" in capsys.readouterr().err


def test_other_tables_are_for_other_commands(tmp_path: Path) -> None:
    file = '[tx]\nstation = "BASE"\n[channel]\nloss = 0.5\n[rate]\nprofile = "fast"\n'
    assert options([], file, tmp_path).delay_ms == 100
    assert options([], file, tmp_path, command=relay).loss == 0.5
    assert options([], file, tmp_path, command=rate).profile == "fast"


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("[rx]\ndelay = 300\n", "write delay-ms"),
        ("[rx]\ndelay_ms = 300\n", "write delay-ms"),
        ("[rx]\nwhatever = 300\n", "see clari-rx --help"),
        ("[rx]\nhelp = true\n", "no option 'help'"),
        ("[receiver]\ndelay-ms = 300\n", "'receiver' is no table of a command"),
        ("delay-ms = 300\n", "'delay-ms' is no table of a command"),
        ("[rx]\ndelay-ms = -5\n", "-5"),
        ("[rx]\ndelay-ms = 'long'\n", "'long' is no number"),
        ("[rx]\nspeaker = 1\n", "give true or false"),
        ("[rx]\ndelay-ms = true\n", "give a value"),
        ("[rx]\ndelay-ms = {a = 1}\n", "give text, a number"),
        ("[rx]\nspeaker = true\nnull = true\n", "not allowed with"),
        ("[rx\n", "is no TOML"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_the_file(tmp_path: Path, file: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        options([], file, tmp_path)
    assert says in str(error.value) and "config.toml" in str(error.value) and "\n" not in str(error.value)


def test_a_mistake_in_the_environment_names_the_environment() -> None:
    with pytest.raises(UsageError, match=r"environment.*--delay-ms.*'long'"):
        options([], CLARI_DELAY_MS="long")
    with pytest.raises(UsageError, match="CLARI_NULL='maybe'"):
        options([], CLARI_NULL="maybe")


def test_which_file_is_read(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f'[rx]\nmodel = "{name}"\n')
    assert options(["--config", str(tmp_path / "one")], CLARI_CONFIG=str(tmp_path / "two")).model == "one"
    assert options([], CLARI_CONFIG=str(tmp_path / "two")).model == "two"
    with pytest.raises(FileError, match="no such file"):
        options(["--config", str(tmp_path / "three")])
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is no TOML"):
        options(["--config", str(tmp_path / "bytes")])
    assert default_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/clari/config.toml")
    assert default_path({"XDG_CONFIG_HOME": "x", "HOME": "/ignored"}) == Path.home() / ".config" / "clari" / "config.toml"


def test_verbose_tells_where_options_come_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options(["-v"], "[rx]\ndelay-ms = 300\nspeaker = true\n", tmp_path, CLARI_MODEL="mine")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["clari-rx: from the environment: model", f"clari-rx: from {tmp_path}/clari/config.toml: delay-ms, speaker"]


def test_help_keeps_its_defaults_and_names_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options(["--help"], CLARI_CONFIG="/no/such/file")  # no file stands between a user and the help
    text = capsys.readouterr().out
    assert "(default: 100)" in text and "clari/config.toml" in text and "default: None" not in text


def test_a_broken_file_ends_the_command_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLARI_CONFIG", str(tmp_path / "none.toml"))
    assert rx.main(["--bind", "--null"]) == 6
    assert rate.main([]) == 6
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all("none.toml" in line for line in lines)


def test_commands_that_others_start_get_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLARI_MODEL", "mine")
    environment = without_settings()
    assert "CLARI_MODEL" not in environment and environment["PATH"] == os.environ["PATH"]
    assert parse_options(rx.build_parser(), [], environment).model == "base"


def test_a_file_of_an_editor_of_windows(tmp_path: Path) -> None:
    assert options([], "\ufeff[rx]\r\ndelay-ms = 300\r\n", tmp_path).delay_ms == 300


@pytest.mark.parametrize(
    ("option", "dest"),
    [("key-file", "key_file"), ("curve", "curve"), ("in", "input"), ("record", "record"), ("model", "model"), ("stats", "stats")],
)
def test_the_home_folder_is_where_a_shell_would_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, dest: str
) -> None:
    monkeypatch.setenv("HOME", "/home/radio")
    variable = {f"CLARI_{option.upper().replace('-', '_')}": "~/base.key"}
    for args in (
        options([], f'[tx]\n{option} = "~/base.key"\n', tmp_path, command=tx),
        options([], command=tx, **variable),
        options([f"--{option}=~/base.key"], command=tx),
    ):
        assert getattr(args, dest) == "/home/radio/base.key"
    assert options([], '[tx]\ntext = "~/base.key"\n', tmp_path, command=tx).text == ["~/base.key"]  # words of a user are no path


def test_the_file_itself_may_lie_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.toml").write_text("[rx]\ndelay-ms = 300\n")
    assert options([], CLARI_CONFIG="~/mine.toml").delay_ms == options(["--config=~/mine.toml"]).delay_ms == 300
