"""What attackers may try on a dashboard: other pages, names and users, hostile texts, files and traffic."""

import gzip
import io
import json
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, BinaryIO

import optuna
import optuna_dashboard
import pytest
from optuna.artifacts import upload_artifact
from studies_for_tests import tiny
from test_dashboard import ask, served, studies

from autoaug.cli._dashboard import secret
from autoaug.execution import Scheduler
from autoaug.page import make_dashboard, mount_of
from autoaug.page._guard import is_loopback
from autoaug.page._token import ADDRESSES, FREE, LONGEST_WAIT, Guesses, network
from autoaug.store import Store
from autoaug.strategies import none

SECRET = "a-token-of-this-test"

HOSTILE = "<img src=x onerror=alert(1)>"

Answer = tuple[HTTPResponse, bytes]


class Memory:
    """Artifacts in memory, as Optuna keeps them."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def open_reader(self, artifact_id: str) -> BinaryIO:
        return io.BytesIO(self.kept[artifact_id])

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        self.kept[artifact_id] = content_body.read()

    def remove(self, artifact_id: str) -> None:
        del self.kept[artifact_id]


FILES = {
    "page.html": ("text/html", b"<script>fetch('/api/studies')</script>"),
    "code.js": ("text/javascript", b"alert(1)"),
    "drawing.svg": ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
    f"{HOSTILE}.png": ("image/png", b"none"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attacks")


@pytest.fixture(scope="module")
def artifacts() -> Memory:
    return Memory()


@pytest.fixture(scope="module")
def url(folder: Path, artifacts: Memory) -> str:
    """A storage with a hostile study: its names, its note, its attributes and its artifacts."""
    where = f"sqlite:///{folder / 'x.db'}"
    store = Store(where)
    Scheduler(tiny(strategies={"none": none()}), store)
    study = optuna.load_study(study_name="tiny/none", storage=store.optuna)
    study.set_user_attr("attribute", HOSTILE)
    optuna_dashboard.save_note(study, f"{HOSTILE}\n[link](javascript:alert(1))")
    for name, (kind, body) in FILES.items():
        (folder / name).write_bytes(body)
        upload_artifact(artifact_store=artifacts, file_path=str(folder / name), study_or_trial=study, mimetype=kind)
    store.close()
    with closing(sqlite3.connect(folder / "x.db")) as connection:
        connection.execute("UPDATE autoaug_studies SET name = ?", (HOSTILE,))
        connection.execute("UPDATE studies SET study_name = replace(study_name, 'tiny', ?)", (HOSTILE,))
        connection.commit()
    return where


@pytest.fixture(scope="module")
def port(url: str, artifacts: Memory) -> Iterator[int]:
    """A dashboard that only reads."""
    with served(url, artifact_store=artifacts) as found:
        yield found


@pytest.fixture(scope="module")
def writing(url: str, artifacts: Memory) -> Iterator[int]:
    """A dashboard that may write."""
    with served(url, write=True, artifact_store=artifacts) as found:
        yield found


@pytest.fixture
def asking(url: str) -> Iterator[int]:
    """A dashboard that asks for its token."""
    with served(url, token=SECRET) as found:
        yield found


def get(port: int, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """An answer with its headers."""
    with closing(HTTPConnection("127.0.0.1", port)) as connection:
        connection.request(method, path, body, {"Host": f"127.0.0.1:{port}"} | headers)
        answer = connection.getresponse()
        return answer, answer.read()


def contents(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "x.db")) as connection:
        return list(connection.iterdump())


# Another web page


def routes(url: str) -> list[tuple[str, str]]:
    """Method and path of each route of Optuna Dashboard, as the installed version has them."""
    store = Store(url)
    found = [(route.method, re.sub(r"<[^>]*id(:[^>]*)?>", "1", route.rule)) for route in app_of(store).routes]
    store.close()
    return [(method, re.sub(r"<[^>]*>", "x", rule)) for method, rule in found]


def app_of(store: Store) -> Any:
    return optuna_dashboard.wsgi(store.optuna, Memory())


def test_every_route_that_changes_something_is_refused(url: str, folder: Path, port: int, writing: int) -> None:
    changes = [(method, path) for method, path in routes(url) if method not in ("GET", "HEAD")]
    assert len(changes) >= 15, "all of its API"
    before = contents(folder)
    for method, path in [*changes, ("PATCH", "/api/studies/1"), ("TRACE", "/"), ("MADE-UP", "/api/studies/1")]:
        status, said = ask(port, path, method, {"study_name": "x", "body": "x", "version": 1})
        assert (status, said["reason"][:9]) == (403, "read-only"), f"{method} {path}"
        for foreign in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}):
            status, said = ask(writing, path, method, {"study_name": "x", "body": "x", "version": 1}, **foreign)
            assert (status, said["reason"]) == (403, "this dashboard answers its own pages only"), f"{method} {path}"
    assert contents(folder) == before


def test_no_read_changes_anything(url: str, folder: Path, writing: int) -> None:
    before = contents(folder)
    for method, path in routes(url):
        if method == "GET":
            assert get(writing, path)[0].status < 600
            assert get(writing, path, "HEAD")[1] == b""
    assert contents(folder) == before


@pytest.mark.parametrize("into", ["image", "script", "iframe", "empty", "style"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_nothing_is_a_part_of_another_page(port: int, site: str, into: str) -> None:
    asked = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate" if into == "iframe" else "no-cors"}
    for path in ("/autoaug/", "/dashboard", "/api/studies", "/favicon.ico"):
        assert get(port, path, **asked, **{"Sec-Fetch-Dest": into})[0].status == 403


def test_a_link_on_another_page_leads_here(port: int) -> None:
    asked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert get(port, "/autoaug/", **asked)[0].status == 200
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    assert get(port, "/api/studies", **own)[0].status == 200


def test_every_answer_keeps_to_itself(port: int) -> None:
    for path in ("/autoaug/", "/dashboard", "/api/studies", "/nowhere", "/%00", "/static/bundle.js"):
        answer, _ = get(port, path)
        assert answer.getheader("X-Content-Type-Options") == "nosniff", path
        assert answer.getheader("Cross-Origin-Resource-Policy") == "same-origin"
        assert answer.getheader("Cross-Origin-Opener-Policy") == "same-origin"
        assert answer.getheader("Referrer-Policy") == "same-origin"
        assert answer.getheader("Access-Control-Allow-Origin") is None
        assert answer.getheader("Server") is None


# Another name


@pytest.mark.parametrize("root_path", ["", "/sub", "https://box.example.org/sub"])
def test_what_a_proxy_is_said_to_have_said_is_not_believed(url: str, root_path: str) -> None:
    with served(url, root_path=root_path) as port:
        for header in ("X-Forwarded-Host", "X-Forwarded-Server", "X-Original-Host", "Forwarded"):
            told = {header: "host=localhost" if header == "Forwarded" else "localhost"}
            assert get(port, "/api/studies", **told | {"Host": "evil.example"})[0].status == 403
        told = {"X-Forwarded-Proto": "https", "Origin": f"https://127.0.0.1:{port}"}
        assert get(port, "/api/studies", **told)[0].status == 403


# Another user


def test_who_has_no_token_sees_nothing(asking: int) -> None:
    for path in ("/", "/autoaug/", "/dashboard", "/api/studies", "/static/bundle.js", "/favicon.ico", "/artifacts/1/1"):
        for more in ({}, {"Cookie": f"autoaug-{asking}={SECRET}"}, {"Authorization": "Basic eDp5"}):
            answer, body = get(asking, path, **more)
            assert answer.status == 401
            assert answer.getheader("WWW-Authenticate") == 'Bearer realm="autoaug"'
            assert SECRET.encode() not in body
            assert b"asks for its token" in body


def test_the_token_becomes_a_cookie_and_leaves_the_address(asking: int) -> None:
    answer, body = get(asking, f"/dashboard/studies/1?a=1&token={SECRET}&b=%26")
    assert (answer.status, body) == (303, b"")
    assert answer.getheader("Location") == "/dashboard/studies/1?a=1&b=%26"
    assert answer.getheader("Referrer-Policy") == "no-referrer"
    assert answer.getheader("Cache-Control") == "no-store"
    cookie, *flags = (answer.getheader("Set-Cookie") or "").split("; ")
    assert flags == ["HttpOnly", "SameSite=Strict", "Path=/"]
    assert SECRET not in cookie, "a cookie that leaks ends with the process"
    assert get(asking, "/api/studies", Cookie=f"other=1; {cookie}")[0].status == 200
    assert get(asking, "/api/studies", Cookie=cookie[:-1])[0].status == 401
    assert get(asking, "/api/studies", Cookie="autoaug=\x01;;=")[0].status in (400, 401)


def test_a_script_and_a_form_show_the_token_too(asking: int) -> None:
    assert get(asking, "/api/studies", Authorization=f"Bearer {SECRET}")[0].status == 200
    page = get(asking, "/autoaug/?a=1", Accept="text/html")[1]
    assert b'<form method="post">' in page
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://127.0.0.1:{asking}"}
    answer, _ = get(asking, "/autoaug/?a=1", "POST", f"token={SECRET}".encode(), **form)
    assert (answer.status, answer.getheader("Location")) == (303, "/autoaug/?a=1")
    foreign = form | {"Origin": "http://evil.example"}
    assert get(asking, "/autoaug/", "POST", f"token={SECRET}".encode(), **foreign)[0].status == 403
    assert get(asking, "/autoaug/", "POST", b"token=" + b"x" * 5_000, **form)[0].status == 401


def test_who_comes_by_a_link_of_another_site_is_sent_on_by_a_page(asking: int) -> None:
    """After a redirect a browser would not show a strict cookie."""
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    asked = link | {"Accept": "text/html"}
    answer, page = get(asking, f"/autoaug/?token={SECRET}", **asked)
    assert answer.status == 200
    assert b'content="0; url=/autoaug/">' in page
    assert SECRET.encode() not in page
    assert b'content="0; url=/autoaug/?a=1">' in get(asking, "/autoaug/?a=1", **asked)[1], "it asks once more"
    assert b"http-equiv" not in get(asking, "/autoaug/?a=1", Accept="text/html")[1], "and not for ever"


@pytest.mark.parametrize("path", ["//evil.example/", "///evil.example", "/%5cevil.example", "/\\evil.example"])
def test_the_token_leads_to_no_other_site(asking: int, path: str) -> None:
    answer, _ = get(asking, f"{path}?token={SECRET}")
    place = answer.getheader("Location") or "/"
    assert re.match(r"/[^/\\]|/$", place), place


def test_guesses_are_compared_as_a_whole_and_slowed(asking: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from autoaug.page import _token

    compared: list[bytes] = []

    class Compared:
        @staticmethod
        def compare_digest(given: bytes, wanted: bytes) -> bool:
            compared.append(wanted)
            return given == wanted

    monkeypatch.setattr(_token, "hmac", Compared)
    answer, _ = get(asking, f"/?token={SECRET}")
    cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
    wrong = [get(asking, f"/?token={SECRET[:-1]}{sign}")[0].status for sign in "abcdef"]
    assert wrong == [401] * 6
    assert compared == [SECRET.encode()] * 7
    answer, body = get(asking, f"/?token={SECRET}")
    assert answer.status == 429, "not even the right one is looked at"
    assert int(answer.getheader("Retry-After") or 0) >= 1
    assert b"too many wrong tokens came from 127.0.0.1" in body
    assert get(asking, "/api/studies", Authorization=f"Bearer {SECRET}")[0].status == 429
    assert get(asking, "/api/studies", Cookie=cookie)[0].status == 200, "who is in notices nothing"


def test_the_wait_doubles_and_its_memory_is_bounded() -> None:
    now = [0.0]
    guesses = Guesses(lambda: now[0])
    waits = []
    for _ in range(FREE + 9):
        guesses.note("10.0.0.1", right=False)
        waits.append(guesses.wait("10.0.0.1"))
    assert waits == [0.0] * FREE + [2.0, 4.0, 8.0, 16.0, 32.0] + [LONGEST_WAIT] * 4
    assert guesses.wait("10.0.0.2") == 0
    now[0] += 30
    assert guesses.wait("10.0.0.1") == LONGEST_WAIT - 30
    guesses.note("10.0.0.1", right=True)
    assert guesses.wait("10.0.0.1") == 0
    for number in range(2 * ADDRESSES):
        guesses.note(f"10.1.{number // 256}.{number % 256}", right=False)
    assert len(guesses.wrong) == ADDRESSES


def test_addresses_of_one_machine_are_one() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff%eth0") != network("2001:db8:0:1::1")
    assert network("10.0.0.1") != network("10.0.0.2")
    assert network("made up") == "made up"


def test_others_need_a_token_that_nobody_guesses(url: str) -> None:
    store = Store(url)
    for host in ("0.0.0.0", "::", "10.1.2.3", "box.example.org"):
        assert not is_loopback(host)
        with pytest.raises(ValueError, match=f"others reach {host}: give a token"):
            make_dashboard(store, host, 0, False, figures={})
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST")))
    for token in ("", "short", "x" * 15, "with a blank in it", "of-letters-ä-and-ö"):
        with pytest.raises(ValueError, match=r"the token has \d+ characters: give 16 or more") as refused:
            make_dashboard(store, "127.0.0.1", 0, False, figures={}, token=token)
        assert not token or token not in str(refused.value)
    store.close()


def test_a_token_is_given_by_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PAGES", f" {SECRET}\n")
    (tmp_path / "token").write_text(f"{SECRET}\n")
    (tmp_path / "bytes").write_bytes(b"\xff")
    for reference in (SECRET, "env:PAGES", f"file:{tmp_path / 'token'}"):
        assert secret(reference) == SECRET
    for reference, said in {
        "env:NOWHERE": "environment variable NOWHERE, which is not set: set it",
        f"file:{tmp_path / 'gone'}": "No such file or directory; give another --token",
        f"file:{tmp_path / 'bytes'}": "it is no text; give another --token",
    }.items():
        with pytest.raises(ValueError, match=re.escape(said)):
            secret(reference)


# Behind a proxy


@pytest.mark.parametrize("passed_on", ["", "/sub"], ids=["the path is taken off", "the path is passed on"])
def test_pages_work_below_a_path(url: str, passed_on: str) -> None:
    with served(url, root_path="/sub", token=SECRET) as port:
        answer, _ = get(port, f"{passed_on}/?token={SECRET}")
        assert answer.getheader("Location") == "/sub/"
        cookie, *flags = (answer.getheader("Set-Cookie") or "").split("; ")
        assert flags[-1] == "Path=/sub"
        asked = {"Cookie": cookie}
        assert get(port, f"{passed_on}/", **asked)[0].getheader("Location") == "/sub/dashboard"
        assert get(port, f"{passed_on}/autoaug", **asked)[0].getheader("Location") == "/sub/autoaug/"
        assert get(port, f"{passed_on}/autoaug/", **asked)[0].status == 200
        page = get(port, f"{passed_on}/dashboard/studies/1", **asked)[1].decode()
        parts = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert parts
        assert all(part.startswith("/sub/") for part in parts), parts
        for part in parts:
            assert get(port, passed_on + part.removeprefix("/sub"), **asked)[0].status == 200
        code = get(port, f"{passed_on}/static/bundle.js", **asked)[1].decode()
        assert code.count("`/sub/api/") >= 20
        assert 'url_prefix:"/sub/dashboard"' in code
        assert not re.findall(r"(?:baseURL\}|`)/(?:api|artifacts|csv)/", code), "an address that begins at the root"


def test_the_url_behind_a_proxy_is_ours(url: str) -> None:
    with served(url, write=True, root_path="https://Box.example.org/sub", token=SECRET) as port:
        asked = {"Host": "box.example.org", "Authorization": f"Bearer {SECRET}"}
        assert get(port, "/sub/api/studies", **asked)[0].status == 200
        for origin, status in (("https://box.example.org", 200), ("http://evil.example", 403)):
            assert get(port, "/sub/api/studies", **asked, Origin=origin)[0].status == status
        answer, _ = get(port, f"/sub/?token={SECRET}", Host="box.example.org")
        assert (answer.getheader("Set-Cookie") or "").endswith("; Secure")


@pytest.mark.parametrize(
    "root_path", ["sub", "/sub/..", "/./x", "//x", "/a b", "ftp://x/y", "https://", "/<script>", "https://x y/z", "/é"]
)
def test_what_is_no_path_is_refused(root_path: str) -> None:
    with pytest.raises(ValueError, match=r"root path is .*: give a path such as /sub"):
        mount_of(root_path)


@pytest.mark.parametrize("root_path", ["/dashboard", "/api/x", "https://box.example.org/autoaug"])
def test_a_path_of_our_own_is_refused(root_path: str) -> None:
    with pytest.raises(ValueError, match=r"pages of the dashboard lie at /\w+: give another one"):
        mount_of(root_path)


# Hostile texts and files


def test_script_in_a_text_stays_text(port: int) -> None:
    for path in ("/autoaug/", f"/autoaug/study/{HOSTILE}/".replace(" ", "%20"), "/nowhere/%3Cimg%20src=x%3E", "/a%00b"):
        answer, page = get(port, path, Accept="text/html")
        assert (answer.getheader("Content-Type") or "").startswith("text/html")
        assert b"<img src=x" not in page, path
        policies = ", ".join(answer.headers.get_all("Content-Security-Policy") or ())
        scripts = re.findall(r"script-src ([^;,]*)", policies) or ["'none'"]
        assert "default-src 'none'" in policies
        assert not any("unsafe" in sources for sources in scripts)
    answer, body = get(port, "/api/studies")
    assert answer.getheader("Content-Type") == "application/json"
    assert HOSTILE in body.decode(), "which is data, and no browser takes it for a page"


def test_a_file_of_somebody_elses_can_do_nothing(port: int) -> None:
    number = studies(port)[f"{HOSTILE}/none"]
    _, study = ask(port, f"/api/studies/{number}")
    kinds = {}
    for each in study["artifacts"]:
        answer, body = get(port, f"/artifacts/{number}/{each['artifact_id']}")
        assert (answer.status, body) == (200, FILES[each["filename"]][1])
        policies = ", ".join(answer.headers.get_all("Content-Security-Policy") or ())
        assert "sandbox allow-scripts" in policies
        assert "allow-same-origin" not in policies
        assert "default-src 'none'" in policies
        assert answer.getheader("Access-Control-Allow-Origin") is None
        kinds[each["filename"]] = answer.getheader("Content-Type")
    assert kinds["code.js"] == "text/plain; charset=utf-8", "no page runs it as a part of itself"
    assert kinds["page.html"] == "text/html"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../_app.py",
        "/static/%2e%2e/_app.py",
        "/static/..%2f_app.py",
        "/static/%2e%2e%5c_app.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/bundle.js%00.png",
        "/artifacts/1/../../etc/passwd",
        "/artifacts/1/%2e%2e%2fx.db",
        "/artifacts/1//etc/passwd",
        "/artifacts/1/%2fetc%2fpasswd",
        "/autoaug/static/../_site.py",
        "/autoaug/static/%2e%2e/_site.py",
        "/autoaug/static/%2fetc%2fpasswd",
        "/autoaug/picture/x/%2e%2e%2f%2e%2e%2fx.db",
        "/autoaug/download/x/..%2f..%2fx.db",
        "/dashboard/%0d%0aSet-Cookie:%20a=b",
        "/" + "a" * 5_000,
        "/api/studies/" + "9" * 400,
    ],
)
def test_paths_lead_to_no_file(port: int, path: str) -> None:
    answer, body = get(port, path)
    assert answer.status in (400, 404, 500), "the last one for numbers that no database knows"
    assert not re.search(rb"import |root:|SQLite format", body)
    assert answer.getheader("Set-Cookie") is None
    assert len(studies(port)) == 2, "and the next one is answered"


# Hostile traffic


def test_huge_requests_are_refused(port: int) -> None:
    assert get(port, "/", **{"X-Large": "x" * 40_000})[0].status in (400, 431)
    assert get(port, "/api/studies", "POST", b"x" * 100_000)[0].status == 413
    with closing(socket.create_connection(("127.0.0.1", port))) as chunked:
        chunked.sendall(f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        chunked.sendall(b"".join(b"8000\r\n" + b"x" * 0x8000 + b"\r\n" for _ in range(4)))
        assert b" 413 " in chunked.recv(100)
    with closing(socket.create_connection(("127.0.0.1", port))) as claimed:
        claimed.sendall(f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {10**12}\r\n\r\n".encode())
        assert b" 413 " in claimed.recv(100), "of which nothing is read"


def test_many_idle_connections_hold_up_nobody(port: int) -> None:
    with ExitStack() as idle:
        for _ in range(200):
            idle.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert len(studies(port)) == 2


def test_a_request_that_drips_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoaug.page._server.REQUEST_SECONDS", -1.0)
    with served(url) as port, closing(socket.create_connection(("127.0.0.1", port))) as dripping:
        dripping.sendall(b"GET / HTTP/1.1\r\n")
        closed = False
        while not closed:  # each byte by itself: the first ones may arrive together
            try:
                dripping.sendall(b"X")
                dripping.settimeout(0.05)
                closed = dripping.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
        monkeypatch.undo()
        assert len(studies(port)) == 2


# Fewer bytes


def test_what_is_large_is_compressed_for_who_takes_it(port: int) -> None:
    plain = get(port, "/dashboard")
    assert plain[0].getheader("Content-Encoding") is None
    for takes in ("gzip", "deflate, gzip;q=0.5", "GZIP, br"):
        answer, body = get(port, "/dashboard", **{"Accept-Encoding": takes})
        assert answer.getheader("Content-Encoding") == "gzip"
        assert answer.getheader("Vary") == "Accept-Encoding"
        assert gzip.decompress(body) == plain[1]
    for takes in ("br", "gzip;q=0", "gzip;q=0.0, br", "x-gzip-not"):
        assert get(port, "/dashboard", **{"Accept-Encoding": takes})[0].getheader("Content-Encoding") is None
    assert json.loads(get(port, "/api/studies", **{"Accept-Encoding": "br"})[1])


def test_what_does_not_change_is_compressed_once_and_sent_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    class Counted:
        @staticmethod
        def compress(body: bytes, level: int, mtime: int) -> bytes:
            made.append(len(body))
            return gzip.compress(body, 1, mtime=mtime)

    monkeypatch.setattr("autoaug.page._compress.gzip", Counted)
    with served(url, root_path="/sub") as port:
        answers = [get(port, "/static/bundle.js", **{"Accept-Encoding": "gzip"}) for _ in range(2)]
        assert [answer.status for answer, _ in answers] == [200, 200]
        assert answers[0][1] == answers[1][1]
        assert [size > 1_000_000 for size in made] == [True]
        mark = answers[0][0].getheader("ETag") or ""
        again, body = get(port, "/static/bundle.js", **{"Accept-Encoding": "gzip", "If-None-Match": mark})
        assert (again.status, body) == (304, b"")
