"""Optuna Dashboard over a storage: on this machine only, and read-only unless asked otherwise.

Optuna Dashboard has no login and answers requests from any web page that can reach it, deletion of studies included.
So it listens on the loopback address, refuses requests that are addressed to another name (DNS rebinding) or come from
another origin, and passes on nothing but reads.
"""

from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard

from autoaug.store import Store

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

READS = {"GET", "HEAD", "OPTIONS"}


def guarded(app: Wsgi, hosts: frozenset[str], write: bool) -> Wsgi:
    """The app behind a door: requests for our own address only, and only reads unless `write`."""

    def door(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "")
        origin = environ.get("HTTP_ORIGIN", f"http://{host}")
        if host not in hosts or origin != f"http://{host}":
            return refuse(start_response, f"this dashboard answers requests for {', '.join(sorted(hosts))} only")
        if environ["REQUEST_METHOD"] not in READS and not write:
            return refuse(start_response, "read-only: start it with `autoaug dashboard --write` to change studies")
        return app(environ, start_response)

    return door


def refuse(start_response: Callable[..., Any], reason: str) -> Iterable[bytes]:
    start_response("403 Forbidden", [("Content-Type", "application/json")])
    return [f'{{"reason": "{reason}"}}'.encode()]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the dashboard polls, and a line for each poll would bury what matters."""


def make_dashboard(store: Store, host: str, port: int, write: bool) -> WSGIServer:
    """A server that is ready to `serve_forever()`; port 0 takes any free one.

    Raises:
        OSError: the address is in use.
    """
    server = make_server(host, port, lambda *_: [], server_class=Server, handler_class=Silent)
    names = {host, "127.0.0.1", "localhost"} if host in ("127.0.0.1", "localhost") else {host}
    hosts = frozenset(f"{name}:{server.server_port}" for name in names)
    server.set_app(guarded(optuna_dashboard.wsgi(store.optuna), hosts, write))
    return server
