"""A comparison as one web page that needs nothing else: its tables and the figures of a project's `dashboards/`."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from autoaug.compare import (
    OWN_DATA,
    Comparison,
    Figure,
    Table,
    diagnosis_legend,
    diagnosis_tables,
    headline,
    legend,
    tables,
)
from autoaug.data import public_name
from autoaug.text import LONGEST_NAME, counted, shown

CONFIG = {"displaylogo": False, "modeBarButtons": [["toImage", "resetScale2d"]]}
"""Of the figures: few buttons, for on a narrow page they would cover the title. Dragging zooms."""

MOST_ROWS = 200
"""Of a table of the page."""


def report(comparison: Comparison, figures: Mapping[str, Figure]) -> str:
    """Return the page as text. Plotly's JavaScript is inside, once, so the page opens without a network.

    Raises:
        ValueError: a figure fails; the message names it.
    """
    drawn = [(title, figure) for title, ask in figures.items() if (figure := draw(title, ask, comparison)).data]
    # the first figure brings Plotly's JavaScript for all
    pictures = [
        (title, figure.to_html(full_html=False, include_plotlyjs=k == 0, config=CONFIG))
        for k, (title, figure) in enumerate(drawn)
    ]
    complete = tables(comparison, wide=True, epochs=True)
    return render(
        name=comparison.name,
        about=about(comparison),
        tables=[Table(table.headings, table.cells[:MOST_ROWS]) for table in complete],
        headline=headline(comparison),
        legend=[*left_out(complete), *legend(comparison, wide=True)],
        diagnosed=[Table(table.headings, table.cells[:MOST_ROWS]) for table in diagnosis_tables(comparison)],
        diagnosis_legend=diagnosis_legend(comparison),
        content_policy=content_policy(picture for _, picture in pictures),
        figures=pictures,
        provenance=comparison.provenance,
        reads=[(row.name, row.test_reads) for row in comparison.rows],
    )


def render(**parts: Any) -> str:
    """Return the page of a report, of the parts that its template names; those that are not given are left out."""
    template = Environment(autoescape=True, finalize=safe).from_string(
        (resources.files("autoaug.page") / "templates" / "report.html").read_text()
    )
    return template.render(**parts)


def left_out(complete: Iterable[Table]) -> list[str]:
    """Return that rows of tables are not on the page, and where they are; nothing where none is missing."""
    longest = max(len(table.cells) for table in complete)
    if longest <= MOST_ROWS:
        return []
    more = counted(longest - MOST_ROWS, "further row")
    return [f"the first {MOST_ROWS} rows of each table; {more} at most: autoaug compare --csv writes every strategy"]


SCRIPT = re.compile(r"<script[^>]*>(.*?)</script>", re.DOTALL)


def content_policy(pictures: Iterable[str]) -> str:
    """Return the Content-Security-Policy of a page: it runs the scripts of these figures and no other, loads nothing.

    A name of a study or of a strategy that had slipped through as HTML could then still do nothing. That no other page
    may frame this one cannot be said within a page.
    """
    scripts = (script.encode() for picture in pictures for script in SCRIPT.findall(picture))
    hashes = [f"'sha256-{b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts if script]
    rules = {
        "default-src": ["'none'"],
        "script-src": hashes or ["'none'"],
        "style-src": ["'unsafe-inline'"],  # Plotly sets styles one by one
        "img-src": ["data:", "blob:"],  # a figure is saved through one
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    return "; ".join(f"{rule} {' '.join(sources)}" for rule, sources in rules.items())


def safe(value: Any) -> Any:
    """Return a value as a page may show it; what was made as HTML stays as it is."""
    return value if isinstance(value, Markup) else shown(value)


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


def about(comparison: Comparison) -> str:
    """Return the question in a line: what is trained on what, for how long, and what is always done to it."""
    task = comparison.definition["task"]
    own, epochs = shown(comparison.loop, LONGEST_NAME), counted(task["epochs"], "epoch")
    facts = [
        f"{own or task['model']} on {'data ' + OWN_DATA if comparison.own_data else public_name(task['data'])}",
        counted_images(comparison.definition.get("data", {}).get(task["data"], {}).get("images", {})),
        f"always on: {comparison.always_on}" if comparison.always_on else "",
        epochs if not own else "",
        f"optimising {comparison.metric}",
    ]
    return ", ".join(filter(None, facts))


def counted_images(splits: Mapping[str, int]) -> str:
    """Return how many images each split has; empty where that was not recorded."""
    return " + ".join(f"{count:,} {name}" for name, count in splits.items()) + " images" if splits else ""
