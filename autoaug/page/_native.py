"""Optuna Dashboard as we serve it: without buttons that would be refused, below any path, its artifacts locked up."""

import re
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import optuna_dashboard

from autoaug.page._answers import Respond, Wsgi, answer, explain
from autoaug.store import Store


class ArtifactStore(Protocol):
    """Describe what Optuna keeps files in."""

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Return an artifact, to be read."""
        ...

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Keep an artifact."""
        ...

    def remove(self, artifact_id: str) -> None:
        """Delete an artifact."""
        ...


ADDED = {"/autoaug/read_only.css": "text/css", "/autoaug/read_only.js": "text/javascript"}
"""What the pages of a read-only dashboard load besides: Optuna Dashboard forbids scripts within a page."""

CONDITIONS = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH")

CODE = "/static/bundle.js"
"""The JavaScript of all its pages."""

ROOTED = (
    r'url_prefix:"(?=/dashboard")',
    r"`\$\{this\.baseURL\}(?=/api/)",
    r"`(?=/artifacts/\$)",
    r"`\$\{\w+\}(?=/artifacts/\$)",
    r"`(?=/csv/\$)",
)
"""What stands before addresses in its JavaScript that begin at the root: a quote, and what is empty there."""

SANDBOX = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:"
)
"""Of artifacts: a file of somebody else's may be a page with scripts. It runs as a page of nowhere: without cookies,
unable to ask us or anybody else for anything."""

AS_TEXT = re.compile(r"javascript|ecmascript|text/css", re.IGNORECASE)
"""Kinds of artifacts that another page could load as a part of it."""


def native(store: Store, artifact_store: ArtifactStore | None, write: bool, root: str) -> Wsgi:
    """Return Optuna Dashboard over a storage.

    Args:
        artifact_store: where its artifacts are; None shows none.
        write: whether its pages may change something. Else they do not offer it.
        root: the path at which it is, without a slash at its end.

    Raises:
        ValueError: this version of it works at no path but the root.
    """
    app: Wsgi = optuna_dashboard.wsgi(store.optuna, artifact_store)
    if root:
        rooted_code(root)

    def serve(environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        environ.setdefault("HTTP_ACCEPT_ENCODING", "")  # which it takes for granted
        if path == "/":
            return answer(respond, "text/plain", b"", "302 Found", [("Location", f"{root}/dashboard")])
        if path in ADDED and not write:
            return answer(respond, ADDED[path], addition(Path(path).name))
        if path.startswith("/dashboard") and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return page(app, environ, respond, write, root)
        if path == CODE and root:
            return code(environ, respond, root)
        if path.startswith("/artifacts/"):
            return app(environ, locked_up(respond))
        if not path.startswith(("/api/", "/csv/", "/static/", "/favicon.ico", "/incompatible-rdb-schema")):
            return explain(environ, respond, "404 Not Found", "there is no such page; the studies are at /autoaug/")
        return app(environ, respond)

    return serve


def page(app: Wsgi, environ: dict[str, Any], respond: Respond, write: bool, root: str) -> Iterable[bytes]:
    """Answer with a page that loads its parts from below a path, and has no buttons unless it may change something."""
    response: list[Any] = []
    # a page that the browser knows from a dashboard that may write, or from another path, is not this one
    fresh = {name: value for name, value in environ.items() if name not in CONDITIONS} | {"REQUEST_METHOD": "GET"}
    parts = app(fresh, lambda status, headers, *_: response.extend((status, headers)))
    body = b"".join(parts)
    getattr(parts, "close", list)()  # WSGI: where there is such a method
    css, script = (f"{root}{path}" for path in ADDED)
    icon = f'<link rel="icon" href="{root}/favicon.ico">' if root else ""
    buttons = "" if write else f'<link rel="stylesheet" href="{css}"><script src="{script}"></script>'
    body = body.replace(b'src="/static/', f'src="{root}/static/'.encode())
    body = body.replace(b"</head>", f"{icon}{buttons}</head>".encode())
    headers = [(name, value) for name, value in response[1] if name.lower() not in ("content-length", "last-modified")]
    respond(response[0], [*headers, ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def code(environ: dict[str, Any], respond: Respond, root: str) -> Iterable[bytes]:
    """Answer with the JavaScript for a path, which a browser keeps until it is another one."""
    body = rooted_code(root)
    mark = f'"{sha256(root.encode()).hexdigest()[:8]}-{version("optuna-dashboard")}"'
    headers = [("ETag", mark), ("Cache-Control", "private, no-cache")]
    if mark in environ.get("HTTP_IF_NONE_MATCH", ""):
        respond("304 Not Modified", headers)
        return []
    parts = answer(respond, "text/javascript; charset=utf-8", body, headers=headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else parts


@cache
def rooted_code(root: str) -> bytes:
    """Return the JavaScript with the addresses that it has below a path.

    Raises:
        ValueError: it does not have the addresses that are known: this is another version.
    """
    text = (resources.files("optuna_dashboard") / "public" / "bundle.js").read_text(encoding="utf-8")
    for pattern in ROOTED:
        text, count = re.subn(pattern, lambda found: re.sub(r"\$\{.*", "", found[0]) + root, text)
        if not count:
            raise ValueError(
                f"Optuna Dashboard {version('optuna-dashboard')} works at the root of a host only: leave the path of "
                "--root-path out, and give it a host name of its own"
            )
    return text.encode()


def locked_up(respond: Respond) -> Respond:
    """Return what answers with an artifact that can do nothing, whatever its kind."""

    def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
        safe = [
            (name, "text/plain; charset=utf-8" if name.lower() == "content-type" and AS_TEXT.search(value) else value)
            for name, value in headers
        ]
        return respond(status, [*safe, ("Content-Security-Policy", SANDBOX)], *error)

    return start


@cache
def addition(name: str) -> bytes:
    """Return a file that pages of a read-only dashboard load."""
    return (resources.files("autoaug.page") / "static" / name).read_bytes()
