"""The leaderboard on a terminal: the sentence, the tables with small bars, and how they are to be read."""

import math
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from autoaug.cli._console import MOST_OF_A_LEGEND, draw, title
from autoaug.compare import Comparison, brief_legend, headline, sentence, tables
from autoaug.compare import Table as Figures
from autoaug.text import shown

WIDEST_BAR, NARROWEST_BAR = 12, 4
"""Columns of a terminal."""

GAP = 2
"""Columns between two of a table."""

RANK = "rank"


class Leaderboard:
    """Draw the result of a study, the search and its cost, and what the epochs of final runs came to where asked for.

    The sentence stands first. Bars are the differences to the baseline, to the right where a strategy is better. They
    take the place of the ranks where there is no room for both, and where there is room for neither the ranks stay.
    """

    def __init__(self, comparison: Comparison, epochs: bool = False) -> None:
        self.comparison, self.epochs = comparison, epochs

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the parts, as wide as the console is."""
        comparison = self.comparison
        yield Text(shown(sentence(comparison), MOST_OF_A_LEGEND), "bold")
        if warning := headline(comparison):
            yield Text(shown(warning), "red")
        result, *others = tables(comparison, epochs=self.epochs)
        yield Text("")
        yield title(f"{comparison.name}: the leaderboard")
        yield self.with_bars(result, console, options)
        for table in others:
            yield Text("")
            yield draw(table)
        if lines := brief_legend(comparison):
            yield Text("")
            yield Text("\n".join(shown(line, MOST_OF_A_LEGEND) for line in lines), "dim")

    def with_bars(self, table: Figures, console: Console, options: ConsoleOptions) -> Table:
        """Return the table of the result, with bars where there is room."""
        for narrower, least in ((table, NARROWEST_BAR + 2), (without(table, RANK), NARROWEST_BAR)):
            room = options.max_width - Measurement.get(console, options, draw(narrower)).maximum - GAP
            drawn = bars(self.comparison, min(room, WIDEST_BAR), options.ascii_only) if room >= least else {}
            if drawn:
                return draw(narrower, {row[0]: drawn.get(row[0], Text("")) for row in narrower.cells})
        return draw(table)


def without(table: Figures, heading: str) -> Figures:
    """Return a table without a column."""
    place = table.headings.index(heading)

    def rest(cells: Sequence[str]) -> list[str]:
        """Return the cells of the other columns."""
        return [*cells[:place], *cells[place + 1 :]]

    return Figures(rest(table.headings), [rest(row) for row in table.cells])


def bars(comparison: Comparison, width: int, ascii_only: bool = False) -> Mapping[str, Text]:
    """Return for each strategy a bar of its difference to the baseline; nothing where no difference is known.

    Args:
        width: of each, in columns. All share one scale and the place of zero, which is the baseline.
        ascii_only: the terminal can show nothing else.
    """
    sign = 1 if comparison.maximize else -1
    found = {row.name: row.vs_baseline for row in comparison.rows if row.vs_baseline}
    effects = {name: sign * each.difference for name, each in found.items() if math.isfinite(each.difference)}
    if not effects:
        return {}
    zero, scale = axis(effects.values(), width)
    drawn = {}
    for name, effect in {**effects, comparison.baseline: 0.0}.items():
        style = {"better": "green", "worse": "red"}.get(found[name].verdict if name in found else "", "dim")
        drawn[name] = Text(bar(effect * scale, zero, width, ascii_only), style)
    return drawn


def axis(effects: Iterable[float], width: int) -> tuple[int, float]:
    """Return the column at which zero is, and how many columns a difference of one takes, so that all have room."""
    effects = list(effects)
    low, high = min(0.0, *effects), max(0.0, *effects)
    if low == high:
        return 0, 0.0
    zero = min(max(round(width * -low / (high - low)), low < 0), width - (high > 0))
    return zero, min(zero / -low if low else math.inf, (width - zero) / high if high else math.inf)


EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(columns: float, zero: int, width: int, ascii_only: bool = False) -> str:
    """Return a bar of so many columns from the column of zero on, to the left where it is negative.

    To the right it is as fine as an eighth of a column, to the left as half of one, as the characters are. What is too
    short for that is a thin line on its own side.
    """
    length = abs(columns)
    if ascii_only:
        drawn = "=" * round(length) or "|"
    elif columns < 0:
        halves = max(1, round(2 * length))
        drawn = "▐" * (halves % 2) + "█" * (halves // 2)
    else:
        eighths = max(1, round(8 * length))
        drawn = "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
    return (drawn.rjust(zero) if columns < 0 else " " * zero + drawn).ljust(width)[:width]
