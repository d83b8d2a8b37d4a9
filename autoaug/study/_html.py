"""A study as a notebook shows it: what is asked, and what will be done to answer it."""

from autoaug.data import public_name
from autoaug.metrics import metric_of, on_split, words_of
from autoaug.study._definition import Study
from autoaug.study._plan import Line, plan
from autoaug.table import Table, as_text, to_table
from autoaug.text import LONGEST_NAME, counted, shown
from autoaug.train import spelt

MOST_NAMED = 6
"""Dimensions that a cell names."""


def to_html(study: Study) -> str:
    """Return the question of a study and its plan as a piece of HTML. All text is escaped; nothing is loaded."""
    return "\n".join(
        [
            f"<p><strong>{as_text(question(study))}</strong></p>",
            f"<p>{as_text(setting(study))}</p>",
            to_table(table(study)),
        ]
    )


def question(study: Study) -> str:
    """Return what is asked: which strategy is best, by what, and against which."""
    others = [name for name in study.strategies if name != study.baseline_name]
    by = f"by {words_of(on_split('test', study.metric))} ({metric_of(study.metric).better})?"
    if not others:
        return f"{study.name}: What is {study.baseline_name} worth {by}"
    what = f"Does {others[0]} beat" if len(others) == 1 else f"Which of {counted(len(others), 'strategy')} beat"
    return f"{study.name}: {what} {study.baseline_name} {by}"


def setting(study: Study) -> str:
    """Return what is trained on what, and what each strategy may spend."""
    trained = study.task.describe()["model"] if study.train is None else shown(spelt(study.train), LONGEST_NAME)
    limits = [f"{study.budget.trials:,} trials"] if study.budget.trials is not None else []
    limits += [f"{limit:,.10g} {name.replace('_', ' ')}" for name, limit in study.budget.seconds.items()]
    data = "its own data" if study.task.data is None else public_name(study.task.describe()["data"])
    finals = counted(study.seeds, "final run")
    return f"{trained} on {data}; each strategy: {' and '.join(limits)} to search, then {finals} on the test images"


def table(study: Study) -> Table:
    """Return the plan, a line for each strategy, without its costs, which nobody has measured."""
    return Table(["strategy", "trials", "epochs", "final runs", "searches"], [cells(line) for line in plan(study)])


def cells(line: Line) -> list[str]:
    """Return what a plan says of a strategy."""
    names = [*line.dimensions[:MOST_NAMED], *(["..."] if len(line.dimensions) > MOST_NAMED else [])]
    trials = "by budget" if line.trials is None else str(line.trials)
    return [
        line.strategy,
        trials + (f" + {line.reruns} in full" if line.reruns else ""),
        "–" if line.epochs is None else f"≤ {line.epochs}",
        str(line.final_runs),
        ", ".join(names) or "nothing",
    ]
