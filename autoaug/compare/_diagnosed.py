"""What diagnostics found of the networks of a study, as tables."""

from collections import defaultdict
from collections.abc import Iterable

from autoaug.compare._comparison import Comparison
from autoaug.compare._figures import show_interval
from autoaug.compare._statistics import interval
from autoaug.compare._tables import Table
from autoaug.metrics import ANY_NUMBER
from autoaug.store import Diagnosis
from autoaug.text import counted

PHASES = {"augment": "augmented", "refine": "refined"}
"""How the end of a phase is called over a column."""

SHARES = ("error", "accuracy")
"""Units of values in [0, 1], where an interval ends too."""


def present_diagnoses(found: Iterable[Diagnosis]) -> list[Diagnosis]:
    """Return what was found of the point that was last diagnosed of each strategy, in the order in which it was found.

    >>> from autoaug.compare import present_diagnoses
    >>> from autoaug.store import Diagnosis
    >>> given = {"study": "s", "strategy": "ra", "seed": 0, "diagnostic": "crops", "phase": "refine"}
    >>> old, new = (Diagnosis(**given, point={"policy.m": m}) for m in (0.1, 0.5))
    >>> present_diagnoses([old, new]) == [new]
    True
    """
    everything = list(found)
    last = {(each.study, each.strategy): each.point for each in everything}
    return [each for each in everything if each.point == last[each.study, each.strategy]]


def diagnosis_tables(comparison: Comparison) -> list[Table]:
    """Return a table for each diagnostic: strategies against its values, each at the end of the phases.

    A cell is the mean over the trainings of a strategy, with half of its 95 % interval where there are several.

    >>> from autoaug.compare import Comparison, diagnosis_tables
    >>> from autoaug.store import Diagnosis
    >>> given = {"study": "s", "strategy": "ra", "diagnostic": "white_box", "phase": "augment", "unit": "error"}
    >>> found = [Diagnosis(**given, seed=seed, values={"fgsm": 0.5 + seed / 10}) for seed in range(2)]
    >>> definition = {"metric": "val_accuracy", "baseline": "ra", "spaces": {"ra": {}}}
    >>> [table] = diagnosis_tables(Comparison(("s",), definition, [], diagnoses=found))
    >>> table.headings, table.cells
    (['white box, error', 'fgsm'], [['ra', '0.5500 ± 0.5500']])
    """
    by_name: dict[str, list[Diagnosis]] = defaultdict(list)
    for each in present_diagnoses(comparison.diagnoses):
        by_name[each.diagnostic].append(each)
    return [table_of(name, found, comparison) for name, found in by_name.items()]


def table_of(name: str, found: list[Diagnosis], comparison: Comparison) -> Table:
    """Return the table of one diagnostic."""
    columns = list(dict.fromkeys((value, phase) for phase in PHASES for each in found for value in each.values))
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for each in found:
        for value, number in each.values.items():
            values[each.strategy, value, each.phase].append(number)
    columns = [column for column in columns if any((each.strategy, *column) in values for each in found)]
    both = len({phase for _, phase in columns}) > 1
    title = name.replace("_", " ") + (f", {found[0].unit}" if found[0].unit else "")
    headings = [f"{value}, {PHASES[phase]}" if both else value for value, phase in columns]
    named = {each.strategy for each in found}
    within = (0.0, 1.0) if found[0].unit in SHARES else ANY_NUMBER
    cells = [
        [strategy, *(show_interval(interval(values[strategy, *column], within)) for column in columns)]
        for strategy in comparison.strategies
        if strategy in named
    ]
    return Table([title, *headings], cells)


def diagnosis_legend(comparison: Comparison) -> list[str]:
    """Return what each diagnostic says, and of how many trainings.

    >>> from autoaug.compare import Comparison, diagnosis_legend
    >>> from autoaug.store import Diagnosis
    >>> found = Diagnosis(study="s", strategy="ra", seed=0, diagnostic="crops", phase="augment", says="of crops")
    >>> definition = {"metric": "val_accuracy", "baseline": "ra", "spaces": {"ra": {}}}
    >>> first, _ = diagnosis_legend(Comparison(("s",), definition, [], diagnoses=[found]))
    >>> first
    'crops: of crops'
    """
    found = present_diagnoses(comparison.diagnoses)
    says = {each.diagnostic: each.says for each in found}
    seeds = defaultdict[str, set[tuple[str, int]]](set)
    for each in found:
        seeds[each.strategy].add((each.study, each.seed))
    if not found:
        return []
    few, many = (end(len(each) for each in seeds.values()) for end in (min, max))
    count = counted(many, "training") if few == many else f"{few} to {counted(many, 'training')}"
    means = f"means over {count} of each strategy, made again on the training images; no test image was read"
    return [*(f"{name.replace('_', ' ')}: {text}" for name, text in says.items()), means]
