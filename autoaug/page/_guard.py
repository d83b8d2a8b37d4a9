"""Who is answered: requests to this machine by name or address, by its own pages only, and only reads unless asked."""

import json
import re
import socket
from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address
from typing import Any

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

READS = {"GET", "HEAD", "OPTIONS"}

UNFRAMED = (("Content-Security-Policy", "frame-ancestors 'none'"), ("X-Frame-Options", "DENY"))
"""Headers by which no page may show this one in a frame of its own. A browser obeys every policy that it is sent."""

HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[(?P<address>[0-9A-Fa-f:.]+)\])(:[0-9]+)?")
"""A Host header: a name or an IPv4 address, or an IPv6 address in brackets, and a port or none."""


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
