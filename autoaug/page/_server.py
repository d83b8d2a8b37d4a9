"""Optuna Dashboard over a storage: on this machine only, and read-only unless asked otherwise.

Optuna Dashboard has no login and answers requests from any web page that can reach it, deletion of studies included.
So it listens on the loopback address, refuses requests that are addressed to a foreign name (DNS rebinding) or come
from another origin, lets no other page frame it (clickjacking), and passes on nothing but reads. Its pages then offer
nothing else.
"""

import json
import socket
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import optuna_dashboard
import waitress
from waitress.server import BaseWSGIServer

from autoaug.compare import Figure
from autoaug.page._guard import Wsgi, answer, guarded
from autoaug.page._site import Site
from autoaug.store import Store

OURS = "/autoaug"
"""Where our pages are; everywhere else Optuna Dashboard is, whose own pages ask for what lies at the root."""

ADDED = {"/autoaug/read_only.css": "text/css", "/autoaug/read_only.js": "text/javascript"}
"""What the pages of a read-only dashboard load besides: Optuna Dashboard forbids scripts within a page."""

HEAD = b'<link rel="stylesheet" href="/autoaug/read_only.css"><script src="/autoaug/read_only.js"></script>'

CONDITIONS = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH")

IDLE_SECONDS = 30
"""A connection that sends nothing for so long is closed: half a request holds up nobody."""


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


def watching(app: Wsgi, store: Store) -> Wsgi:
    """Return the app with a reason in place of pages once the storage is not what was opened."""

    def look(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if moved := store.look():
            reason = json.dumps({"reason": f"{moved}: start the dashboard again"}).encode()
            return answer(start_response, "application/json", reason, "503 Service Unavailable")
        return app(environ, start_response)

    return look


def beside(site: Wsgi, native: Wsgi) -> Wsgi:
    """Return one app of two: our pages below /autoaug, and Optuna Dashboard."""

    def choose(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        ours = (path == OURS or path.startswith(f"{OURS}/")) and path not in ADDED
        return (site if ours else native)(environ, start_response)

    return choose


def make_dashboard(store: Store, host: str, port: int, write: bool, *, figures: Mapping[str, Figure]) -> BaseWSGIServer:
    """Return a server that is ready to `run()`, at its `effective_port`; port 0 takes any free one.

    Args:
        figures: of a project's `dashboards/`, by title.

    Raises:
        OSError: the address is in use, or not of this machine.
        OverflowError: there is no such port.
    """
    native = optuna_dashboard.wsgi(store.optuna)
    app = beside(Site(store, figures), native if write else without_buttons(native))
    app = guarded(watching(app, store), host, write)
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
