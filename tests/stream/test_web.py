"""The web monitor without a browser: what it serves, whom it lets in, and that a receiver never waits for it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from stream import report, rx
from stream.guard import trusted
from stream.web import MOST_BROWSERS, PAGE, WAITING_BLOCKS, Monitor
from tests.stream.looks import look_at_receiver

ROOT = Path(__file__).parents[2]
BLOCK = np.full(1280, 0.5, np.float32)


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    made = Monitor("127.0.0.1", 0)
    yield made
    made.close()


def get(monitor: Monitor, path: str = "/", **headers: str) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(monitor.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def browser(monitor: Monitor, **options: object) -> AbstractContextManager[ClientConnection]:
    return connect(monitor.url.replace("http", "ws") + "live", open_timeout=60, proxy=None, **options)  # type: ignore[arg-type]


def test_the_page_and_all_that_it_names_is_served_with_safe_headers(monitor: Monitor) -> None:
    for file in PAGE.iterdir():
        status, headers, body = get(monitor, f"/{file.name}")
        assert (status, body) == (200, file.read_bytes())
        assert "default-src 'self'" in headers["content-security-policy"] and headers["x-content-type-options"] == "nosniff"
    assert get(monitor)[2] == (PAGE / "index.html").read_bytes()
    assert get(monitor, "/../web.py")[0] == 404 and get(monitor, "/%2e%2e/web.py")[0] == 404


def test_the_page_loads_nothing_from_elsewhere() -> None:
    for file in PAGE.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", "").replace("}://${location", ""), file.name


def test_browsers_get_history_status_and_sound(monitor: Monitor) -> None:
    snapshot = look_at_receiver()
    for second in range(3):
        monitor.show(replace(snapshot, unix_s=1e9 + second))
    with browser(monitor) as live:
        history = json.loads(live.recv(60))
        assert history["kind"] == "history"
        assert history["points"] == [[1e9 + second, 0.2, 0.1] for second in range(3)]
        assert json.loads(live.recv(60))["unix_s"] == 1e9 + 2  # what was shown last, before anything new
        monitor.show(replace(snapshot, station="BASE"))
        assert json.loads(live.recv(60)) == json.loads(json.dumps(replace(snapshot, station="BASE").as_dict()))
        monitor.hear(BLOCK)
        sound = live.recv(60)
        assert isinstance(sound, bytes) and np.array_equal(np.frombuffer(sound, "<i2"), np.full(1280, 16384))


def test_a_browser_that_reads_nothing_holds_nobody_up(monitor: Monitor) -> None:
    """Many times what the queues hold is taken at once; what waits stays bounded, and who reads hears what is new."""
    host, snapshot = urlsplit(monitor.url).netloc, look_at_receiver()
    with socket.create_connection(("127.0.0.1", int(host.rsplit(":", 1)[1]))) as deaf, browser(monitor) as live:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.sendall(
            f"GET /live HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert deaf.recv(12) == b"HTTP/1.1 101"
        live.recv(60)  # its history: it is one of the browsers now
        for number in range(3000):
            monitor.hear(BLOCK)
            if number % 200 == 0:
                monitor.show(snapshot)
        assert monitor.dropped_blocks > 0
        assert len(monitor._sound) <= WAITING_BLOCKS
        assert all(len(each._sound) <= WAITING_BLOCKS for each in monitor._browsers)
        monitor.show(replace(snapshot, station="LAST"))
        while True:  # the one that reads still hears what is new
            message = live.recv(60)
            if isinstance(message, str) and json.loads(message)["station"] == "LAST":
                break


def test_no_more_browsers_than_there_is_room_for(monitor: Monitor) -> None:
    with ExitStack() as stack:
        for _ in range(MOST_BROWSERS):
            stack.enter_context(browser(monitor)).recv(60)
        with pytest.raises((InvalidStatus, ConnectionClosed)), browser(monitor) as one_too_many:
            one_too_many.recv(60)


@pytest.mark.parametrize(
    ("host", "origin", "trusts"),
    [
        ("127.0.0.1:8080", None, True),
        ("localhost:8080", "http://localhost:8080", True),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("192.0.2.7:8080", "http://192.0.2.7:8080", True),
        (f"{socket.gethostname()}:8080", None, True),
        ("127.0.0.1:8080", "http://evil.example", False),
        ("127.0.0.1:8080", "http://127.0.0.1:9090", False),
        ("127.0.0.1:8080", "null", False),
        ("evil.example:8080", "http://evil.example:8080", False),
        ("", None, False),
        ("[::1", None, False),
    ],
)
def test_whom_it_trusts(host: str, origin: str | None, trusts: bool) -> None:
    assert trusted(host, origin) is trusts


def test_pages_of_other_sites_are_kept_out(monitor: Monitor) -> None:
    status, _, body = get(monitor, Host="evil.example")
    assert status == 403 and b"script" not in body
    with pytest.raises(InvalidStatus), browser(monitor, origin="http://evil.example"):
        pass
    with browser(monitor, origin=monitor.url.rstrip("/")) as live:
        assert json.loads(live.recv(60))["kind"] == "history"


def test_an_address_that_cannot_be_bound_is_one_line(capsys: pytest.CaptureFixture[str], monitor: Monitor) -> None:
    taken = str(urlsplit(monitor.url).port)
    cases = [
        (["--bind", "tcp://127.0.0.1:0", "--web", taken], 5, "another program holds it"),
        (["--bind", "tcp://127.0.0.1:0", "--web", "70000"], 5, "1 to 65535"),
        (["--bind", "tcp://127.0.0.1:0", "--web", "0", "--web-host", "no.such.host.invalid"], 5, "no such host"),
        (["--bind", "tcp://127.0.0.1:0", "--web", "0", "--web-host", "192.0.2.1"], 5, "address of this machine"),
        (["--in", "x", "--web", "0"], 2, "--bind"),
    ]
    for argv, code, says in cases:
        assert rx.main([*argv, "--null", "-q"]) == code
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and says in lines[0], lines


def test_without_the_extra_it_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    assert rx.main(["--bind", "tcp://127.0.0.1:0", "--null", "--web", "0"]) == 1
    assert "pip install 'clari[web]'" in capsys.readouterr().err


def test_nothing_of_a_server_or_panel_is_loaded_unless_asked_for() -> None:
    names = ("uvicorn", "starlette", "websockets", "rich", "asyncio")
    code = f"import sys, stream.rx, stream.tx; print([m for m in {names} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_server_loads_no_torch() -> None:
    code = "import sys, stream.web; print([m for m in ('torch', 'onnx', 'matplotlib', 'codec') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
