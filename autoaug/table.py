"""A table as people read it: headings and cells, and how a page shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from autoaug.text import shown

MOST_OF_A_LINE = 10_000
"""Characters of a line that may name every strategy of a study."""


@dataclass(frozen=True)
class Table:
    """Hold headings and cells; the first column names a strategy, the others hold figures.

    >>> from autoaug.compare import Table
    >>> table = Table(["strategy", "rank"], [["ra", "1.0"], ["none", "2.0"]])
    >>> len(table.cells)
    2
    """

    headings: Sequence[str]
    cells: Sequence[Sequence[str]]


def to_table(table: Table) -> str:
    """Return a table as HTML; its first column has names, the others have figures. All text is escaped.

    >>> from autoaug.compare import Table, to_table
    >>> to_table(Table(["a<b"], [["1"]]))
    '<table><thead><tr><th scope="col">a&lt;b</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>'
    """
    head = "".join(f'<th scope="col">{as_text(heading)}</th>' for heading in table.headings)
    rows = "".join(f"<tr>{''.join(f'<td>{as_text(cell)}</td>' for cell in row)}</tr>" for row in table.cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def as_text(line: str) -> str:
    """Return a text of which nothing is markup."""
    return escape(shown(line, MOST_OF_A_LINE))
