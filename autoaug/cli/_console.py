"""What a person reads on the terminal: the plan, the progress of a study, the leaderboard."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autoaug.compare import OWN_DATA, Across, across_headline, across_legend, across_tables, show_limit, show_seconds
from autoaug.compare import Table as Figures
from autoaug.metrics import on_split
from autoaug.record import Record, TrialKind
from autoaug.text import by_clock, counted, shown

if TYPE_CHECKING:  # what runs and plans loads torch, and a leaderboard is shown without it
    from autoaug.execution import Event
    from autoaug.executors import Progress
    from autoaug.study import Advice, DataFacts, Knob, Line, Study

SECONDS_BETWEEN_FRAMES = 0.1

MOST_OF_A_LEGEND = 10_000
"""Characters of a line that may name every strategy of a study."""


def plan_table(
    study: "Study",
    lines: "Sequence[Line]",
    data_facts: "Sequence[DataFacts]" = (),
    dimensions: "Sequence[Knob]" = (),
    at_once: int = 1,
    share: float = 1.0,
    advice: "Advice | None" = None,
) -> Group:
    """Return a table of trials, the most that they can cost, the data, and the dimensions that change nothing.

    Settings that follow the length of the training are named, with what they are in the strategy's paper.

    Args:
        at_once: how many trials run at the same time, each with this `share` of a GPU.
        advice: what would fit this machine, where this does not.
    """
    from autoaug.study import by_the_clock, knob_warnings

    table = Table(title=title(f"{study.name}: the plan"), title_justify="left", box=None, pad_edge=False)
    table.add_column("strategy", overflow="fold", min_width=8)
    unit = next((line.unit for line in lines if line.unit), "")
    for name in ("trials", "epochs", "final runs", *([unit.replace("-seconds", " s")] if unit else [])):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("searches", overflow="fold")
    for line in lines:
        table.add_row(
            plain(line.strategy),
            ("by budget" if line.trials is None else str(line.trials)) + (f" + {line.reruns}" if line.reruns else ""),
            "–" if line.epochs is None else f"≤ {line.epochs}",
            str(line.final_runs),
            *([show_expected(line)] if unit else []),
            plain(", ".join(line.dimensions) or "nothing"),
        )
    facts = [shown(text) for entry in data_facts for text in entry.sentences()] or of_loop(study)
    inert = [shown(text) for text in knob_warnings(dimensions)]
    notes = [shown(f"{line.strategy}: {text}", MOST_OF_A_LEGEND) for line in lines for text in line.notes]
    total = [show_total(seconds, at_once)] if (seconds := by_the_clock(lines, at_once, share)) else []
    advised = [str(advice)] if advice else []
    summary = "\n".join([*facts, *notes, show_cost(study, lines, unit), *total, *advised, *inert])
    return Group(table, Text(summary, style="dim"))


def of_loop(study: "Study") -> list[str]:
    """Return what is to be said of data that a loop of the user's own brings; nothing where it does not."""
    if study.task.data is not None:
        return []
    return [f"data: {OWN_DATA}", "always on: what the loop does itself"]


def show_expected(line: "Line") -> str:
    """Return the expected cost of the search and of the final runs of a strategy."""
    if line.search_seconds is None or line.final_seconds is None:
        return "–"
    return f"{show_seconds(line.search_seconds)} + {show_seconds(line.final_seconds)}"


def show_cost(study: "Study", lines: "Sequence[Line]", unit: str) -> str:
    """Return the limit of what a plan can cost: in epochs, and in seconds where the budget has them."""
    known = all(line.epochs is not None and line.final_epochs is not None for line in lines)
    limits = []
    if known and all(line.trials is not None for line in lines):
        limits.append(counted(sum((line.trials or 0) * (line.epochs or 0) for line in lines), "epoch"))
    kinds = {
        "gpu_seconds": unit or "seconds (of a GPU, or of a CPU where there is none)",
        "wall_seconds": "wall seconds",
    }
    limits += [f"{len(lines)} x {show_limit(limit)} {kinds[name]}" for name, limit in study.budget.seconds.items()]
    finals = sum(line.final_runs * (line.final_epochs or 0) for line in lines)
    at_most = [f"searches at most {' and '.join(limits)}"] if limits else []
    at_most += [f"final runs at most {counted(finals, 'epoch')}"] if known else []
    text = f"cost: {'; '.join(at_most) or 'only the loop knows how many epochs there are'}"
    if any(line.reruns for line in lines):
        text += "\ntrials a + b: a search of a trials on a proxy, b of its points in full"
    if any(line.unit for line in lines):
        text += (
            f"\n{unit.replace('-seconds', ' s')} a + b: expected of search and final runs, from a few measured steps"
        )
    return text


def show_total(seconds: float, at_once: int) -> str:
    """Return how long a whole plan takes."""
    many = "one trial" if at_once == 1 else f"{at_once} trials"
    return f"all of it: about {by_clock(seconds)} by the clock, {many} at a time"


def draw(table: Figures, bars: Mapping[str, Text] | None = None) -> Table:
    """Return a table whose figures are never cut: a long name folds in the first column.

    Args:
        bars: what stands beside a name, by the name.
    """
    grid = Table(box=None, pad_edge=False)
    grid.add_column(plain(table.headings[0]), overflow="fold")
    if bars:
        grid.add_column("", no_wrap=True)
    for heading in table.headings[1:]:
        grid.add_column(plain(heading), justify="right", no_wrap=True)
    for row in table.cells:
        grid.add_row(plain(row[0]), *([bars[row[0]]] if bars else []), *map(plain, row[1:]))
    return grid


def across_table(across: Across) -> Group:
    """Return what several data sets say together, and how to read it."""
    figures = [draw(table) for table in across_tables(across)]
    figures[0].title, figures[0].title_justify = title(f"{len(across.comparisons)} data sets: the leaderboard"), "left"
    legend_text = Text("\n".join(shown(line, MOST_OF_A_LEGEND) for line in across_legend(across)), style="dim")
    below = [each for figure in figures[1:] for each in (Text(""), figure)]
    return Group(Text(shown(across_headline(across))), Text(""), figures[0], *below, Text(""), legend_text)


def plain(text: str) -> Text:
    """Return a text for a cell: nothing in it is markup."""
    return Text(shown(text))


def title(text: str) -> Text:
    """Return the text of a title."""
    return Text(shown(text), "table.title")


def progress_block(progress: "Progress") -> Group:
    """Return how a study stands: a table with one line per strategy."""
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    failed = [f"{counts.failed or ''}" for counts in progress.strategies.values()]
    drawn.add_column("strategy", overflow="fold")
    drawn.add_column("")
    for heading in (*progress.headings, "failed" if any(failed) else ""):
        drawn.add_column(heading, justify="right", no_wrap=True)
    drawn.add_column("now", no_wrap=True)
    for name, lost in zip(progress.strategies, failed, strict=True):
        used = ProgressBar(total=1.0, completed=progress.used(name), width=8)
        drawn.add_row(plain(name), used, *progress.figures(name), lost, plain(progress.now(name)))
    return Group(drawn, Text(shown(progress.summary())), Text("Ctrl-C keeps what is there", style="dim"))


class LiveProgress:
    """Show progress as one live block on a terminal."""

    def __init__(self, console: Console, progress: "Progress") -> None:
        self.progress = progress
        # drawn on events only: a thread that draws would be counted as cost of the trials
        self.live = Live(progress_block(progress), console=console, auto_refresh=False, transient=True)
        self.drawn = 0.0

    def __enter__(self) -> "LiveProgress":
        self.live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def __call__(self, event: "Event") -> None:
        self.progress.see(event)
        if event.state or time.monotonic() - self.drawn > SECONDS_BETWEEN_FRAMES:
            self.live.update(progress_block(self.progress), refresh=True)
            self.drawn = time.monotonic()


class LineProgress:
    """Print one plain line per trial that ended, where there is no terminal."""

    def __init__(self, console: Console, progress: "Progress") -> None:
        self.console, self.progress = console, progress

    def __call__(self, event: "Event") -> None:
        last = self.progress.last.get(event.job.trial_id)
        self.progress.see(event)
        if event.state and event.state != "RUNNING":
            self.console.print(plain(self.line(event, last)), soft_wrap=True)

    def line(self, event: "Event", last: Record | None) -> str:
        """Return what happened, with which score, and what the search has cost by then."""
        job, spent = event.job, show_seconds(self.progress.strategies[event.job.strategy].seconds)
        searched = self.progress.study.metric
        metric = on_split("test", searched) if job.kind is TrialKind.FINAL else searched
        score = f"{metric} {last.metrics[metric]:.4f}" if last and metric in last.metrics else ""
        cost = "" if job.kind is TrialKind.FINAL else f"{spent} {self.progress.unit} so far"
        parts = [(event.state or "").lower(), score, cost, event.reason]
        return f"{job}: {', '.join(filter(None, parts))}"


def print_event(event: "Event", file: TextIO | None = None) -> None:
    """Print one JSON line per event, for machines; on stdout where no file is given."""
    print(json_line(without_nothing(asdict(event))), file=file, flush=True)


def json_line(data: Mapping[str, Any]) -> str:
    """Return one line of strict JSON: NaN and infinities, which JSON does not have, become null."""
    return json.dumps(finite(data), allow_nan=False)


def finite(value: Any) -> Any:
    """Return plain data with None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def without_nothing(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data without the fields that are None or empty."""
    return {
        key: without_nothing(value) if isinstance(value, Mapping) else value
        for key, value in data.items()
        if value not in (None, "")
    }
