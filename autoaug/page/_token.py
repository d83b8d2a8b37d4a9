"""Who may see a dashboard that others can reach: those who know its token, and the browsers of those."""

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import parse_qs

from markupsafe import Markup

from autoaug.page._answers import Respond, answer, explain
from autoaug.page._mount import Mount

SHORTEST = 16
"""Characters of a token."""

FREE = 5
"""Wrong tokens of an address until the next ones are slowed."""

LONGEST_WAIT = 60.0
"""Seconds."""

ADDRESSES = 1024
"""Of which wrong tokens are counted; the earliest are forgotten."""

FORM_BYTES = 4096
"""Of the form with a token."""

FORM = Markup(
    '<form method="post"><label>Token <input name="token" type="password" autocomplete="current-password" required '
    "autofocus></label> <button>Open</button></form>"
)

ASKED = "this dashboard asks for its token: it was printed where the dashboard was started, or given there by --token"


def new_token() -> str:
    """Return a token that nobody guesses, of 32 characters."""
    return secrets.token_urlsafe(24)


def refuse_weak(token: str) -> None:
    """Raise ValueError where a token could be guessed, or could not be typed; the message does not hold it."""
    if len(token) < SHORTEST or not all("!" <= character <= "~" for character in token):
        raise ValueError(
            f"the token has {len(token)} characters: give {SHORTEST} or more letters, digits and signs without a space"
        )


class Guesses:
    """Count wrong tokens by address, in bounded memory: after a few the next ones are looked at later and later."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self.lock = clock, threading.Lock()
        self.wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """How many there were, and when the next one is looked at."""

    def wait(self, address: str) -> float:
        """Return for how many seconds a token of this address is not looked at."""
        with self.lock:
            return max(0.0, self.wrong.get(network(address), (0, 0.0))[1] - self.clock())

    def note(self, address: str, right: bool) -> None:
        """Count a token that was looked at."""
        key = network(address)
        with self.lock:
            count, _ = self.wrong.pop(key, (0, 0.0))
            if right:
                return
            pause = min(LONGEST_WAIT, 2.0 ** min(count + 1 - FREE, 10)) if count + 1 > FREE else 0.0
            self.wrong[key] = count + 1, self.clock() + pause
            while len(self.wrong) > ADDRESSES:
                self.wrong.popitem(last=False)


def network(address: str) -> str:
    """Return what counts as one address: of IPv6 the first half, for one machine has all of the other."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return f"{int(found) >> 64:x}"
    return str(found)


class Login:
    """Let in who shows the token: in the address, which becomes a cookie, in a form, or as `Authorization: Bearer`.

    The cookie is not the token and ends with this process. It goes to no other site, and to no script.
    """

    def __init__(self, token: str, mount: Mount, clock: Callable[[], float] = time.monotonic) -> None:
        self.token, self.mount, self.guesses = token, mount, Guesses(clock)
        self.session = secrets.token_urlsafe(32)

    def ask(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes] | None:
        """Return what is answered in place of the pages; None where the pages may be."""
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        reads = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        shown = query["token"][0] if reads and "token" in query else form_token(environ)
        bearer = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        known = self.known(environ)
        if shown is None and known:
            return None
        if shown is None and bearer[0].lower() != "bearer":
            return self.refuse(environ, respond, ASKED)
        address = environ.get("REMOTE_ADDR", "")
        if wait := self.guesses.wait(address):
            seconds = f"{int(wait) + 1}"
            reason = f"too many wrong tokens came from {address}: the next one is looked at in {seconds} s"
            return explain(environ, respond, "429 Too Many Requests", reason, [("Retry-After", seconds)])
        right = same(bearer[2].strip() if shown is None else shown, self.token)
        self.guesses.note(address, right)
        if not right:
            return self.refuse(environ, respond, "this is not the token of this dashboard")
        return None if shown is None else self.let_in(environ, respond)

    def known(self, environ: dict[str, Any]) -> bool:
        """Whether the browser was let in before."""
        try:
            found = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(cookie_name(environ))
        except CookieError:
            return False
        return found is not None and same(found.value, self.session)

    def let_in(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        """Answer with the cookie, and send the browser to the same address without the token.

        A browser that came from another site would not show a strict cookie after a redirect: it is sent on by a page
        of ours.
        """
        place = self.mount.address(environ, without="token")
        secure = "; Secure" if self.mount.secure else ""
        path = self.mount.path or "/"
        cookie = f"{cookie_name(environ)}={self.session}; HttpOnly; SameSite=Strict; Path={path}{secure}"
        headers = [("Set-Cookie", cookie), ("Referrer-Policy", "no-referrer"), ("Cache-Control", "no-store")]
        if not is_from_elsewhere(environ):
            return answer(respond, "text/plain", b"", "303 See Other", [("Location", place), *headers])
        return explain(environ, respond, "200 Welcome", "one moment", headers[:2], head=forward(place))

    def refuse(self, environ: dict[str, Any], respond: Respond, reason: str) -> Iterable[bytes]:
        """Answer that the token is needed. A link on another site shows no cookie: the page itself asks once more."""
        headers = [("WWW-Authenticate", 'Bearer realm="autoaug"')]
        head = Markup()
        if is_from_elsewhere(environ) and reason == ASKED and environ["REQUEST_METHOD"] == "GET":
            head = forward(self.mount.address(environ))
        return explain(environ, respond, "401 Token needed", reason, headers, head=head, more=FORM)


def cookie_name(environ: dict[str, Any]) -> str:
    """Return the name of the cookie: browsers keep one jar for all ports of a host."""
    return f"autoaug-{environ.get('SERVER_PORT', '')}"


def form_token(environ: dict[str, Any]) -> str | None:
    """Return the token of the form; None where the request is no such form."""
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    length = environ.get("CONTENT_LENGTH") or "0"
    if environ["REQUEST_METHOD"] != "POST" or kind != "application/x-www-form-urlencoded":
        return None
    if not length.isdigit() or int(length) > FORM_BYTES:
        return ""
    fields = parse_qs(environ["wsgi.input"].read(int(length)).decode("utf-8", "replace"))
    return fields.get("token", [""])[0]


def is_from_elsewhere(environ: dict[str, Any]) -> bool:
    """Whether a page of another site led here."""
    return environ.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site")


def forward(place: str) -> Markup:
    """Return HTML by which a page goes on to another one."""
    return Markup('<meta http-equiv="refresh" content="0; url={place}">').format(place=place)


def same(given: str, wanted: str) -> bool:
    """Whether two texts are the same, in a time that does not tell how far they are."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())
