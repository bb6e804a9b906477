"""The web monitor's page in Chromium: what it shows, sounds like, survives, and how well it can be used by everybody."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stream.frame import SAMPLE_RATE_HZ
from stream.report import Reporter
from stream.snapshot import Snapshot
from stream.web import Monitor
from tests.conftest import free_endpoint
from tests.stream.chromium import Page, axe_source, why_not
from tests.stream.looks import look_at_receiver

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(why_not()), reason=why_not() or "nothing is missing")]
HEARD = look_at_receiver()
STRIP = "rrrrcrsrxlrrrrdxrfyr."
# Every block that is played is noted: when it begins, how long it is, and its first sample.
NOTE_PLAYED = """
  window.played = [];
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (when) {
    window.played.push([when, this.buffer.length, this.buffer.sampleRate, this.buffer.getChannelData(0)[0]]);
    return start.call(this, when);
  };
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    page = Page(tmp_path_factory.mktemp("chromium"))
    page.call("Page.addScriptToEvaluateOnNewDocument", source=NOTE_PLAYED)
    yield page
    page.close()


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    made = Monitor("127.0.0.1", 0)
    yield made
    made.close()


@pytest.fixture
def page(browser: Page, monitor: Monitor) -> Iterator[Page]:
    """The monitor's page, connected, and shown a receiver on a bad link again and again, as receivers do."""
    browser.events.clear()
    browser.look()
    with Reporter(lambda unix_s, uptime_s, final: busy(unix_s=unix_s), [monitor]):
        browser.open(monitor.url)
        browser.until("document.body.dataset.connection === 'live'")
        yield browser
        browser.open("about:blank")


def busy(**changes: object) -> Snapshot:
    """A receiver on a bad link."""
    values: dict[str, object] = {
        "station": "BASE",
        "strip": STRIP * 8,
        "protection": "repair 8+2",
        "texts": ("on our way", "<b>bold</b> words"),
        "protection_delay_s": 0.9,
        "delay_s": 1.6,
        "playing": True,
        "forged_packets": 8,
    }
    return replace(HEARD, **(values | changes))  # type: ignore[arg-type]


def tone(hz: float, seconds: float) -> list[np.ndarray]:
    """Blocks of 80 ms of a sine."""
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return list((0.3 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32).reshape(-1, 1280))


def test_it_shows_what_the_receiver_says(page: Page) -> None:
    text = page.evaluate("document.body.innerText")
    for words in ("hears BASE", "repair 8+2", "20.0 %", "10.0 %", "1.60 s", "8 forged", "8 late", "8 restored", "on our way"):
        assert words in text, (words, text)
    assert "<b>bold</b> words" in text and not page.evaluate("document.querySelector('#texts b')")  # a stranger's text is no markup
    bars = page.evaluate("[...document.querySelectorAll('#delay-bar div')].map((part) => part.getBoundingClientRect().width)")
    assert len(bars) == 4 and bars[2] == max(bars) > 100
    assert page.complaints() == []


def test_a_tone_stands_at_its_height_in_the_spectrogram(page: Page, monitor: Monitor) -> None:
    for block in tone(2000, 0.8):
        monitor.hear(block)
        time.sleep(0.01)
    brightest = """(() => {
      const canvas = document.getElementById("spectrogram"), context = canvas.getContext("2d");
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
      let best = 0, place = null;
      for (let k = 0; k < data.length; k += 4) {
        const light = data[k] + data[k + 1] + data[k + 2];
        if (light > best) { best = light; place = Math.floor(k / 4 / canvas.width); }
      }
      return best > 400 ? 8000 * (1 - (place + 0.5) / canvas.height) : null;
    })()"""
    page.until(f"{brightest} !== null")
    assert page.evaluate(brightest) == pytest.approx(2000, abs=63)  # a row is 62.5 Hz


def test_it_listens_and_the_blocks_follow_without_a_gap(page: Page, monitor: Monitor) -> None:
    """By keyboard alone: Tab to the button, Enter."""
    for _ in range(10):
        page.press("Tab")
        if page.evaluate("document.activeElement.id") == "listen":
            break
    assert page.evaluate("document.activeElement.id") == "listen"
    page.press("Enter")
    page.until("document.getElementById('listen').getAttribute('aria-pressed') === 'true'")
    page.until("navigator.userActivation.hasBeenActive")
    blocks = tone(500, 0.8)
    deadline = time.monotonic() + 60
    while not page.evaluate("window.played.length") and time.monotonic() < deadline:  # the audio device may take a moment
        monitor.hear(blocks[0])
        time.sleep(0.1)
    for block in blocks:
        monitor.hear(block + np.float32(0.01))
    page.until(f"window.played.length >= {len(blocks) // 2}")
    played = page.evaluate("window.played")
    assert {(length, rate) for _, length, rate, _ in played} == {(1280, SAMPLE_RATE_HZ)}
    assert any(first == pytest.approx(0.01, abs=1e-3) for *_, first in played)
    steps = np.diff([when for when, *_ in played])
    assert all(step == pytest.approx(0.08, abs=1e-6) or step > 0.08 for step in steps)  # one after the other, or a pause
    assert any(step == pytest.approx(0.08, abs=1e-6) for step in steps)
    page.press("Enter")
    page.until("document.getElementById('listen').getAttribute('aria-pressed') === 'false'")


def test_every_control_is_reached_by_keyboard_in_the_order_of_the_page(page: Page) -> None:
    order = []
    for _ in range(12):
        page.press("Tab")
        focus = page.evaluate("document.activeElement.id || document.activeElement.className || document.activeElement.tagName")
        if focus in order or focus == "BODY":
            break
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", focus  # whoever uses a keyboard sees where they are
        order.append(focus)
    assert order == ["skip", "listen", "volume", "texts"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
def test_it_can_be_read_by_everybody(page: Page, monitor: Monitor, dark: bool, phone: bool) -> None:
    page.look(dark, *((390, 844, True) if phone else (1100, 1000, False)))
    monitor._points.clear()
    for second in range(60, 0, -1):  # a past to draw
        loss = 0.2 + 0.1 * float(np.sin(second / 4))
        monitor._points.append((time.time() - second, loss, loss / 3))
    page.open(monitor.url)
    page.until("document.body.dataset.connection === 'live'")
    for block in tone(700, 0.4) + tone(1900, 0.4):
        monitor.hear(block)
    page.until("document.getElementById('figures').innerText.includes('repair 8+2')")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # nothing to scroll sideways
    small = "[...document.querySelectorAll('button, input')].filter((each) => each.getBoundingClientRect().height < 44)"
    assert page.evaluate(f"{small}.length") == 0  # large enough for a thumb
    page.evaluate(axe_source() + "; 0")
    findings = page.evaluate("axe.run(document).then((found) => JSON.stringify([found.violations, found.passes.length]))")
    violations, passes = json.loads(findings)
    page.screenshot(f"monitor-{'phone' if phone else 'desk'}-{'dark' if dark else 'light'}")
    assert [(each["id"], each["impact"], [node["html"] for node in each["nodes"]]) for each in violations] == []
    assert passes > 20  # the check itself has run
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in back.removeprefix("rgb(").removesuffix(")").split(",")) < 200) is dark


def test_it_comes_back_when_the_receiver_does(browser: Page, tmp_path: Path) -> None:
    """A real receiver, a packet, its end, another receiver on the same port: the page follows by itself."""
    endpoint, port = free_endpoint(), free_endpoint().rsplit(":", 1)[1]

    def receiver() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "stream.rx", "--bind", endpoint, "--null", "--web", port]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        while "monitor at" not in (line := process.stderr.readline()):
            assert line, "the receiver ended"
        return process

    first = receiver()
    try:
        browser.open(f"http://127.0.0.1:{port}/")
        browser.until("document.body.dataset.connection === 'live'")
        command = [sys.executable, "-m", "stream.tx", "--text", "still here", "--station", "BASE", "--connect", endpoint, "-q"]
        subprocess.run(command, cwd=ROOT, check=True)
        browser.until("document.getElementById('texts').innerText.includes('still here')")
        browser.evaluate("window.neverReloaded = true")
        first.send_signal(signal.SIGINT)
        assert "packets" in first.communicate(timeout=120)[1] and first.returncode == 0
        browser.until("document.body.dataset.connection === 'lost'")
        browser.screenshot("monitor-lost")
        second = receiver()
        try:
            browser.until("document.body.dataset.connection === 'live'")
            browser.until("document.getElementById('texts').innerText === ''")  # of the new receiver, which has heard nothing yet
            assert browser.evaluate("window.neverReloaded") is True
            second.kill()  # without a word
            second.wait()
            browser.until("document.body.dataset.connection === 'lost'")
        finally:
            second.kill()
    finally:
        first.kill()
        browser.open("about:blank")
