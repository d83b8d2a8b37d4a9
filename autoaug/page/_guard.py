"""Who is answered, and what: own pages of this machine, who knows the token, and only reads unless it was asked for.

Optuna Dashboard has no login and answers requests from any web page that can reach it, deletion of studies included.
So requests that are addressed to a foreign name (DNS rebinding) or come from another origin are refused, no other page
may frame ours (clickjacking), load parts of them or keep hold of their window, and nothing passes but reads.
"""

import re
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from autoaug.page._answers import Respond, Wsgi, explain
from autoaug.page._mount import Mount
from autoaug.page._token import Login

READS = {"GET", "HEAD", "OPTIONS"}

EVERYWHERE = (
    ("Content-Security-Policy", "frame-ancestors 'none'"),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""Headers of every answer. A browser obeys every content policy that it is sent."""

UNLESS_SAID = (("Referrer-Policy", "same-origin"), ("Cache-Control", "private, no-cache"))
"""Headers of answers that have none of this name. A form of a page without referrer would come from nowhere."""

LEFT_OUT = {"access-control-allow-origin"}
"""Optuna Dashboard lets every page read its artifacts."""

HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[(?P<address>[0-9A-Fa-f:.]+)\])(:[0-9]+)?")
"""A Host header: a name or an IPv4 address, or an IPv6 address in brackets, and a port or none."""

LONGEST_PATH = 2000
"""Characters."""


@dataclass(frozen=True)
class Rules:
    """Hold whom a dashboard answers."""

    names: frozenset[str]
    """Host names that mean this machine."""
    write: bool
    mount: Mount
    login: Login | None
    """None lets everybody in who reaches it."""

    def objection(self, environ: dict[str, Any]) -> str:
        """Return why a request is refused; empty where it is not."""
        named = environ.get("HTTP_HOST", "")
        if not is_ours(named, self.names) and named.lower() != (self.mount.host or None):
            return (
                f"this dashboard is not {named!r}: ask for localhost or for its IP address, or start it with "
                "--root-path and the URL that it has behind your proxy"
            )
        if environ.get("HTTP_ORIGIN", f"http://{named}") not in (f"http://{named}", self.mount.origin or None):
            return "this dashboard answers its own pages only"
        if is_part_of_another_page(environ):
            return "this dashboard answers its own pages only"
        return ""

    def refusal(self, environ: dict[str, Any]) -> str:
        """Return why a method is refused; empty where it is not."""
        if environ["REQUEST_METHOD"] in READS or self.write:
            return ""
        return "read-only: start it with `autoaug dashboard --write` to change studies"


def rules(host: str, write: bool, token: str | None, mount: Mount) -> Rules:
    """Return the rules of a dashboard that listens at a host."""
    names = frozenset({"localhost", host.lower(), socket.gethostname().lower()})
    return Rules(names, write, mount, Login(token, mount) if token else None)


def guarded(app: Wsgi, rules: Rules) -> Wsgi:
    """Return the app behind a check of every request, with headers that keep its pages to themselves."""

    def door(environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        def with_headers(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            return respond(status, closed(headers), *error)

        environ = rules.mount.within(environ)
        if is_no_path(environ["PATH_INFO"]):
            return explain(environ, with_headers, "400 Bad Request", "this is no path of a page")
        if reason := rules.objection(environ):
            return explain(environ, with_headers, "403 Forbidden", reason)
        if rules.login and (asked := rules.login.ask(environ, with_headers)) is not None:
            return asked
        if reason := rules.refusal(environ):
            return explain(environ, with_headers, "403 Forbidden", reason)
        return app(environ, with_headers)

    return door


def closed(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return headers of an answer by which nobody else can use it."""
    said = {name.lower() for name, _ in headers}
    kept = [(name, value) for name, value in headers if name.lower() not in LEFT_OUT]
    return [*kept, *EVERYWHERE, *(pair for pair in UNLESS_SAID if pair[0].lower() not in said)]


def is_no_path(path: str) -> bool:
    """Whether a path, its escapes resolved, is one that no page has: too long, upwards, or with control characters."""
    upwards = {".", ".."} & set(path.replace("\\", "/").split("/"))
    return bool(
        len(path) > LONGEST_PATH or upwards or any(character < " " or character == "\x7f" for character in path)
    )


def is_part_of_another_page(environ: dict[str, Any]) -> bool:
    """Whether a page of another site, or of another port, wants this as a part of it, as browsers say.

    A link may lead here. What is no link and sends no Origin, such as an image, would still tell whether it exists.
    """
    if environ.get("HTTP_SEC_FETCH_SITE") not in ("cross-site", "same-site"):
        return False
    mode, into = environ.get("HTTP_SEC_FETCH_MODE"), environ.get("HTTP_SEC_FETCH_DEST")
    return (environ["REQUEST_METHOD"] not in READS) or (mode, into) != ("navigate", "document")


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


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    return host.lower() == "localhost" or (is_address(host) and ip_address(host).is_loopback)
