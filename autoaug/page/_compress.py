"""Answers in fewer bytes: text is compressed for who takes it, and what is large and does not change only once."""

import gzip
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from autoaug.page._answers import Respond, Wsgi

TEXT = re.compile(r"text/|application/(json|javascript)|image/svg")

LEAST = 1_000
"""Bytes of an answer that is compressed."""

KEPT, KEPT_FROM = 16, 100_000
"""How many compressed answers are kept, and from how many bytes on."""

TAKES = re.compile(r"(^|[,\s])gzip\s*(;\s*q=(?!0(\.0*)?\s*(,|$))[0-9.]+)?\s*(,|$)", re.IGNORECASE)
"""An Accept-Encoding that takes gzip, with a weight other than 0."""


class Compressed:
    """Serve an app with answers compressed by gzip."""

    def __init__(self, app: Wsgi) -> None:
        self.app, self.lock = app, threading.Lock()
        self.kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def __call__(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        """Answer a request: WSGI."""
        if environ["REQUEST_METHOD"] != "GET" or not TAKES.search(environ.get("HTTP_ACCEPT_ENCODING", "")):
            return self.app(environ, respond)
        response: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            response[:] = [status, headers]
            if not is_text(status, headers):
                return respond(status, headers, *error)
            return None

        parts = self.app(environ, start)
        if not response or not is_text(*response):
            return parts
        status, headers = response
        body = b"".join(parts)
        getattr(parts, "close", list)()  # WSGI: where there is such a method
        if len(body) >= LEAST:
            body = self.compress(environ["PATH_INFO"], field(headers, "etag"), body)
            kept = [pair for pair in headers if pair[0].lower() not in ("content-length", "etag")]
            # the bytes are others, and so the mark is a weak one
            mark = [("ETag", weak(value)) for value in [field(headers, "etag")] if value]
            headers = [*kept, *mark, ("Content-Encoding", "gzip"), ("Content-Length", str(len(body)))]
        respond(status, [*headers, ("Vary", "Accept-Encoding")])
        return [body]

    def compress(self, path: str, mark: str, body: bytes) -> bytes:
        """Return bytes compressed, as they were found before where that is known."""
        if not mark or len(body) < KEPT_FROM:
            return gzip.compress(body, 6, mtime=0)
        with self.lock:
            if (path, mark) not in self.kept:
                self.kept[path, mark] = gzip.compress(body, 6, mtime=0)
            self.kept.move_to_end((path, mark))
            while len(self.kept) > KEPT:
                self.kept.popitem(last=False)
            return self.kept[path, mark]


def is_text(status: str, headers: list[tuple[str, str]]) -> bool:
    """Whether an answer is a text that is not compressed yet."""
    plain = status.startswith("200") and not field(headers, "content-encoding")
    return plain and TEXT.match(field(headers, "content-type")) is not None


def field(headers: list[tuple[str, str]], name: str) -> str:
    """Return a header of an answer, empty where there is none."""
    return next((value for key, value in headers if key.lower() == name), "")


def weak(mark: str) -> str:
    """Return a mark of contents that says nothing of their bytes."""
    return mark if mark.startswith("W/") else f"W/{mark}"
