"""A comparison over data sets as one web page that needs nothing else."""

from collections.abc import Callable
from typing import Any

from autoaug.compare import Across, across_headline, across_legend, across_tables, legend, tables
from autoaug.page._report import CONFIG, content_policy, draw, render
from autoaug.text import counted

Diagram = Callable[[Across], Any]
"""Draws a comparison over data sets as a `plotly.graph_objects.Figure`."""


def across_report(across: Across, diagram: Diagram) -> str:
    """Return the page as text: what all data sets say together, the diagram, and the leaderboard of each.

    Raises:
        ValueError: the diagram fails; the message names it.
    """
    figure = draw("critical difference", diagram, across)
    pictures = [figure.to_html(full_html=False, include_plotlyjs=True, config=CONFIG)] if figure.data else []
    return render(
        name=", ".join(across.comparisons),
        about=f"{counted(len(across.comparisons), 'data set')}, optimising {across.first.metric}",
        headline=across_headline(across),
        tables=across_tables(across, wide=True),
        legend=across_legend(across),
        content_policy=content_policy(pictures),
        figures=[("critical difference", each) for each in pictures],
        sections=[
            (f"{data}: the leaderboard of {comparison.name}", tables(comparison), legend(comparison))
            for data, comparison in across.comparisons.items()
        ],
        provenance={
            data: "; ".join(f"{fact} {value}" for fact, value in comparison.provenance.items())
            for data, comparison in across.comparisons.items()
        },
        reads=[],
    )
