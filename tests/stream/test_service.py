"""The units for systemd, the file for containers, and the search for wheels: what they name exists."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stream import rx, tx
from stream.config import COMMANDS, parse_options
from stream.service import wheels

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "stream" / "service"
UNITS = {"tx": tx, "rx": rx}
CONTAINERFILE = (SERVICE / "Containerfile").read_text(encoding="utf-8")


def unit(end: str) -> str:
    return (SERVICE / f"clari-{end}.service").read_text(encoding="utf-8")


def settings(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


@pytest.mark.parametrize("end", UNITS)
def test_systemd_accepts_the_unit(end: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze; install: apt-get install systemd")
    copy = tmp_path / f"clari-{end}.service"
    copy.write_text(unit(end).replace(f"/opt/clari/bin/clari-{end}", shutil.which("true") or "/bin/true"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, timeout=60)
    mine = [line for line in done.stderr.splitlines() if copy.name in line]
    assert not mine and done.returncode == 0, done.stderr
    copy.write_text(copy.read_text(encoding="utf-8").replace("NoNewPrivileges=yes", "NoNewPrivileges=perhaps"), encoding="utf-8")
    wrong = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, timeout=60)
    assert copy.name in wrong.stderr  # it would have told


@pytest.mark.parametrize("end", UNITS)
def test_every_option_of_the_unit_exists(end: str, tmp_path: Path) -> None:
    command = settings(unit(end))["ExecStart"].split()
    assert Path(command[0]).name == f"clari-{end}" and end in COMMANDS
    given = command[1:]
    config = tmp_path / "config.toml"
    told = re.search(rf"table \[{end}\] of \S+ (.+) at least", unit(end))
    assert told
    config.write_text(f"[{end}]\n" + told.group(1).replace(" and ", "\n"), encoding="utf-8")
    assert "/etc/clari/config.toml" in given
    given[given.index("/etc/clari/config.toml")] = str(config)
    args = parse_options(UNITS[end].build_parser(), given, {})
    assert args.plain and (args.mic if end == "tx" else args.speaker)


@pytest.mark.parametrize("end", UNITS)
def test_a_service_returns_and_is_no_root(end: str) -> None:
    found = settings(unit(end))
    assert found["Restart"] == "on-failure" and found["User"] == "clari" and found["SupplementaryGroups"] == "audio"
    assert "2" in found["RestartPreventExitStatus"].split()  # wrong usage stays wrong
    assert "AF_NETLINK" in found["RestrictAddressFamilies"].split()  # without it ZeroMQ aborts as soon as it binds


def test_the_container_gets_what_exists_and_runs_as_a_user() -> None:
    lines = [line for line in CONTAINERFILE.splitlines() if line and not line.startswith("#")]
    for sources in re.findall(r"^COPY (?!--)(.+) \S+$", CONTAINERFILE, re.MULTILINE):
        assert all((ROOT / each).exists() for each in sources.split())
    for package in ("stream", "channel", "codec", "export"):
        assert f"COPY {package} {package}" in lines
    assert all("/" not in line for line in lines if line.startswith("FROM"))  # whichever registry the user has
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users and users[-1] != "root" and "libportaudio2" in CONTAINERFILE
    shown = re.findall(r"(clari-\w+)", CONTAINERFILE)
    scripts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert {"clari-tx", "clari-rx"} <= set(shown) and all(f"{each} = " in scripts for each in shown)


def test_the_search_for_wheels_asks_for_that_machine_and_reads_the_answer() -> None:
    command = wheels.pip_command("numpy>=2.0", "aarch64", "3.11", "/nowhere")
    assert "--only-binary=:all:" in command and "--dry-run" in command
    assert {"--platform=manylinux2014_aarch64", "--platform=manylinux_2_28_aarch64"} <= set(command)
    report = 'warning\n{"install": [{"metadata": {"name": "a"}, "download_info": {"url": "file:///x/a-1-py3-none-any.whl"}}]}'
    assert wheels.wheels_of(report) == {"a": "a-1-py3-none-any.whl"}


def test_what_runs_needs_is_what_the_project_declares() -> None:
    needed = {re.split(r"[<>=]", each)[0] for each in wheels.runtime_requirements()}
    assert {"numpy", "onnxruntime", "pyzmq"} <= needed and not needed & {"torch", "pytest", "matplotlib"}


def test_a_missing_wheel_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "noise\nERROR: No matching distribution found for numpy\n")
    monkeypatch.setattr(wheels.subprocess, "run", lambda *args, **more: failed)
    monkeypatch.setattr(wheels, "runtime_requirements", lambda: ["numpy>=2.0"])
    assert wheels.main([]) == 1
    said = capsys.readouterr()
    assert "No matching distribution" in said.out and "1 without a wheel for aarch64" in said.err
