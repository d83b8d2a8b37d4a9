"""Short answers: a reason as a small page for a person, and as JSON for a script."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any

from markupsafe import Markup, escape

Respond = Callable[..., Any]

Wsgi = Callable[[dict[str, Any], Respond], Iterable[bytes]]

STYLE = (
    "html{color-scheme:light dark;font:17px/1.5 system-ui,sans-serif}"
    "body{max-width:34rem;margin:18vh auto 0;padding:0 1rem;overflow-wrap:anywhere}"
    "h1{font-size:1.5rem}input,button{font:inherit;padding:.4rem .6rem}"
)

POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; base-uri 'none'"
)
"""Of these pages: nothing is loaded, and no script runs."""

NOTHING = Markup()

PAGE = Markup(
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">{head}<style>{style}</style></head>'
    "<body><main><h1>{title}</h1><p>{reason}</p>{more}</main></body></html>"
)


def wants_page(environ: dict[str, Any]) -> bool:
    """Whether a person looks at the answer: a browser says that it takes HTML, a script takes anything."""
    return "text/html" in environ.get("HTTP_ACCEPT", "")


def answer(
    respond: Respond, kind: str, body: bytes, status: str = "200 OK", headers: Iterable[tuple[str, str]] = ()
) -> Iterable[bytes]:
    """Answer with a body."""
    respond(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *headers])
    return [body]


def explain(
    environ: dict[str, Any],
    respond: Respond,
    status: str,
    reason: str,
    headers: Iterable[tuple[str, str]] = (),
    head: Markup = NOTHING,
    more: Markup = NOTHING,
) -> Iterable[bytes]:
    """Answer with a reason: a page where a browser shows it, else JSON.

    Args:
        status: such as "403 Forbidden", of which the words are the title.
        head: further HTML of the page's head.
        more: further HTML under the reason.
    """
    headers = [("Cache-Control", "no-store"), *headers]
    if not wants_page(environ):
        return answer(respond, "application/json", json.dumps({"reason": reason}).encode(), status, headers)
    title = status.partition(" ")[2]
    page = PAGE.format(
        title=title, reason=escape(f"{reason[:1].upper()}{reason[1:]}."), head=head, more=more, style=Markup(STYLE)
    )
    policy = [("Content-Security-Policy", POLICY), *headers]
    return answer(respond, "text/html; charset=utf-8", page.encode(), status, policy)
