"""A comparison over data sets as people and machines read it: a sentence, tables, what they mean, CSV, JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from autoaug.compare._across import Across, PairTest
from autoaug.compare._figures import NOTHING, equal, number, show_half, show_interval, show_p
from autoaug.compare._sentence import bare
from autoaug.compare._statistics import ROUNDING, Interval
from autoaug.compare._tables import as_csv, to_flat, to_json
from autoaug.table import Table
from autoaug.text import agreeing, counted, enumerated

ROOM = 4
"""Columns of values beside which their intervals have room on a terminal."""

MARKS = {"better": "*", "worse": "†"}
"""Of a value whose difference to the baseline is more than chance, on its own data set."""


def across_headline(across: Across) -> str:
    """Return the answer in a sentence: what is better than the baseline over the data sets, by how much, how sure.

    >>> from autoaug.compare import Comparison, LeaderboardRow, across, across_headline, interval
    >>> def on(data, **means):
    ...     definition = {"metric": "val_accuracy", "baseline": "none", "spaces": dict.fromkeys(means, {})}
    ...     rows = [LeaderboardRow(each, interval([mean]), mean, 1, 0, 0, 1.0, "cpu", 5, None)
    ...             for each, mean in means.items()]
    ...     return Comparison((data,), definition | {"task": {"data": data}, "seed": 0}, rows)
    >>> across_headline(across([on("iris", none=0.90, ra=0.92), on("wine", none=0.80, ra=0.83)]))
    'ra has the best mean rank, 1.0 of 2, over 2 data sets: no test, 2 strategies take 6 data sets or more'
    """
    count = counted(len(across.comparisons), "data set")
    pairs = list(across.against_baseline())
    better = [pair for pair in pairs if pair.verdict == "better"]
    top = [name for name in across.strategies if across.ranks[name] - across.ranks[across.strategies[0]] < ROUNDING]
    has = f"{top[0]} has" if len(top) == 1 else f"{enumerated(top, len(top))} share"
    rank = f"{has} the best mean rank, {across.ranks[top[0]]:.1f} of {len(across.strategies)}"
    if len(across.strategies) < 2:
        return f"{across.baseline} is the only strategy that is tested on all {count}: there is nothing to compare"
    if not across.testable:
        strategies = counted(len(across.strategies), "strategy")
        return f"{rank}, over {count}: no test, {strategies} take {across.needed} data sets or more"
    if not better:
        return f"nothing beats {across.baseline} beyond chance over {count}; {rank}"
    most, *others = sorted(better, key=lambda pair: -abs(pair.difference.mean) if pair.difference else 0.0)
    also = f"; so {agreeing(len(others), 'does', 'do')} {enumerated([pair.one for pair in others], len(others))}"
    said = f"{most.one} beats {across.baseline} over {count}, by {show_gain(across, most)} in the mean"
    p = most.p_holm or 0.0
    return f"{said} ({f'p = {bare(show_p(p))}' if p >= 0.001 else 'p < .001'}){also if others else ''}"


def show_gain(across: Across, pair: PairTest) -> str:
    """Return the size of a mean difference over data sets: "2.5 ± 1.3 points" of what lies in [0, 1]."""
    mean = pair.difference
    assert mean is not None, "who wins was compared on every data set"
    points = across.ruling.range == (0.0, 1.0)
    scale, decimals = (100, 1) if points else (1, 4)
    size = f"{scale * abs(mean.mean):.{decimals}f}"
    if mean.low is not None and mean.high is not None and not equal(mean):
        size += f" ± {scale * max(mean.high - mean.mean, mean.mean - mean.low):.{decimals}f}"
    return f"{size} points" if points else f"{size} {across.first.label(across.first.test_metric)}"


def show_effect(mean: Interval | None) -> str:
    """Return a mean difference over data sets with half of its interval; a dash where there is none."""
    return NOTHING if mean is None else f"{number(mean.mean, sign=True)}{show_half(mean, mean.mean)}"


def across_tables(across: Across, wide: bool = False) -> list[Table]:
    """Return the strategies over all data sets, and the mean of each on each; of all pairs a third where `wide`.

    Of data sets and strategies the more numerous are the lines of the second table. Intervals are left out where there
    is no room for them.
    """
    pairs = [pairs_table(across)] if wide and len(across.pairs) > 1 else []
    return [ranks_table(across), means_table(across, wide), *pairs]


def ranks_table(across: Across) -> Table:
    """Return the strategies with what all data sets together say of them."""
    against = {pair.one: pair for pair in across.against_baseline()}
    cells = []
    for name in across.strategies:
        pair = against.get(name)
        best = sum(name in across.best(data) for data in across.comparisons)
        versus = show_pair(pair) if pair else ["baseline", "", "", ""]
        cells.append([name, f"{across.ranks[name]:.2f}", str(best), *versus])
    return Table(["strategy", "mean rank", "best on", "won-tied-lost", "difference", "p", "verdict"], cells)


def show_pair(pair: PairTest) -> list[str]:
    """Return how a strategy fares against another: data sets, mean difference, corrected p, verdict."""
    counts = f"{pair.better}-{pair.equal}-{pair.worse}"
    return [
        counts,
        show_effect(pair.difference),
        show_p(pair.p_holm),
        pair.verdict if pair.p is not None else "no test",
    ]


def means_table(across: Across, wide: bool) -> Table:
    """Return the mean test value of each strategy on each data set, with marks of its own leaderboard."""
    data, label = list(across.comparisons), across.first.label(across.first.test_metric)
    by_data = len(data) >= len(across.strategies)
    lines, columns = (data, across.strategies) if by_data else (across.strategies, data)
    intervals = wide or len(columns) <= ROOM
    cells = [
        [line, *(show_mean(across, *((line, each) if by_data else (each, line)), intervals) for each in columns)]
        for line in lines
    ]
    return Table([label, *columns], cells)


def show_mean(across: Across, data: str, strategy: str, intervals: bool) -> str:
    """Return a strategy's test value on a data set, and whether it differs from the baseline beyond chance."""
    row = across.row(data, strategy)
    assert row.test is not None, "strategies without a test are left out"
    return f"{show_interval(row.test) if intervals else number(row.test.mean)}{mark(across, data, strategy)}"


def mark(across: Across, data: str, strategy: str) -> str:
    """Return the mark of a value: that it is better or worse than the baseline's by more than chance; else nothing."""
    versus = across.row(data, strategy).vs_baseline
    return MARKS.get(versus.verdict, "") if versus else ""


def pairs_table(across: Across) -> Table:
    """Return how each strategy fares against each other one."""
    cells = [[f"{pair.one} : {pair.other}", *show_pair(pair)] for pair in across.pairs]
    return Table(["strategies", "won-tied-lost", "difference", "p", "verdict"], cells)


def across_legend(across: Across) -> list[str]:
    """Return how the tables are to be read, one sentence a line: only what concerns these."""
    return list(legend_lines(across))


def legend_lines(across: Across) -> Iterator[str]:
    """Yield what stands below the tables."""
    count, label = counted(len(across.comparisons), "data set"), across.first.label(across.first.test_metric)
    yield f"mean rank: place by mean {label}, over {count}; 1 is best, ties share places"
    yield from whether_any_differ(across)
    less = "" if across.ruling.maximize else f"; {across.ruling.better}"
    yield f"won, tied, lost: on so many data sets, against {across.baseline}; difference: mean over data sets{less}"
    yield from which_differ(across)
    runs = [comparison.studies for comparison in across.comparisons.values()]
    unit = "studies that repeat the search" if any(len(studies) > 1 for studies in runs) else "final runs"
    yield f"each value: mean over the {unit} on that data set, ± half a 95 % interval where it is shown"
    versus = [(data, name) for data in across.comparisons for name in across.strategies]
    if any(mark(across, data, name) for data, name in versus):
        yield f"* better, † worse than {across.baseline} by more than chance on that data set, by its own leaderboard"
    if across.unlike:
        yield f"the data sets are trained on in different ways: {', '.join(across.unlike)}"
    for name, missing in across.left_out.items():
        yield f"left out: {name}, which is not tested on {missing}"


def whether_any_differ(across: Across) -> Iterator[str]:
    """Yield what Friedman's test says, where there are enough strategies for it."""
    if test := across.friedman:
        between, within = test.degrees
        by = f"F({between}, {within}) = {test.f:.2f}" if test.method == "F" else "by permuting ranks within data sets"
        yield (
            f"Friedman's test of all {len(across.strategies)} strategies: chi² = {test.chi_squared:.2f}, {by}, "
            f"p {show_p(test.p)}"
        )


def which_differ(across: Across) -> Iterator[str]:
    """Yield how pairs were tested, or that the data sets are too few."""
    count, pairs = counted(len(across.comparisons), "data set"), counted(len(across.pairs), "pair")
    if not across.pairs:
        return
    if not across.testable:
        yield (
            f"{count}: no test. Wilcoxon's signed ranks of {pairs} can be beyond chance from {across.needed} data sets "
            "on; what each data set says by itself stands in its leaderboard"
        )
        return
    corrected = f", Holm-corrected over {pairs}" if len(across.pairs) > 1 else ""
    yield f"p of Wilcoxon's signed-rank test over data sets, exact{corrected}; looks at fewer data sets are not counted"


def across_json(across: Across) -> dict[str, Any]:
    """Return a comparison over data sets as plain data that `json.dumps` takes; infinities stay what they are."""
    return {
        "studies": [name for comparison in across.comparisons.values() for name in comparison.studies],
        "metric": across.first.metric,
        "direction": across.first.direction,
        "baseline": across.baseline,
        "headline": across_headline(across),
        "ranks": dict(across.ranks),
        "friedman": asdict(across.friedman) if across.friedman else None,
        "pairs": [asdict(pair) for pair in across.pairs],
        "not_told_apart": [list(group) for group in across.cliques],
        "data_sets_needed": across.needed if across.pairs else None,
        "left_out": dict(across.left_out),
        "unlike": list(across.unlike),
        "legend": across_legend(across),
        "data_sets": {data: to_json(comparison) for data, comparison in across.comparisons.items()},
    }


def across_csv(across: Across) -> str:
    """Return the leaderboards of all data sets as one CSV: a line for each data set and strategy."""
    return as_csv(
        {"data": data, "mean_rank": across.ranks.get(row.name)} | to_flat(row)
        for data, comparison in across.comparisons.items()
        for row in comparison.rows
    )
