"""The pages of studies: WSGI below /autoaug/, which follows what runs, and asks the storage only for what has changed.

Every address on a page is relative, so that the pages work behind a proxy at a path of its own.
"""

import hashlib
import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, quote

from markupsafe import Markup

from autoaug.compare import Comparison, Figure, Importance, sentence, stored_comparison, to_csv
from autoaug.execution import status
from autoaug.page._known import Known, Missing, Studies
from autoaug.page._report import draw, in_order, plotly_script, report, static_file, whole_gallery
from autoaug.page._templates import filled, pieces
from autoaug.page._view import StudyView, state_view, study_view, told
from autoaug.store import Store, ids_by_name, last_trials, pictures_of
from autoaug.text import shown

StartResponse = Callable[..., Any]

STATIC = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "plotly.min.js": "text/javascript",
}
"""What the pages load, by name below `static/`."""

FILES = ("policy.json", "policy.py", "leaderboard.csv", "report.html")
"""That can be taken along."""

UP = "../../"
"""From the page of a study to /autoaug/."""

LIST_SECONDS = 1.5
"""For how long one answer works on the sentences of a list; the next one goes on."""

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""Of our pages: nothing from elsewhere, no script within a page. Plotly sets styles one by one."""


@dataclass(frozen=True)
class Answer:
    """Hold an answer of the server."""

    kind: str
    body: bytes
    mark: str = ""
    """Of its contents, for If-None-Match; empty where it is made anew each time."""
    code: str = "200 OK"
    final: bool = True
    """Whether nothing is missing in it that is still being measured."""
    name: str = ""
    """Of the file as which it is saved; empty where it is shown."""


class Site:
    """Serve the list of studies, a page of each, what changes on them, their figures and files.

    Args:
        store: where the studies are stored.
        figures: of a project's `dashboards/`, by title.
    """

    def __init__(self, store: Store, figures: Mapping[str, Figure]) -> None:
        self.store, self.figures = store, dict(figures)
        self.studies = Studies(store)
        threading.Thread(
            target=import_module, args=["autoaug.policy"], daemon=True
        ).start()  # torch: while nobody waits

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request: WSGI."""
        path = environ.get("PATH_INFO", "").removeprefix("/autoaug").lstrip("/")
        try:
            answer = self.answer(path.encode("latin-1").decode("utf-8", "replace"), environ)
        except Missing as error:
            answer = self.failure(path, "Not found", str(error), "404 Not Found")
        except ValueError as error:
            answer = self.failure(path, "This cannot be shown", str(error), "422 Unprocessable Content")
        headers = [("Content-Type", answer.kind), ("Content-Security-Policy", CONTENT_POLICY)]
        headers += [("Cache-Control", "no-cache")]
        if not answer.final:
            headers.append(("Retry-After", "3"))
        if answer.mark:
            headers.append(("ETag", f'"{answer.mark}"'))
            if f'"{answer.mark}"' in environ.get("HTTP_IF_NONE_MATCH", ""):
                start_response("304 Not Modified", headers[1:])
                return []
        if answer.name:
            headers.append(("Content-Disposition", f'attachment; filename="{answer.name}"'))
        start_response(answer.code, [*headers, ("Content-Length", str(len(answer.body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def answer(self, path: str, environ: Mapping[str, Any]) -> Answer:
        """Return what is at a path below /autoaug/.

        Raises:
            Missing: nothing is.
            ValueError: what is there cannot be shown.
        """
        place, _, rest = path.partition("/")
        if not path:
            return html(self.listed())
        if place == "static":
            return static(rest)
        if path == "api/studies.json":
            return as_json({"parts": marked(self.cards())})
        if path.startswith("api/study/"):
            return self.changes(rest.removeprefix("study/").removesuffix(".json"))
        if place == "study":
            return html(self.page(rest.removesuffix("/")))
        if place == "figure":
            return self.figure(*split(rest, ".json"))
        if place == "picture":
            return self.picture(*split(rest))
        if place == "download":
            name, file = split(rest)
            return self.download(name, file, parse_qs(environ.get("QUERY_STRING", "")).get("strategy", [""])[0])
        raise Missing(f"there is no page {shown(path)!r} here")

    def failure(self, path: str, title: str, reason: str, code: str) -> Answer:
        """Return a page that says what is wrong, or for a script the reason alone."""
        if path.startswith(("api/", "figure/", "picture/")):
            return Answer("application/json", json.dumps({"reason": shown(reason)}).encode(), code=code)
        up = "../" * path.count("/")
        text = filled("failure.html", title=title, reason=reason, up=up or "./")
        return Answer("text/html; charset=utf-8", text.encode(), code=code)

    def native(self, name: str) -> dict[str, int]:
        """Return Optuna's numbers of the searches of a study and of its final runs, by what follows its name."""
        return {each.removeprefix(f"{name}/"): number for each, number in ids_by_name(self.store, name).items()}

    # Pages

    def listed(self) -> str:
        """Return the list of studies."""
        cards = self.cards()
        return filled(
            "studies.html",
            pieces=cards,
            marks={name: mark(piece) for name, piece in cards.items()},
            where=self.store.display_url,
        )

    def ordered(self) -> list[str]:
        """Return the names of the studies, those that were worked on last first."""
        latest = last_trials(self.store)
        return sorted(self.store.names(), key=lambda name: (-latest.get(name, -1), name))

    def cards(self) -> dict[str, Markup]:
        """Return a card for each study, the newest first; for want of time the sentence of some comes with the next."""
        until = time.monotonic() + LIST_SECONDS
        return {name: Markup(self.card(name, until)) for name in self.ordered()}

    def card(self, name: str, until: float) -> str:
        """Return what the list says of a study: one that cannot be shown says why, among the others."""
        given: dict[str, Any] = {"name": name, "address": "", "refused": "", "state": None, "sentence": None}
        try:
            known = self.studies.known.get(name)
            if time.monotonic() < until or known:
                known = self.studies.look(name)
                given["sentence"] = told(sentence(known.comparison))
            stands = known.status if known else status(self.store, name)
            strategies = known.comparison.strategies if known else [each.strategy for each in stands.strategies]
            given |= {"state": state_view(stands, strategies, {}), "address": f"study/{quote(name, safe='')}/"}
        except ValueError as error:
            given["refused"] = str(error)
        return filled("card.html", **given)

    def page(self, name: str) -> str:
        """Return the page of a study."""
        known, native = self.studies.look(name), self.native(name)
        view = self.view(name, known, native)
        parts = pieces(view, UP)
        searches = [str(native[each]) for each in known.comparison.strategies if each in native]
        address = quote(name, safe="")
        return filled(
            "study.html",
            view=view,
            up=UP,
            api=f"{UP}api/study/{address}.json",
            stamp=mark(repr(known.stamp)),
            pieces=parts,
            marks={each: mark(piece) for each, piece in parts.items()},
            files=files_of(known.comparison, address),
            figures=[(title, f"{UP}figure/{address}/{quote(title, safe='')}.json") for title in in_order(self.figures)],
            compare=f"dashboard/compare-studies?ids={','.join(searches)}" if len(searches) > 1 else "",
            final=native.get("leaderboard"),
        )

    def view(self, name: str, known: Known, native: Mapping[str, int]) -> StudyView:
        """Return what is shown of a study."""
        where = f"{UP}picture/{quote(name, safe='')}/"
        return study_view(known.comparison, known.status, native, known.gallery, lambda each: where + each)

    def changes(self, name: str) -> Answer:
        """Return the parts of a study's page with their marks: a page replaces those whose marks differ."""
        known = self.studies.look(name)
        parts = pieces(self.view(name, known, self.native(name)), UP)
        return as_json({"stamp": mark(repr(known.stamp)), "parts": marked(parts)})

    def figure(self, name: str, title: str) -> Answer:
        """Return a figure of a study as JSON, as Plotly reads it."""
        known = self.studies.look(name)
        if title not in self.figures:
            raise Missing(f"there is no figure {shown(title)!r} in dashboards/: there are {', '.join(self.figures)}")
        importance = self.studies.importance(name, known)
        key = (title, importance is not None)
        if key not in known.figures:
            whole = replace(known.comparison, importance=importance or Importance())
            known.figures[key] = draw(title, self.figures[title], whole).to_json().encode()
        body = known.figures[key]
        return Answer("application/json", body, mark(body), final=importance is not None)

    def picture(self, name: str, picture: str) -> Answer:
        """Return a picture of a study's gallery: a name never stands for another one.

        Raises:
            Missing: the gallery has none of this name, or it lies where it cannot be read from here.
        """
        try:
            return Answer("image/webp", pictures_of(self.store, name, [picture])[picture], mark(picture))
        except (KeyError, OSError) as error:
            raise Missing(str(error.args[-1] if error.args else error)) from None

    def download(self, name: str, file: str, strategy: str) -> Answer:
        """Return a file that is made of a study."""
        comparison = self.studies.look(name).comparison
        if file == "leaderboard.csv":
            return Answer("text/csv; charset=utf-8", to_csv(comparison.rows).encode(), name=file)
        if file == "report.html":
            whole = stored_comparison([(self.store, name)], look=self.studies.look(name).status.finished)
            page = report(whole, self.figures, whole_gallery(self.store, name))
            return Answer("text/html; charset=utf-8", page.encode(), name=file)
        if file in ("policy.json", "policy.py"):
            return Answer("text/plain; charset=utf-8", policy_file(comparison, strategy, file).encode(), name=file)
        raise Missing(
            f"there is no file {shown(file)!r} of a study: policy.json, policy.py, leaderboard.csv, report.html"
        )


def files_of(comparison: Comparison, address: str) -> list[dict[str, str]]:
    """Return the files that can be taken along from a study's page, policies only where some are kept."""
    names = FILES if comparison.policies else [name for name in FILES if not name.startswith("policy")]
    return [{"name": name, "address": f"{UP}download/{address}/{name}"} for name in names]


def policy_file(comparison: Comparison, strategy: str, file: str) -> str:
    """Return the policy of a strategy, or of the first on the leaderboard that has one, as a file."""
    ranked = [row.name for row in comparison.rows if row.name in comparison.policies]
    name = strategy or next(iter(ranked), "")
    if name not in comparison.policies:
        raise Missing(f"no policy of {shown(name) or 'this study'} is kept: it is at the end of autoaug run")
    from autoaug.export import export  # torch
    from autoaug.policy import PolicyTree

    tree = PolicyTree.model_validate(comparison.policies[name])
    return export(tree, "json" if file.endswith(".json") else "torchvision", allow_lossy=False).text


def split(rest: str, ending: str = "") -> tuple[str, str]:
    """Return the study and the name of what is asked of it."""
    study, _, name = rest.rpartition("/")
    return study, name.removesuffix(ending)


def static(name: str) -> Answer:
    """Return a file that pages load."""
    if name not in STATIC:
        raise Missing(f"there is no file {shown(name)!r} here")
    body = plotly_script() if name == "plotly.min.js" else static_file(name)
    return Answer(STATIC[name], body, mark(body))


def html(text: str) -> Answer:
    """Return a page."""
    return Answer("text/html; charset=utf-8", text.encode(), mark(text))


def as_json(plain: Mapping[str, Any]) -> Answer:
    """Return plain data."""
    body = json.dumps(plain)
    return Answer("application/json", body.encode(), mark(body))


def marked(pieces: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return parts of a page with their marks."""
    return {name: {"mark": mark(piece), "html": piece} for name, piece in pieces.items()}


def mark(text: str | bytes) -> str:
    """Return a short text that is another one for other contents."""
    whole = text if isinstance(text, bytes) else text.encode()
    return urlsafe_b64encode(hashlib.sha256(whole).digest()[:9]).decode()
