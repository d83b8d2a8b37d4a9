"""A comparison as a notebook shows it: tables that take their colours from the page around them."""

from html import escape

from autoaug.compare._legend import headline, legend
from autoaug.compare._stored import Comparison
from autoaug.compare._tables import Table, tables
from autoaug.text import shown

MOST_OF_A_LINE = 10_000
"""Characters of a line that may name every strategy of a study."""


def to_html(comparison: Comparison) -> str:
    """Return the leaderboard of a comparison as a piece of HTML, with how it is to be read. All text is escaped.

    >>> from autoaug.compare import Comparison, LeaderboardRow, interval, to_html
    >>> row = LeaderboardRow("a<b", interval([0.70, 0.72]), 0.71, 2, 0, 0, 10.0, "cpu", 5, None)
    >>> html = to_html(Comparison(("s",), {"metric": "val_accuracy", "baseline": "none", "spaces": {}}, [row]))
    >>> "<td>a&lt;b</td>" in html
    True
    """
    warning = headline(comparison)
    return "\n".join(
        [
            f"<p><strong>{text(comparison.name)}: the leaderboard</strong></p>",
            *([f"<p><strong>{text(warning)}</strong></p>"] if warning else []),
            *(to_table(table) for table in tables(comparison)),
            f"<ul>{''.join(f'<li>{text(line)}</li>' for line in legend(comparison))}</ul>",
        ]
    )


def to_table(table: Table) -> str:
    """Return a table as HTML; its first column has names, the others have figures. All text is escaped.

    >>> from autoaug.compare import Table, to_table
    >>> to_table(Table(["a<b"], [["1"]]))
    '<table><thead><tr><th scope="col">a&lt;b</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>'
    """
    head = "".join(f'<th scope="col">{text(heading)}</th>' for heading in table.headings)
    rows = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row)}</tr>" for row in table.cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def text(line: str) -> str:
    """Return a text of which nothing is markup."""
    return escape(shown(line, MOST_OF_A_LINE))
