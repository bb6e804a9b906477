"""ZeroMQ endpoints: what a user may write, and what is wrong with what was written.

ZeroMQ itself accepts hosts that do not exist, ports beyond 65535 and files that are none, and then stays silent.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from stream.errors import LinkError

EXAMPLE = "write it like tcp://127.0.0.1:5555"
LOCAL = "tcp://127.0.0.1:5555"  # where to bind unless told otherwise


def check_endpoint(endpoint: str, bind: bool) -> None:
    """Refuse an endpoint that cannot work.

    Raises:
        LinkError: unknown transport, host or port, or an ipc path that is taken or in no folder.
    """
    transport, _, address = endpoint.partition("://")
    action = "bind" if bind else "connect to"
    if transport == "tcp":
        _check_tcp(endpoint, address, action)
    elif transport == "ipc" and address:
        _check_ipc(endpoint, Path(address), bind)
    else:
        raise LinkError(f"cannot {action} {endpoint}: only tcp:// and ipc:// lead to another process; {EXAMPLE}")


def reachable(endpoint: str) -> bool:
    """Whether other machines reach an endpoint that is bound here."""
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    return endpoint.startswith("tcp://") and not (host.startswith("127.") or host in ("localhost", "::1"))


def _check_tcp(endpoint: str, address: str, action: str) -> None:
    host, _, port = address.rpartition(":")
    decimal = port.isascii() and port.isdigit()  # "²" is a digit too, and no number
    if not host or not decimal or not 0 <= int(port) <= 65535 or (port == "0" and action != "bind"):
        raise LinkError(f"cannot {action} {endpoint}: host and port (1 to 65535) are needed; {EXAMPLE}")
    if host == "*":
        return
    try:
        socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise LinkError(f"cannot {action} {endpoint}: no host {host!r} is known; check its name, or write its address") from None


def _check_ipc(endpoint: str, path: Path, bind: bool) -> None:
    if not path.absolute().parent.is_dir():
        raise LinkError(f"{endpoint}: its folder does not exist; make it, or use tcp://127.0.0.1:5555")
    try:
        kind = os.stat(path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(kind):
        raise LinkError(f"{endpoint} is a file and no socket; choose another path")  # ZeroMQ would delete it
    if bind:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:  # ZeroMQ would take it from the program that listens there
                raise LinkError(f"cannot bind {endpoint}: another program holds it; choose another path or stop that program")
