"""Arrows between packages point one way, and the runtime never loads torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("stream", "channel", "codec", "export")
ALLOWED = {
    "stream": {"stream"},
    "channel": {"channel", "stream"},
    "codec": {"codec", "stream"},
    "export": {"export", "codec", "stream"},
}
# Inside stream: what is pure knows neither clock nor link nor device.
PURE = (
    *("frame", "profile", "content", "packet", "fec", "protection", "repair", "seal", "control", "vad", "stats", "concealment"),
    *("playout", "slot", "spurt", "numbering", "rivals", "belated", "jitter", "pace"),
    *("ring", "highpass", "gate", "leveller", "limiter", "keying", "front", "tone", "alignment"),
    *("history", "level", "snapshot", "face"),
)
IMPURE_IMPORTS = {
    "time",
    "threading",
    "socket",
    "zmq",
    "sounddevice",
    "stream.clock",
    "stream.link",
    "stream.devices",
    "stream.audio",
    "stream.options",
}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_point_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        tops = {name.split(".")[0] for name in imported(path)}
        assert tops & {*PACKAGES, "tests"} <= ALLOWED[package], path


# Inside codec: each room may know those before it, and itself.
ROOMS = ("network", "rl", "pretrained", "data", "train", "evaluate", "listening_test")


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_between_the_rooms_of_the_codec_point_one_way(room: str) -> None:
    later = {f"codec.{name}" for name in ROOMS[ROOMS.index(room) + 1 :]}
    for path in (ROOT / "codec" / room).rglob("*.py"):
        assert not {".".join(name.split(".")[:2]) for name in imported(path)} & later, path


def channel_core() -> set[str]:
    """The simulator, the presets, packets under way, and every module of the package that these need."""
    core, new = set(), {"simulator", "presets", "transit"}
    while new:
        core |= new
        names = {name for each in new for name in imported(ROOT / "channel" / f"{each}.py")}
        new = {name.removeprefix("channel.") for name in names if name.startswith("channel.")} - core
    return core


def test_the_channel_core_knows_nothing_of_speech() -> None:
    core = channel_core()
    assert len(core) > 10
    for name in core:
        tops = {each.split(".")[0] for each in imported(ROOT / "channel" / f"{name}.py")}
        assert not tops & {"stream", "zmq", "time", "threading", "socket"}, name


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_know_no_clock_socket_or_thread(name: str) -> None:
    assert not imported(ROOT / "stream" / f"{name}.py") & IMPURE_IMPORTS


def test_runtime_loads_neither_torch_nor_audio_device() -> None:
    paths = [path for package in ("stream", "channel") for path in (ROOT / package).rglob("*.py")]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    code = f"import sys, importlib\nfor m in {modules!r}: importlib.import_module(m)\n"
    code += (
        "print([m for m in ('torch', 'onnx', 'sounddevice', 'matplotlib', 'cryptography', 'codec', 'export') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
