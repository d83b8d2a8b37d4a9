"""A study as one web page that needs nothing else: the leaderboard and the figures of a project's `dashboards/`."""

from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment

from autoaug.compare import Row, table
from autoaug.record import Record

Figure = Callable[[Sequence[Record]], Any]
"""`records -> plotly.graph_objects.Figure`"""


def report(
    name: str,
    definition: Mapping[str, Any],
    rows: Sequence[Row],
    records: Sequence[Record],
    figures: Mapping[str, Figure],
) -> str:
    """The page as text. Plotly's JavaScript is inside, once, so the page opens without a network."""
    drawn = [
        # the first figure brings Plotly's JavaScript for all
        (title, figure(records).to_html(full_html=False, include_plotlyjs=k == 0))
        for k, (title, figure) in enumerate(figures.items())
    ]
    headings, cells, caption = table(rows, definition["metric"], definition["baseline"])
    template = Environment(autoescape=True).from_string((resources.files("autoaug") / "report.html").read_text())
    task = definition["task"]
    about = f"{task['model']} on {task['data']}, {task['epochs']} epochs, optimising {definition['metric']}"
    return template.render(name=name, about=about, headings=headings, rows=cells, caption=caption, figures=drawn)
