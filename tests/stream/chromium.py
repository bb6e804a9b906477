"""Chromium without a window, steered over its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

ARTEFACTS = Path(__file__).parents[2] / "test-artefacts"
START_S, WAIT_S = 120.0, 120.0  # a busy machine may take its time; nothing waits longer than it has to


def program() -> str | None:
    """The browser, under the names that distributions give it."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def why_not() -> str:
    """What is missing for tests with a browser; empty if nothing is."""
    if not program():
        return "no Chromium; install it: apt-get install chromium"
    return "" if find_spec("axe_core_python") else "no axe-core; install it: pip install axe-core-python"


def axe_source() -> str:
    """The script of axe-core, as the package axe-core-python brings it."""
    spec = find_spec("axe_core_python")
    assert spec is not None and spec.origin is not None
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")


class Page:
    """One page of one browser."""

    def __init__(self, profile: Path):
        """`profile`: an empty folder for what a browser keeps."""
        name = program()
        assert name is not None
        self._process = subprocess.Popen(
            [
                name,
                "--headless=new",
                "--no-sandbox",  # tests may run as root in a container
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--mute-audio",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        self._stack = ExitStack()
        try:
            port = self._wait_for_port(profile / "DevToolsActivePort")
            self._socket = self._stack.enter_context(connect(port, max_size=None, open_timeout=START_S, proxy=None))
            target = self._call("Target.createTarget", {"url": "about:blank"}, None)["targetId"]
            self._session = self._call("Target.attachToTarget", {"targetId": target, "flatten": True}, None)["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def _wait_for_port(self, file: Path) -> str:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            lines = file.read_text().splitlines() if file.exists() else []
            if len(lines) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            time.sleep(0.05)
        raise RuntimeError("Chromium did not start; run it by hand with --headless=new --no-sandbox")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its result."""
        return self._call(method, parameters, self._session)

    def _call(self, method: str, parameters: dict[str, Any], session: str | None) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(
            json.dumps({"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {}))
        )
        while True:
            message = json.loads(self._socket.recv(WAIT_S))
            if message.get("id") != number:
                self.events.append(message)
                continue
            if "error" in message:
                raise RuntimeError(f"{method}: {message['error']['message']}")
            result: dict[str, Any] = message["result"]
            return result

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; of what it promises, if it is a promise."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", "exception"))
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        """Go there, or load it anew."""
        self.evaluate("window.left = true")
        self.call("Page.navigate", url=url)
        self.until("!window.left && document.readyState === 'complete'")

    def until(self, condition: str) -> None:
        """Wait until a JavaScript condition holds."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(RuntimeError):  # between two documents there is nothing to ask
                if self.evaluate(f"Boolean({condition})"):
                    return
            time.sleep(0.05)
        raise AssertionError(f"never: {condition}; the page says {self.evaluate('document.body.innerText')!r}")

    def press(self, key: str) -> None:
        """A key goes down and up: `Tab`, `Enter`, ` ` and the like."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37}
        text = {"Enter": "\r", " ": " "}.get(key, "")
        common = {"key": key, "code": {" ": "Space"}.get(key, key), "windowsVirtualKeyCode": codes[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **common, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def look(self, dark: bool = False, width: int = 1100, height: int = 1000, phone: bool = False) -> None:
        """A window of that size, in dark or light colours."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScrollbarsHidden", hidden=True)  # a picture of the whole page has none
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def screenshot(self, name: str) -> bytes:
        """A picture of the whole page, kept as an artefact."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"])
        ARTEFACTS.mkdir(exist_ok=True)
        (ARTEFACTS / f"{name}.png").write_bytes(data)
        return data

    def complaints(self) -> list[str]:
        """Errors that the page or the browser logged."""
        self.evaluate("0")  # so that nothing is still on its way
        found = []
        for event in self.events:
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(event["params"]["exceptionDetails"].get("exception", {}).get("description")))
            elif event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(str(event["params"]["entry"]["text"]))
        return found

    def close(self) -> None:
        self._process.kill()
        self._stack.close()
        self._process.wait()
