"""What is given as a place for artifacts, a folder or a URL that holds no secret, and the place that it is."""

import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from autoaug.artifacts._errors import HIDDEN
from autoaug.artifacts._folder import Folder
from autoaug.artifacts._place import Location, Place
from autoaug.artifacts._remote import Remote
from autoaug.artifacts._server import Server
from autoaug.fields import TEXT, Refused
from autoaug.text import shown


def location(value: Any) -> Location:
    """Return a folder, or a URL that holds no secret and names one place.

    Raises:
        Refused: it is neither.
        ValueError: it is a URL that cannot be used; the message shows no secret of it.
    """
    text = str(value) if isinstance(value, Path) else value
    if not TEXT.holds(text):
        raise Refused("a folder or a URL")
    scheme, colon, rest = text.partition("://")
    if not colon:
        if re.match(r"(?i)[a-z][a-z0-9+.-]+:/", text):
            raise Refused("a URL as a text with ://, such as 's3://bucket/runs', or a folder")
        return Path(text)
    refuse_url(text)
    return Path(unquote(rest)) if scheme in ("file", "local") else text.rstrip("/")


def refuse_url(url: str) -> None:
    """Refuse a URL that holds a secret, or does not name one place.

    Raises:
        ValueError: it says what is wrong; what may be secret is not shown.
    """
    try:
        parts = urlsplit(url)
        secret = bool(parts.password or parts.query or parts.fragment)
    except ValueError:
        raise ValueError(f"artifacts are at a URL that cannot be read: write s3://bucket/runs, not {HIDDEN}") from None
    if secret:
        bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise ValueError(
            f"artifacts are at {shown(bare)} with a password or an option that may hold one: leave it out of the URL, "
            "and give credentials in the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if "::" in url or re.search(r"[*?\[\]]", url) or not (parts.netloc or parts.path.strip("/")):
        raise ValueError(f"artifacts are at {shown(url)}, which names no single place: write s3://bucket/runs")


@cache
def place_of(location: Location, retry_seconds: float = 60.0) -> Place:
    """Return the place of a folder or a URL. There is one for each in a process: it remembers that it is away.

    Args:
        retry_seconds: for so long what lies elsewhere and does not answer is tried again.
    """
    if isinstance(location, Path):
        return Folder(location)
    return Remote(location, Server(location, retry_seconds))
