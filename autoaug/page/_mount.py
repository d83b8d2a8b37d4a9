"""Where the pages are, as a browser calls it: behind a reverse proxy at a path, and under a name, of its own.

What a proxy says in X-Forwarded-* is not believed, for any page could say it too: it is told once, on the command line.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

PLACE = re.compile(
    r"(?P<origin>https?://(?P<host>[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?))?(?P<path>(/[\w.~-]+)*)/?",
    re.ASCII,
)
"""A path, or the URL of it."""

TAKEN = ("api", "artifacts", "autoaug", "csv", "dashboard", "favicon.ico", "static")
"""Beginnings of our own paths: a proxy may pass on the whole path or take its own part off, and both are understood."""


@dataclass(frozen=True)
class Mount:
    """Hold the place of the pages. Empty texts: at the root, under this machine's own names."""

    path: str = ""
    """Without a slash at its end."""
    origin: str = ""
    """Scheme, name and port, such as https://box.example.org."""

    @property
    def host(self) -> str:
        """Name and port, as a browser writes them into Host."""
        return self.origin.partition("://")[2].lower()

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by https alone."""
        return self.origin.startswith("https:")

    def within(self, environ: dict[str, Any]) -> dict[str, Any]:
        """Return the request as it would be at the root, whether the proxy took the path off or not."""
        path = environ.get("PATH_INFO", "")
        if self.path and (path == self.path or path.startswith(f"{self.path}/")):
            path = path.removeprefix(self.path)
        return environ | {"SCRIPT_NAME": "", "PATH_INFO": path or "/"}

    def address(self, environ: dict[str, Any], without: str = "") -> str:
        """Return path and query of a request, as a browser is to ask for them; never those of another host.

        Args:
            without: a parameter of the query that is left out.
        """
        path = quote("/" + environ["PATH_INFO"].lstrip("/\\"), safe="/~", encoding="latin-1")
        pairs = [pair for pair in environ.get("QUERY_STRING", "").split("&") if pair]
        query = "&".join(pair for pair in pairs if not without or unquote(pair.partition("=")[0]) != without)
        return f"{self.path}{path}{'?' if query else ''}{query}"


def mount_of(text: str) -> Mount:
    """Return the place that a text names: "/sub", "https://box.example.org/sub"; empty for the root.

    Raises:
        ValueError: it is no such text, or its path is one that Optuna Dashboard or we need.
    """
    found = PLACE.fullmatch(text)
    segments = found["path"].split("/")[1:] if found else []
    if found is None or {".", ".."} & set(segments):
        raise ValueError(f"root path is {text!r}: give a path such as /sub, or the URL of it behind your proxy")
    if segments and segments[0] in TAKEN:
        raise ValueError(f"root path is {text!r}, and pages of the dashboard lie at /{segments[0]}: give another one")
    return Mount(found["path"], (found["origin"] or "").lower())
