"""What of a storage's URL may be printed: passwords come in many parts of it, so all that may hold one is hidden."""

import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import sqlalchemy as sql
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

HIDDEN = "***"

POSTGRESQL = (
    "application_name channel_binding client_encoding connect_timeout dbname gssencmode host keepalives "
    "keepalives_count keepalives_idle keepalives_interval load_balance_hosts port sslmode sslnegotiation "
    "target_session_attrs tcp_user_timeout user"
)
SQLITE = "cache cached_statements check_same_thread detect_types immutable isolation_level mode nolock timeout uri"
HARMLESS = frozenset(f"{POSTGRESQL} {SQLITE}".split())
"""Options of a URL, after its `?`, that may be shown."""

WORD = re.compile(r"[\w./~ -]*")
"""What may be shown of a text that is no URL: a name or a path, without `:`, `=` and `@`."""

FORMS = "sqlite:///study.db, postgresql+psycopg://user@host/database, env:NAME or file:PATH"


def parse(url: str) -> sql.URL:
    """Return the parts of a URL.

    Raises:
        ValueError: it has none; the message holds nothing of it that may be secret.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(f"{show_word(url)} is no storage URL: write {FORMS}") from None
    if "@" in (parsed.host or ""):
        raise ValueError("the storage URL has more than one @: write the one in the password as %40")
    return parsed


def show_word(text: str) -> str:
    """Return a text that is no URL, unless it may be one that was mistyped."""
    if WORD.fullmatch(text) and len(text) <= 200:
        return repr(text)
    return f"what was given as the storage, {len(text)} characters that are not shown for they may hold a password,"


def show_url(url: str) -> str:
    """Return a storage URL as it may be printed: without its password and the values of options it does not know."""
    parsed = parse(url)
    secret = dict.fromkeys(hidden_options(parsed), HIDDEN)
    shown = parsed.update_query_dict(secret).render_as_string(hide_password=True)
    return shown.replace(quote_plus(HIDDEN), HIDDEN).replace("///file%3A", "///file:")


def show_storage(storage_url: str) -> str:
    """Return how a storage was given, as it may be printed: `env:NAME` and `file:PATH` as they are."""
    kind, colon, rest = storage_url.partition(":")
    if kind in ("env", "file"):
        return storage_url if WORD.fullmatch(rest) else f"{kind}:{HIDDEN}"
    return show_url(storage_url) if colon else show_word(storage_url)


def hidden_options(parsed: sql.URL) -> list[str]:
    """Return the names of options whose values may not be printed."""
    return [name for name in parsed.query if name not in HARMLESS]


def refuse_exposed(storage_url: str) -> None:
    """Refuse a password on the command line, where everybody on the machine can read it.

    Raises:
        ValueError: it is a URL with a password, or with an option that may hold one.
    """
    if storage_url.startswith(("env:", "file:")):
        return
    parsed = parse(storage_url)
    fix = "put the URL into an environment variable and give env:NAME, or into a file and give file:PATH"
    if parsed.password or any("pass" in name.lower() for name in parsed.query):
        what = "a password on the command line can be read by all who call ps"
        raise ValueError(f"storage {show_url(storage_url)}: {what}: {fix}")
    if hidden := hidden_options(parsed):
        raise ValueError(
            f"storage {show_url(storage_url)}: the option {hidden[0]!r} may hold a secret, and ps shows it: {fix}"
        )


def without_secrets(text: str, url: str) -> str:
    """Return what a driver says of a URL that was tried, without what `show_url` hides of it."""
    for secret in sorted(secrets_of(url), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def secrets_of(url: str) -> Iterator[str]:
    """Yield the password and the options that are hidden, as they are and as a URL writes them."""
    parsed = parse(url)
    options = [parsed.query[name] for name in hidden_options(parsed)]
    values = [each for value in options for each in ((value,) if isinstance(value, str) else value)]
    for value in filter(None, [str(parsed.password or ""), *values]):
        yield from {value, quote(value, safe=""), quote_plus(value)}
    if password := re.search(r"://[^:@/]*:([^@]*)@", url):
        yield from filter(None, [password[1]])
