"""How the tables of a comparison are to be read, in ten lines at most: what a terminal and a notebook have room for."""

from collections import Counter
from collections.abc import Sequence

from autoaug.compare._classes import NO_EVIDENCE
from autoaug.compare._comparison import OWN_DATA, Comparison
from autoaug.compare._figures import show_seconds, significant, unit_of
from autoaug.compare._leaderboard import LeaderboardRow, unequal_cost
from autoaug.compare._legend import intervals, marks, of_other_data, other_metrics, show_class, starred
from autoaug.compare._statistics import MOST_SEEDS
from autoaug.text import counted, enumerated, plural

MOST_NAMES = 3
"""Strategies, or classes, that a line names."""


def brief_legend(comparison: Comparison) -> list[str]:
    """Return how the tables are to be read, a line for each thing that concerns these; ten at most.

    `legend` says the same at length, and what stands there of single strategies.

    >>> from autoaug.compare import Comparison, LeaderboardRow, brief_legend, interval
    >>> row = LeaderboardRow("none", interval([0.70, 0.72]), 0.71, 2, 0, 0, 10.0, "cpu", 5, None)
    >>> brief_legend(Comparison(("s",), {"metric": "val_accuracy", "baseline": "none", "spaces": {}}, [row]))
    ["± half a 95 % interval (Student's t) over 2 final runs"]
    """
    repeated, compared = len(comparison.studies) > 1, [row for row in comparison.rows if row.vs_baseline]
    unit = "study" if repeated else "seed"
    each = (
        not_applied(comparison),
        setting(comparison),
        runs(comparison.rows, "study" if repeated else "final run"),
        differences(comparison, compared, unit),
        stars(comparison, compared),
        missing_evidence(compared, unit),
        by_class(comparison),
        doubtful(comparison.rows),
        [*unequal(comparison.rows), *of_other_data(comparison.rows, MOST_NAMES)],
        meanings(comparison.rows, repeated),
    )
    return ["; ".join(parts) for parts in each if parts]


def not_applied(comparison: Comparison) -> list[str]:
    """Return which dimensions were asked for in vain."""
    vain = Counter((each.strategy, name) for each in comparison.outcomes for name in each.unapplied)
    names = [f"{name} of {strategy}" for strategy, name in vain]
    if not names:
        return []
    return [f"warning: not seen in what trials applied: {enumerated(names, len(names))}: such values do nothing"]


def setting(comparison: Comparison) -> list[str]:
    """Return what every training had, where that was anything, and that the data are a loop's own."""
    always = comparison.always_on
    return [
        *([f"always on, whatever the strategy: {always}"] if always not in ("", "none") else []),
        *([f"data: {OWN_DATA}"] if comparison.own_data else []),
    ]


def runs(rows: Sequence[LeaderboardRow], unit: str) -> list[str]:
    """Return what the intervals are, and over how many runs."""
    methods = {
        "Student's t": "half a 95 % interval (Student's t)",
        "BCa": "the wider half of a 95 % interval (bootstrap)",
    }
    lines = list(intervals(rows, unit))
    for k, line in enumerate(lines):
        for method, short in methods.items():
            head, _, rest = line.partition(", over ")
            if method in head:
                lines[k] = f"± {short} over {rest}"
    return lines


def differences(comparison: Comparison, compared: Sequence[LeaderboardRow], unit: str) -> list[str]:
    """Return what the differences and their p are."""
    found = [row.vs_baseline for row in compared if row.vs_baseline and row.vs_baseline.p is not None]
    if not found:
        return []
    looks = max(len(each.looks.runs) if each.looks else 0 for each in found)
    causes = [
        *([f"{len(found)} strategies"] if len(found) > 1 else []),
        *([counted(looks, "look")] if looks > 1 else ["further looks"] if looks else []),
    ]
    less = "" if comparison.maximize else f"; {comparison.ruling.better}"
    return [
        f"difference: paired by {unit}{less}; p: t-test{' corrected for ' if causes else ''}{', '.join(causes)}",
    ]


def stars(comparison: Comparison, compared: Sequence[LeaderboardRow]) -> list[str]:
    """Return what the stars of the other metric mean, where there are any."""
    return [
        f"* {each.removeprefix('* of the ').replace(', by the same test', '')}"
        for each in starred(comparison, compared, other_metrics(comparison.rows, wide=False))
    ]


def missing_evidence(compared: Sequence[LeaderboardRow], unit: str) -> list[str]:
    """Return which strategies may or may not differ from the baseline, with how many seeds 80 % of such would."""
    needed = {}
    for row in compared:
        if (each := row.vs_baseline) and not significant(each):
            known = each.n > 1 and bool(each.sd)
            needed[row.name] = f"{each.seeds_needed or f'>{MOST_SEEDS:,}'}" if known else "?"
    if not needed:
        return []
    ranked = [f"{name} {count}" for name, count in needed.items()]
    return [f"{plural(unit)} to tell: {enumerated(ranked, len(ranked), MOST_NAMES)}"]


def by_class(comparison: Comparison) -> list[str]:
    """Return which classes the winner helps and harms beyond chance, and of how many that is not known."""
    if (effects := comparison.classes) is None:
        return []
    said = [
        f"{verb} {enumerated([show_class(each) for each in some], len(some), MOST_NAMES)}"
        for verb in ("helps", "harms")
        if (some := effects.with_verdict("helped" if verb == "helps" else "harmed"))
    ]
    unsure = len(effects.with_verdict(NO_EVIDENCE))
    rest = [f"{counted(unsure, 'class')} unclear"] if unsure and said else []
    return [f"{effects.strategy} {'; '.join([*said, *rest]) or 'helps or harms no class beyond chance'}"]


def doubtful(rows: Sequence[LeaderboardRow]) -> list[str]:
    """Return the searches of which the validation images may have chosen the point."""
    unsure = [row.name for row in rows if row.doubt and 2 * row.doubt.near >= row.doubt.others]
    return [f"may owe its point to chance: {enumerated(unsure, len(unsure), MOST_NAMES)}"] if unsure else []


def unequal(rows: Sequence[LeaderboardRow]) -> list[str]:
    """Return that a strategy may look better because it spent more, where one did."""
    if not (short_of := unequal_cost(rows)):
        return []
    most = max(rows, key=lambda row: row.gpu_seconds)
    spent = f"{show_seconds(most.gpu_seconds)} {unit_of(row.device for row in rows)}"
    others = enumerated([f"{row.name} {trials:,}" for row, trials in short_of], len(short_of), MOST_NAMES)
    return [f"unequal cost, {most.name} {spent}: more trials for that: {others}"]


def meanings(rows: Sequence[LeaderboardRow], repeated: bool) -> list[str]:
    """Return what marks mean, shortly, and what one search does not show."""
    one_search = not repeated and any(row.searches and row.test for row in rows)
    return ONE_SEARCH * one_search + [
        short for line in marks(rows) for begin, short in SHORT.items() if line.startswith(begin)
    ]


SHORT = {
    "(n equal)": "(n equal): no spread",
    "trials a/b": "a/b: a of b trials ended",
    "· a new": "· a new network",
    "predicted": "predicted: cost, at the start",
    "· proxy": "· proxy: of the same point in the search",
}
"""Of lines of the whole legend, by what they begin with."""

ONE_SEARCH = ["one search each: studies with other seeds would judge the searches"]
