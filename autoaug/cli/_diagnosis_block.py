"""What diagnostics found, as it is printed."""

from rich.console import Group
from rich.text import Text

from autoaug.cli._console import MOST_OF_A_LEGEND, draw, title
from autoaug.compare import Comparison, diagnosis_legend, diagnosis_tables
from autoaug.text import shown


def diagnosis_block(comparison: Comparison) -> Group:
    """Return a table for each diagnostic, and what they say."""
    figures = [each for table in diagnosis_tables(comparison) for each in (draw(table), Text(""))]
    notes = "\n".join(shown(line, MOST_OF_A_LEGEND) for line in diagnosis_legend(comparison))
    return Group(title(f"{comparison.name}: diagnostics"), *figures, Text(notes, style="dim"))
