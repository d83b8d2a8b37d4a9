"""A comparison as a notebook shows it: tables that take their colours from the page around them."""

from autoaug.compare._brief import brief_legend
from autoaug.compare._comparison import Comparison
from autoaug.compare._legend import headline
from autoaug.compare._sentence import sentence
from autoaug.compare._tables import tables
from autoaug.table import as_text, to_table


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
            f"<p><strong>{as_text(sentence(comparison))}</strong></p>",
            f"<p>{as_text(comparison.name)}: the leaderboard</p>",
            *([f"<p><strong>{as_text(warning)}</strong></p>"] if warning else []),
            *(to_table(table) for table in tables(comparison)),
            f"<ul>{''.join(f'<li>{as_text(line)}</li>' for line in brief_legend(comparison))}</ul>",
        ]
    )
