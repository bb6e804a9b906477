"""Guard of the web monitor: it keeps pages of other sites out and puts safe headers on every answer.

The Host header must name an address or this machine, and the Origin header, if there is one, the same.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",  # a page of an older version would not understand this one
}


class Guard:
    """Keeps pages of other sites out and puts safe headers on every answer."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if trusted(headers.get("host", ""), headers.get("origin")):
            await self._app(scope, receive, with_headers)
        elif scope["type"] == "websocket":
            await WebSocketClose(1008)(scope, receive, send)
        else:
            await PlainTextResponse("open this page by the address of the receiver\n", 403)(scope, receive, with_headers)


def trusted(host: str, origin: str | None) -> bool:
    """Whether a request comes from our own page: no name that a stranger's name server could point at us, no other origin."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        own = urlsplit(origin).netloc.lower() == host.lower() if origin is not None else True
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        machine = socket.gethostname().lower()
        return own and name in ("localhost", machine, f"{machine}.local")
    return own
