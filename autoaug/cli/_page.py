"""Optuna Dashboard over a storage: on this machine only, and read-only unless asked otherwise.

Optuna Dashboard has no login and answers requests from any web page that can reach it, deletion of studies included.
So it listens on the loopback address, refuses requests that are addressed to a foreign name (DNS rebinding) or come
from another origin, and passes on nothing but reads. Its pages then offer nothing else.
"""

import json
import socket
from collections.abc import Callable, Collection, Iterable
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard

from autoaug.store import Store

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

READS = {"GET", "HEAD", "OPTIONS"}

ADDED = {"/autoaug/read_only.css": "text/css", "/autoaug/read_only.js": "text/javascript"}
"""What the pages of a read-only dashboard load besides: Optuna Dashboard forbids scripts within a page."""

HEAD = b'<link rel="stylesheet" href="/autoaug/read_only.css"><script src="/autoaug/read_only.js"></script>'

CONDITIONS = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH")


def guarded(app: Wsgi, host: str, write: bool) -> Wsgi:
    """Return the app behind a check: requests to this host by its own pages only, and only reads unless `write`."""

    names = frozenset({"localhost", host.lower(), socket.gethostname().lower()})

    def door(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
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
            return answer(start_response, ADDED[path], (resources.files("autoaug.cli") / Path(path).name).read_bytes())
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
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name in names or is_address(name)


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


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the dashboard polls, and a line for each poll would bury what matters."""


def make_dashboard(store: Store, host: str, port: int, write: bool) -> WSGIServer:
    """Return a server that is ready to `serve_forever()`; port 0 takes any free one.

    Raises:
        OSError: the address is in use, or not of this machine.
        OverflowError: there is no such port.
    """
    app = optuna_dashboard.wsgi(store.optuna)
    app = guarded(app if write else without_buttons(app), host, write)
    return make_server(host, port, app, server_class=Server, handler_class=Silent)
