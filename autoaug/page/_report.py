"""A comparison as one web page that needs nothing else: its tables and the figures of a project's `dashboards/`."""

import gzip
import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from markupsafe import Markup

from autoaug.compare import Comparison, Figure
from autoaug.gallery import Gallery
from autoaug.page._templates import filled, pieces
from autoaug.page._view import study_view
from autoaug.store import Store, gallery_of, pictures_of


@dataclass(frozen=True)
class Pictures:
    """Hold a gallery with the bytes of its pictures, by name: those that could be read."""

    gallery: Gallery
    contents: Mapping[str, bytes]

    def address(self, name: str) -> str:
        """Return a picture as an address that holds all of it; empty where it could not be read."""
        return f"data:image/webp;base64,{b64encode(self.contents[name]).decode()}" if name in self.contents else ""


def whole_gallery(store: Store, name: str) -> Pictures | None:
    """Return the gallery of a study with its pictures; None where it has none, or none can be read from here."""
    gallery = gallery_of(store, name)
    if gallery is None:
        return None
    try:
        names = sorted({each for sheets in gallery.strategies.values() for each in sheets.pictures})
        return Pictures(gallery, pictures_of(store, name, names))
    except OSError:
        return None


def report(comparison: Comparison, figures: Mapping[str, Figure], pictures: Pictures | None = None) -> str:
    """Return the page as text: the same as that of a study, with all that it needs inside, Plotly's JavaScript too.

    Args:
        comparison: what it shows.
        figures: of a project's `dashboards/`, by title.
        pictures: the gallery of the study, `whole_gallery`.

    Raises:
        ValueError: a figure fails; the message names it.
    """
    drawn = [(title, figure) for title in in_order(figures) if (figure := draw(title, figures[title], comparison)).data]
    view = (
        study_view(comparison, gallery=pictures.gallery, address=pictures.address)
        if pictures
        else study_view(comparison)
    )
    return as_file("report.html", drawn, view=view, pieces=pieces(view, None))


def as_file(template: str, drawn: Sequence[tuple[str, Any]], **given: Any) -> str:
    """Return a template as one file that needs no other: styles, scripts and figures are inside.

    Args:
        template: one that extends `file.html`.
        drawn: titles and figures of Plotly.
        given: what the template itself reads.
    """
    plotly = plotly_script() if drawn else b""
    script = static_file("page.js").decode() if drawn else ""
    return filled(
        template,
        figures=[(title, inert(figure.to_json())) for title, figure in drawn],
        style=Markup(static_file("page.css").decode()),
        script=Markup(script),
        plotly=Markup(b64encode(gzip.compress(plotly, 9, mtime=0)).decode()) if drawn else "",
        content_policy=content_policy([script.encode(), plotly] if drawn else []),
        **given,
    )


FIRST = ("race", "final", "pareto", "learning curves", "policy over time", "strength map", "importance")
"""The figures that a page begins with, where a project has them; the others follow by their names."""

DRAWN_ABOVE = "effect"
"""The figure that every page begins with, drawn without a script."""


def in_order(figures: Iterable[str]) -> list[str]:
    """Return the titles of figures in the order in which a page shows them."""
    shown = [title for title in figures if title != DRAWN_ABOVE]
    return sorted(shown, key=lambda title: (FIRST.index(title) if title in FIRST else len(FIRST), title))


def inert(text: str) -> Markup:
    """Return JSON that may stand in a script element: nothing in it ends the element."""
    return Markup(text.replace("<", "\\u003c"))


def static_file(name: str) -> bytes:
    """Return a file of `static/`."""
    return (resources.files("autoaug.page") / "static" / name).read_bytes()


def plotly_script() -> bytes:
    """Return Plotly's JavaScript, which its package brings; the package itself is not imported."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ValueError("plotly is not installed, so no figure can be drawn: pip install plotly")
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes()


def content_policy(scripts: Iterable[bytes]) -> str:
    """Return the Content-Security-Policy of a page that runs these scripts and no other, and loads nothing.

    A name of a study or of a strategy that had slipped through as HTML could then still do nothing. That no other page
    may frame this one cannot be said within a page.
    """
    hashes = [f"'sha256-{b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts]
    rules = {
        "default-src": ["'none'"],
        "script-src": hashes or ["'none'"],
        "style-src": ["'unsafe-inline'"],  # Plotly sets styles one by one
        "img-src": ["data:", "blob:"],  # a figure is saved through one
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    return "; ".join(f"{rule} {' '.join(sources)}" for rule, sources in rules.items())


def draw(title: str, figure: Callable[[Any], Any], comparison: Any) -> Any:
    """Return what a figure makes of a comparison.

    Raises:
        ValueError: it fails, or returns something else than a figure.
    """
    try:
        drawn = figure(comparison)
    except Exception as error:  # whatever a user's function may raise
        raise ValueError(
            f"the figure {title!r} fails: {type(error).__name__}: {error}; mend it in dashboards/"
        ) from error
    if not hasattr(drawn, "to_html"):
        raise ValueError(f"the figure {title!r} gives a {type(drawn).__name__}: return a plotly.graph_objects.Figure")
    return drawn
