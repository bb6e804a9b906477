"""The web monitor of a receiver: a page that shows the link and lets it be heard, on `clari-rx --web PORT`.

The server runs in a thread of its own with an event loop of its own. What the receiver hands over goes into a queue that
never holds more than a few seconds; a browser that is slow loses the oldest sound, and the receiver never waits.

    /        page/index.html and what it needs
    /live    WebSocket: text messages are JSON, {"kind": "history", ...} once and then {"kind": "receiver", ...} as STATS.md
             describes it; binary messages are what is heard, signed 16-bit little-endian mono samples at 16 kHz

Without a password anybody who reaches the port can listen: it is bound to this machine unless told otherwise. Pages of
other sites that this machine's browser shows are kept out by the guard.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import json
import socket
import sys
import threading
from collections import deque
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from stream.errors import LinkError
from stream.frame import Pcm
from stream.guard import Guard
from stream.snapshot import ReceiverSnapshot, Snapshot
from stream.wav_stream import to_int16

PAGE = Path(__file__).parent / "page"
INTERVAL_S = 0.5  # between two looks at the link
HISTORY_S, HISTORY_POINTS = 1.0, 900  # a quarter of an hour, for who comes later
WAITING_BLOCKS = 50  # of 80 ms, for each browser and before all of them
SEND_BUFFER_BYTES = 65_536  # two seconds of sound: what waits in the kernel ages unseen
MOST_BROWSERS = 8
CLOSING_S = 3.0


class Monitor:
    """A face that browsers show, and an ear on what is heard."""

    interval_s = INTERVAL_S

    def __init__(self, host: str, port: int):
        """Bind and serve; port 0 takes any that is free.

        Raises:
            LinkError: the address cannot be bound.
        """
        self._socket = bind(host, port)
        address, number = self._socket.getsockname()[:2]
        self.url = f"http://{f'[{address}]' if ':' in address else address}:{number}/"
        self.warning = "" if ipaddress.ip_address(address).is_loopback else ", open to anybody who reaches it"
        self.dropped_blocks = 0  # of sound, that somebody was too slow for
        self._browsers: set[_Browser] = set()
        self._points: deque[tuple[float, ...]] = deque(maxlen=HISTORY_POINTS)
        self._sound: deque[bytes] = deque(maxlen=WAITING_BLOCKS)
        self._status: str | None = None  # the newest, until it is handed over
        self._shown: str | None = None  # the newest, for who comes later
        self._woken = False  # a hand-over to the loop is on its way: never more than one
        self._loop: asyncio.AbstractEventLoop | None = None
        routes = [WebSocketRoute("/live", self._live), Mount("/", StaticFiles(directory=PAGE, html=True))]
        config = uvicorn.Config(
            Guard(Starlette(routes=routes)),
            lifespan="off",
            log_level="critical",  # what strangers send is no news
            access_log=False,
            ws_max_size=1024,
            ws_per_message_deflate=False,  # noise-like samples do not shrink
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()

    def hear(self, pcm: Pcm) -> None:
        """Take samples [N] that are being heard. Returns at once."""
        if self._browsers:
            self.dropped_blocks += len(self._sound) == WAITING_BLOCKS
            self._sound.append(to_int16(pcm))
            self._wake()

    def show(self, snapshot: Snapshot) -> None:
        """Take a look at the link. Returns at once."""
        assert isinstance(snapshot, ReceiverSnapshot)
        if not self._points or snapshot.unix_s - self._points[-1][0] >= HISTORY_S or snapshot.unix_s < self._points[-1][0]:
            self._points.append((snapshot.unix_s, snapshot.loss_before_repair, snapshot.loss_after_repair))
        self._status = self._shown = json.dumps(snapshot.as_dict())
        self._wake()

    def close(self) -> None:
        """Tell browsers, and end the server."""
        self._server.should_exit = True
        self._thread.join(CLOSING_S)
        self._socket.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            print(f"the web monitor ended, speech goes on: {(error.strerror or 'error').lower()}; start again", file=sys.stderr)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._socket])
        self._loop = None

    def _wake(self) -> None:
        loop = self._loop
        if loop is not None and not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop ends just now
                loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        """In the loop: what waits goes to every browser."""
        self._woken = False
        status, self._status = self._status, None
        blocks = []
        while self._sound:
            blocks.append(self._sound.popleft())
        for browser in self._browsers:
            self.dropped_blocks += browser.take(status, blocks)

    async def _live(self, websocket: WebSocket) -> None:
        if len(self._browsers) >= MOST_BROWSERS:
            await websocket.close(1013)
            return
        await websocket.accept()
        browser = _Browser()
        feeding = asyncio.create_task(browser.feed(websocket, json.dumps({"kind": "history", "points": tuple(self._points)})))
        browser.take(self._shown, [])
        self._browsers.add(browser)
        try:
            while (await websocket.receive())["type"] != "websocket.disconnect":
                pass  # nothing that a browser says matters
        finally:
            self._browsers.discard(browser)
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError, OSError):
                await feeding


class _Browser:
    """What waits for one browser: the newest status, and a few seconds of sound."""

    def __init__(self) -> None:
        self._sound: deque[bytes] = deque(maxlen=WAITING_BLOCKS)
        self._status: str | None = None
        self._news = asyncio.Event()

    def take(self, status: str | None, blocks: list[bytes]) -> int:
        """Keep what is new; returns how many older blocks of sound were dropped for it."""
        dropped = max(0, len(self._sound) + len(blocks) - WAITING_BLOCKS)
        self._sound.extend(blocks)
        self._status = status or self._status
        self._news.set()
        return dropped

    async def feed(self, websocket: WebSocket, first: str) -> None:
        """Send what there is, for ever. Waits for this browser, and only here."""
        await websocket.send_text(first)
        while True:
            await self._news.wait()
            self._news.clear()
            status, self._status = self._status, None
            if status is not None:
                await websocket.send_text(status)
            while self._sound:
                await websocket.send_bytes(self._sound.popleft())


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket at that address; IPv4 or IPv6, as the address says.

    Raises:
        LinkError: no such address, or it is taken.
    """
    if not 0 <= port <= 65535:
        raise LinkError(f"cannot serve a page at port {port}; give 1 to 65535, or 0 for any that is free")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError):
        raise LinkError(f"cannot serve a page at {host!r}: no such host; give --web-host an address of this machine") from None
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a receiver that is started again takes its old port at once
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    try:
        server.bind(address)
        server.listen()  # from now on a browser waits for the server instead of being turned away
    except OSError as error:
        server.close()
        cure = {
            errno.EADDRINUSE: "another program holds it; choose another --web PORT or stop that program",
            errno.EACCES: "only root may; choose a --web PORT from 1024 on",
        }.get(error.errno or 0, "give --web-host an address of this machine")
        raise LinkError(f"cannot serve a page at {host} port {port}: {(error.strerror or 'error').lower()}; {cure}") from None
    return server
