"""A comparison over data sets as one web page that needs nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoaug.compare import Across, Table, across_headline, across_legend, across_tables, legend, tables
from autoaug.page._report import as_file, draw
from autoaug.text import counted

Diagram = Callable[[Across], Any]
"""Draws a comparison over data sets as a `plotly.graph_objects.Figure`."""


def across_report(across: Across, diagram: Diagram) -> str:
    """Return the page as text: what all data sets say together, the diagram, and the leaderboard of each.

    Raises:
        ValueError: the diagram fails; the message names it.
    """
    figure = draw("critical difference", diagram, across)
    return as_file("across.html", [("critical difference", figure)] if figure.data else [], view=view_of(across))


@dataclass(frozen=True)
class AcrossView:
    """Hold what the page of a comparison over data sets shows."""

    name: str
    about: str
    headline: str
    tables: Sequence[Table]
    legend: Sequence[str]
    sections: Sequence[tuple[str, Sequence[Table], Sequence[str]]]
    """Title, tables and legend of each data set."""
    provenance: Mapping[str, str]
    strategies: Sequence[str]

    def hue(self, name: str) -> int | None:
        """Return the number of a strategy's colour; None of any other name."""
        return self.strategies.index(name) if name in self.strategies else None


def view_of(across: Across) -> AcrossView:
    """Return what the page of a comparison over data sets shows."""
    return AcrossView(
        name=", ".join(across.comparisons),
        about=f"{counted(len(across.comparisons), 'data set')}, optimising {across.first.metric}",
        headline=across_headline(across),
        tables=across_tables(across, wide=True),
        legend=across_legend(across),
        sections=[
            (f"{data}: the leaderboard of {comparison.name}", tables(comparison), legend(comparison))
            for data, comparison in across.comparisons.items()
        ],
        provenance={
            data: "; ".join(f"{fact} {value}" for fact, value in comparison.provenance.items())
            for data, comparison in across.comparisons.items()
        },
        strategies=across.first.strategies,
    )
