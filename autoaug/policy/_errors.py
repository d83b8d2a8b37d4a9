"""Errors of policies in one line: the value, its JSON path and the fix."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from autoaug.fields import short
from autoaug.text import shown

KINDS = ("apply", "sequence", "choice", "schedule")
LONGEST = 400
"""Characters of an error message: a hostile file must not fill the log."""

FIXES = {
    "extra_forbidden": "this field is unknown; remove it or correct its name",
    "missing": "this field is missing; add it",
    "too_short": "this list is empty; give at least one element",
    "union_tag_not_found": f'a node needs a "kind", one of {", ".join(KINDS)}',
}
"""Pydantic's error types whose own words do not say what to do."""


class PolicyError(ValueError):
    """A policy or a policy file that cannot be used. The message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(shown(message, LONGEST))


def json_path(location: tuple[int | str, ...], keep_last: bool = False) -> str:
    """Return pydantic's location as a path into the file, without the names of the node kinds that it adds."""
    last = len(location) - 1
    path = ""
    for k, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in KINDS or (keep_last and k == last):
            path += f".{part}" if path else part
    return path


def explain(error: ValidationError, source: str) -> PolicyError:
    """Return the first complaint of a validation as one line."""
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, PolicyError):
        return PolicyError(f"{source} at {cause}")
    path = json_path(first["loc"], keep_last=first["type"] == "extra_forbidden")
    words = FIXES.get(first["type"]) or (str(cause) if cause else f"{first['msg']}, got {short(first['input'])}")
    return PolicyError(f"{source} at {path}: {words}" if path else f"{source}: {words}")


@contextmanager
def one_line(source: str) -> Iterator[None]:
    """Turn pydantic's report on `source` into a PolicyError."""
    try:
        yield
    except ValidationError as error:
        raise explain(error, source) from None
