"""The pages of studies, below /autoaug/."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from markupsafe import escape

from autoaug.compare import Figure
from autoaug.store import Store
from autoaug.text import shown


class Site:
    """Serve the list of the stored studies."""

    def __init__(self, store: Store, figures: Mapping[str, Figure]) -> None:
        self.store, self.figures = store, dict(figures)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request: WSGI."""
        listed = "".join(f"<li>{escape(shown(name))}</li>" for name in self.store.names())
        body = f"<!doctype html><title>autoaug</title><ul>{listed}</ul>".encode()
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
        return [body]
