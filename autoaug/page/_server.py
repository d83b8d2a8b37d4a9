"""The server of a storage's pages: ours below /autoaug/ and Optuna Dashboard beside them, at one port."""

import errno
import logging
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

import waitress
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer

from autoaug.compare import Figure
from autoaug.page._answers import Respond, Wsgi, answer
from autoaug.page._artifacts import StoredArtifacts
from autoaug.page._compress import Compressed
from autoaug.page._guard import guarded, is_loopback, rules
from autoaug.page._mount import mount_of
from autoaug.page._native import ADDED, ArtifactStore, native
from autoaug.page._present import Present
from autoaug.page._site import Site
from autoaug.page._token import refuse_weak
from autoaug.store import Store

OURS = "/autoaug"
"""Where our pages are; everywhere else Optuna Dashboard is, whose own pages ask for what lies at the root."""

IDLE_SECONDS = 30
"""A connection that sends nothing for so long is closed: half a request holds up nobody."""

REQUEST_SECONDS = 60.0
"""A request that has not arrived completely by then is given up: one byte now and then holds up nobody either."""

CONNECTIONS = 512
"""At once, idle ones among them."""

HEADER_BYTES = 32 * 1024

BODY_BYTES, UPLOAD_BYTES = 64 * 1024, 64 * 1024**2
"""Of a request, where nothing is changed and where artifacts may be uploaded."""

THREADS = 8

PORTS = 50
"""How many ports after a busy one are tried for a free one."""


class Channel(HTTPChannel):
    """Receive requests, each in a bounded time."""

    began = 0.0
    """When the request began that is arriving."""

    def received(self, data: bytes) -> bool:
        """Take what a request sends; close the connection of one that takes too long."""
        if self.request is None:
            self.began = time.monotonic()
        elif time.monotonic() - self.began > REQUEST_SECONDS:
            self.will_close = True
            return False
        return bool(super().received(data))


def beside(site: Wsgi, other: Wsgi, root: str) -> Wsgi:
    """Return one app of two: our pages below /autoaug/, and Optuna Dashboard."""

    def choose(environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == OURS:  # addresses on our pages are relative
            return answer(respond, "text/plain", b"", "308 Permanent Redirect", [("Location", f"{root}{OURS}/")])
        ours = path.startswith(f"{OURS}/") and path not in ADDED
        return (site if ours else other)(environ, respond)

    return choose


def make_dashboard(
    store: Store,
    host: str,
    port: int,
    write: bool,
    *,
    figures: Mapping[str, Figure],
    token: str | None = None,
    root_path: str = "",
    artifact_store: ArtifactStore | None = None,
) -> BaseWSGIServer:
    """Return a server that is ready to `run()`, at its `effective_port`; port 0 takes any free one.

    Args:
        host: address to listen on. One that other machines reach needs a token.
        write: let pages of Optuna Dashboard change and delete studies.
        figures: of a project's `dashboards/`, by title.
        token: what a visitor has to know; None lets everybody in who reaches the address.
        root_path: where a reverse proxy shows the pages: a path such as "/sub", or its URL. Empty: at the root.
        artifact_store: of artifacts that Optuna Dashboard shows; None is what each study says of its own.

    Raises:
        OSError: the address is in use, or not of this machine.
        OverflowError: there is no such port.
        ValueError: the token is missing or too short, or there can be no pages at that path.
    """
    mount = mount_of(root_path)
    if token is not None:
        refuse_weak(token)
    elif not is_loopback(host):
        raise ValueError(f"others reach {host}: give a token, which visitors have to know")

    def pages(opened: Store) -> Wsgi:
        artifacts = artifact_store or StoredArtifacts(opened)
        return beside(Site(opened, figures), native(opened, artifacts, write, mount.path), mount.path)

    app = guarded(Compressed(Present(store, pages)), rules(host, write, token, mount))
    server = waitress.create_server(
        app,
        sockets=[bound(host, port)],
        ident=None,
        threads=THREADS,
        connection_limit=CONNECTIONS,
        channel_timeout=IDLE_SECONDS,
        cleanup_interval=IDLE_SECONDS // 2,
        max_request_header_size=HEADER_BYTES,
        max_request_body_size=UPLOAD_BYTES if write else BODY_BYTES,
        asyncore_use_poll=True,  # select() knows 1024 files of a process, and ends the server at the next one
    )
    server.channel_class = Channel
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # or it warns of each request that waits for a moment
    return server


def bound(host: str, port: int) -> socket.socket:
    """Return a socket at an address of this machine.

    Raises:
        OSError: the address is in use, or not of this machine; where the port is, the message has the next free one.
        OverflowError: there is no such port.
    """
    place = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((host, port))
    except OSError as error:
        place.close()
        if error.errno != errno.EADDRINUSE:
            raise
        free = next_free(host, port)
        raise OSError(error.errno, f"port {port} is in use{f', and {free} is free' if free else ''}") from None
    except BaseException:
        place.close()
        raise
    return place


def next_free(host: str, port: int) -> int | None:
    """Return the first port after a busy one that is free now; None where none of the next ones is."""
    for other in range(port + 1, min(port + PORTS, 65_535) + 1):
        with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, other))
                trial.listen(1)
            except OSError:
                continue
            return other
    return None
