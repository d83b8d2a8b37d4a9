"""The templates of pages and of the report, and how a value comes into them: as text, of which nothing is markup."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

from autoaug.page._view import StudyView
from autoaug.text import shown


def safe(value: Any) -> Any:
    """Return a value as a page may show it; what was made as HTML stays as it is."""
    return value if isinstance(value, Markup) else shown(value)


TEMPLATES = Environment(
    loader=PackageLoader("autoaug.page"), autoescape=True, finalize=safe, trim_blocks=True, lstrip_blocks=True
)

TEMPLATES.filters["whole"] = lambda text: escape(text)  # a picture within the page is longer than any text is shown
NO_BREAK = Markup("&nbsp;%")
"""A sign of per cent that begins no line."""

TEMPLATES.filters["joined"] = lambda text: escape(shown(text)).replace(" %", NO_BREAK)


def filled(template: str, **given: Any) -> str:
    """Return a template with values."""
    return TEMPLATES.get_template(template).render(given)


def pieces(view: StudyView, up: str | None) -> Mapping[str, Markup]:
    """Return the parts of the page of a study, by name: each changes by itself while the study runs.

    Args:
        view: what they show.
        up: from the page to /autoaug/; None in a report, which links to nothing.
    """
    parts: Any = TEMPLATES.get_template("parts.html").module
    return {
        "answer": parts.answer(view),
        "state": parts.state(view),
        "chart": parts.chart(view.chart),
        "sprites": parts.sprites(view),
        "strip": parts.strip(view),
        "gallery": parts.gallery(view),
        "leaderboard": parts.leaderboard(view),
        "policies": parts.policies(view, up),
        "searches": parts.searches(view, up),
        "classes": parts.classes(view),
        "diagnostics": parts.diagnostics(view),
        "provenance": parts.provenance(view),
        "commands": parts.commands(view),
    }
