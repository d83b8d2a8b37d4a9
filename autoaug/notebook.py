"""A study in a notebook: a table that follows it while a cell runs."""

import time
from html import escape

from autoaug.compare import Table, to_table
from autoaug.execution import Event, Listen
from autoaug.executors import Progress
from autoaug.store import Store, usual_storage
from autoaug.study import Study
from autoaug.text import shown

__all__ = ["live"]

SECONDS_BETWEEN_TABLES = 0.5
"""Each of them goes to the browser, and is kept in the notebook until the next one."""


def live(study: Study, store: Store | None = None) -> Listen:
    """Show a table below the cell, and return what keeps it up to date: `run(study, listen=live(study))`.

    Args:
        study: that will run.
        store: where; None is the one that `run` opens.

    Raises:
        ModuleNotFoundError: IPython is missing, which every notebook has.
    """
    from IPython.display import HTML, DisplayHandle

    store = store or Store(study.storage or usual_storage())
    progress, handle, drawn = Progress(study, store.outcomes(study.name), store=store), DisplayHandle(), [0.0]

    def listen(event: Event) -> None:
        progress.see(event)
        if event.state or time.monotonic() - drawn[0] > SECONDS_BETWEEN_TABLES:
            handle.update(HTML(html_of(progress)))
            drawn[0] = time.monotonic()

    handle.display(HTML(html_of(progress)))
    return listen


def html_of(progress: Progress) -> str:
    """Return how a study stands: the table, and below it the time and who leads. All text is escaped."""
    return f"{to_table(table_of(progress))}<p>{escape(shown(progress.summary()))}</p>"


def table_of(progress: Progress) -> Table:
    """Return how a study stands, with a line for each strategy."""
    headings = ["strategy", *progress.headings, "failed", "now"]
    return Table(
        headings,
        [
            [name, *progress.figures(name), str(counts.failed or ""), progress.now(name)]
            for name, counts in progress.strategies.items()
        ],
    )
