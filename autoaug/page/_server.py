"""Optuna Dashboard over a storage: on this machine only, and read-only unless asked otherwise.

Optuna Dashboard has no login and answers requests from any web page that can reach it, deletion of studies included.
So it listens on the loopback address, refuses requests that are addressed to a foreign name (DNS rebinding) or come
from another origin, lets no other page frame it (clickjacking), and passes on nothing but reads. Its pages then offer
nothing else.
"""

import json
import re
import socket
from collections.abc import Callable, Collection, Iterable
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import optuna_dashboard
import waitress
from waitress.server import BaseWSGIServer

from autoaug.store import Store

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

READS = {"GET", "HEAD", "OPTIONS"}

ADDED = {"/autoaug/read_only.css": "text/css", "/autoaug/read_only.js": "text/javascript"}
"""What the pages of a read-only dashboard load besides: Optuna Dashboard forbids scripts within a page."""

HEAD = b'<link rel="stylesheet" href="/autoaug/read_only.css"><script src="/autoaug/read_only.js"></script>'

CONDITIONS = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH")

UNFRAMED = (("Content-Security-Policy", "frame-ancestors 'none'"), ("X-Frame-Options", "DENY"))
"""Headers by which no page may show this one in a frame of its own. A browser obeys every policy that it is sent."""

HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[(?P<address>[0-9A-Fa-f:.]+)\])(:[0-9]+)?")
"""A Host header: a name or an IPv4 address, or an IPv6 address in brackets, and a port or none."""

IDLE_SECONDS = 30
"""A connection that sends nothing for so long is closed: half a request holds up nobody."""


def guarded(app: Wsgi, host: str, write: bool) -> Wsgi:
    """Return the app behind a check: requests to this host by its own pages only, and only reads unless `write`."""

    names = frozenset({"localhost", host.lower(), socket.gethostname().lower()})

    def door(environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        def start_response(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            return respond(status, [*headers, *UNFRAMED], *error)

        named = environ.get("HTTP_HOST", "")
        if not is_ours(named, names):
            return refuse(start_response, f"this dashboard is not {named!r}: ask for localhost or for its IP address")
        if environ.get("HTTP_ORIGIN", f"http://{named}") != f"http://{named}":
            return refuse(start_response, "this dashboard answers its own pages only")
        if environ["REQUEST_METHOD"] not in READS and not write:
            return refuse(start_response, "read-only: start it with `autoaug dashboard --write` to change studies")
        return app(environ, start_response)

    return door


def without_buttons(app: Wsgi) -> Wsgi:
    """Return the app with pages that have no buttons to change something, and show why a request was refused."""

    def page(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path in ADDED:
            return answer(
                start_response, ADDED[path], (resources.files("autoaug.page") / "static" / Path(path).name).read_bytes()
            )
        if not path.startswith("/dashboard") or environ["REQUEST_METHOD"] != "GET":
            return app(environ, start_response)
        response: list[Any] = []
        # a page that the browser knows from a dashboard that may write is not this one
        fresh = {name: value for name, value in environ.items() if name not in CONDITIONS}
        parts = app(fresh, lambda status, headers, *_: response.extend((status, headers)))
        body = b"".join(parts).replace(b"</head>", HEAD + b"</head>")
        getattr(parts, "close", list)()  # WSGI: where there is such a method
        headers = [
            (name, value) for name, value in response[1] if name.lower() not in ("content-length", "last-modified")
        ]
        start_response(response[0], [*headers, ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
        return [body]

    return page


def is_ours(host: str, names: Collection[str]) -> bool:
    """Whether a request's Host can only mean this machine.

    A name that an attacker owns may point here; an IP address means what it says, and `names` are our own. The port is
    free, for a tunnel may end on another one.
    """
    parts = HOST.fullmatch(host)
    return parts is not None and (parts["name"].lower() in names or is_address(parts["address"] or parts["name"]))


def is_address(name: str) -> bool:
    """Whether a name is an IP address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def refuse(start_response: Callable[..., Any], reason: str) -> Iterable[bytes]:
    """Answer 403 with a reason."""
    return answer(start_response, "application/json", json.dumps({"reason": reason}).encode(), "403 Forbidden")


def answer(start_response: Callable[..., Any], kind: str, body: bytes, status: str = "200 OK") -> Iterable[bytes]:
    """Answer with a body."""
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def watching(app: Wsgi, store: Store) -> Wsgi:
    """Return the app with a reason in place of pages once the storage is not what was opened."""

    def look(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if moved := store.look():
            reason = json.dumps({"reason": f"{moved}: start the dashboard again"}).encode()
            return answer(start_response, "application/json", reason, "503 Service Unavailable")
        return app(environ, start_response)

    return look


def make_dashboard(store: Store, host: str, port: int, write: bool) -> BaseWSGIServer:
    """Return a server that is ready to `run()`, at its `effective_port`; port 0 takes any free one.

    Raises:
        OSError: the address is in use, or not of this machine.
        OverflowError: there is no such port.
    """
    app = optuna_dashboard.wsgi(store.optuna)
    app = guarded(watching(app if write else without_buttons(app), store), host, write)
    return waitress.create_server(
        app,
        sockets=[bound(host, port)],
        ident=None,
        channel_timeout=IDLE_SECONDS,
        cleanup_interval=IDLE_SECONDS // 2,
        asyncore_use_poll=True,  # select() knows 1024 files of a process, and ends the server at the next one
    )


def bound(host: str, port: int) -> socket.socket:
    """Return a socket at an address of this machine.

    Raises:
        OSError: the address is in use, or not of this machine.
        OverflowError: there is no such port.
    """
    place = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((host, port))
    except BaseException:
        place.close()
        raise
    return place
